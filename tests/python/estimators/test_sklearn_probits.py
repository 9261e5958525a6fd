"""How sure one-vs-rest networks may be, and how TagiClassifier takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

sklearn = pytest.importorskip("sklearn", reason="needs scikit-learn")

from scipy.stats import norm  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402

import tagix as tx  # noqa: E402
from tagix.sklearn import TagiClassifier  # noqa: E402
from tagix.sklearn._encoding import Encoding  # noqa: E402
from tagix.sklearn._judges import LabelJudge  # noqa: E402
from tagix.sklearn._probits import (  # noqa: E402
    TRUSTED_GAIN,
    fit_link,
    log_loss,
    loss_of_more,
    probabilities,
)

Array = NDArray[Any]


def outputs(n_rows: int, n_networks: int, seed: int) -> tuple[Array, Array]:
    """Moments of outputs for four classes, which networks know more or less well."""
    generator = np.random.default_rng(seed)
    mean = generator.normal(0.25, 0.3, (1, n_rows, 4))
    mean = mean + generator.normal(0, 0.1, (n_networks, n_rows, 4))
    return mean, generator.uniform(0.001, 0.05, (n_networks, n_rows, 4))


def drawn(p: Array, seed: int) -> Array:
    """A label of each row of probabilities."""
    u = np.random.default_rng(seed).random((len(p), 1))
    return np.asarray((np.cumsum(p, axis=1) < u).sum(axis=1).clip(0, p.shape[1] - 1))


@pytest.mark.parametrize(("link_var", "sharpness"), [(0.02, 1.0), (0.08, 2.0), (0.32, 4.0)])
def test_the_link_is_that_of_the_labels(link_var: float, sharpness: float) -> None:
    truth = tx.OneVsRest(4, link_std=float(np.sqrt(link_var)), sharpness=sharpness)
    mean, var = outputs(4000, 1, seed=0)
    p = probabilities(truth, mean, var)[0]
    labels = drawn(p, seed=1)
    fitted = probabilities(fit_link(labels, mean, var, None, 1), mean, var)[0]
    # The mean Kullback-Leibler divergence, which is 0 where both are alike.
    assert 0 <= (p * np.log(p / fitted)).sum(axis=1).mean() < 2e-3


def test_few_rows_leave_the_link_where_it_is() -> None:
    mean, var = outputs(2, 1, seed=0)
    config = fit_link(np.array([0, 1]), mean, var, None, 1).config
    default = tx.OneVsRest(4).config
    assert abs(np.log(config["link_std"] / default["link_std"])) < 0.8
    assert abs(np.log(config["sharpness"] / default["sharpness"])) < 0.8


def test_rows_of_no_weight_do_not_count() -> None:
    mean, var = outputs(600, 2, seed=2)
    labels = drawn(probabilities(tx.OneVsRest(4), mean, var).mean(axis=0), seed=3)
    weight = np.ones(600)
    weight[300:] = 0
    shuffled = labels.copy()
    shuffled[300:] = (labels[300:] + 1) % 4
    args = mean, var, weight / weight.mean(), 2
    assert fit_link(labels, *args) == fit_link(shuffled, *args)


def test_what_more_networks_gain() -> None:
    # Log probabilities of a label that scatter from network to network; twenty of them are the
    # truth, five of which say what a few would have said.
    generator = np.random.default_rng(4)
    level = generator.normal(-0.7, 0.5, 5000)
    p = np.exp(np.minimum(level + generator.normal(0, 0.3, (20, 5000)), -0.01))
    measured = log_loss(p.mean(axis=0), None)
    pairs = [p[[i, i + 1]] for i in range(0, 20, 2)]
    of_pairs = float(np.mean([log_loss(pair.mean(axis=0), None) for pair in pairs]))
    expected = float(np.mean([loss_of_more(pair, None, 20) for pair in pairs]))
    whole = of_pairs + (expected - of_pairs) / TRUSTED_GAIN
    assert of_pairs - measured > 0.01
    assert whole == pytest.approx(measured, abs=0.1 * (of_pairs - measured))
    assert loss_of_more(p[:1], None, 5) == log_loss(p[0], None)
    assert loss_of_more(p[:5], None, 5) == log_loss(p[:5].mean(axis=0), None)


def test_a_judge_of_outputs_fits_their_link() -> None:
    """Against Phi of SciPy; the only row of a class counts for nothing."""
    mean, var = outputs(500, 2, seed=5)
    labels = drawn(probabilities(tx.OneVsRest(4), mean, var).mean(axis=0), seed=6)
    labels[labels == 3] = 0
    labels[7] = 3
    x = np.zeros((500, 1), np.float32)
    judge = LabelJudge(x, None, labels, 5, Encoding.of(x, np.zeros(x.shape, bool)))
    fold = np.arange(500) % 5
    verdict = judge.judge(np.stack([mean, var], axis=2), np.arange(500), fold)
    assert isinstance(verdict.law, tx.OneVsRest)
    config = verdict.law.config
    weight = norm.cdf((mean - 0.5) / np.sqrt(var + config["link_std"] ** 2)) ** config["sharpness"]
    p = (weight / weight.sum(axis=2, keepdims=True))[:, np.arange(500), labels]
    p = np.delete(p, 7, axis=1)
    alone, both = -np.log(p).mean(), -np.log(p.mean(axis=0)).mean()
    # (1/2 - 1/5) / (1 - 1/2) of what the second network brought, of which half counts.
    assert verdict.loss == pytest.approx(both - 0.5 * 0.6 * (alone - both), rel=1e-6)


@pytest.fixture(scope="module")
def digits() -> tuple[Array, Array, Array, Array]:
    x, y = load_digits(return_X_y=True)
    return tuple(train_test_split(x, y, test_size=400, random_state=0, stratify=y))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def fitted(digits: tuple[Array, Array, Array, Array]) -> TagiClassifier:
    x, _, labels, _ = digits
    return TagiClassifier(fast=True, random_state=0).fit(x, labels)


def test_digits_are_learned_by_regressions(
    digits: tuple[Array, Array, Array, Array], fitted: TagiClassifier
) -> None:
    _, x, _, truth = digits
    assert all(isinstance(net.likelihood, tx.OneVsRest) for net in fitted.nets_)
    p = fitted.predict_proba(x)
    assert (p.argmax(axis=1) == truth).mean() > 0.97
    assert -np.log(p[np.arange(400), truth]).mean() < 0.1


def test_two_classes_are_learned_by_a_softmax() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(60, 2))
    model = TagiClassifier(fast=True, random_state=0).fit(x, x[:, 0] > 0)
    assert isinstance(model.net_.likelihood, tx.Softmax)


def test_a_stream_begins_with_a_softmax() -> None:
    x = np.random.default_rng(0).normal(size=(30, 2))
    model = TagiClassifier(random_state=0).partial_fit(x, np.arange(30) % 3)
    assert isinstance(model.net_.likelihood, tx.Softmax)


def test_files_copies_and_what_follows_a_fit(
    digits: tuple[Array, Array, Array, Array], fitted: TagiClassifier, tmp_path: Path
) -> None:
    _, x_new, _, truth = digits
    path = tmp_path / "digits.safetensors"
    fitted.save(path)
    loaded = tx.load(path)
    assert loaded.net_.likelihood == fitted.net_.likelihood
    expected = fitted.predict_proba(x_new)
    np.testing.assert_array_equal(loaded.predict_proba(x_new), expected)
    loaded.partial_fit(x_new[:100], truth[:100])
    assert loaded.net_.likelihood == fitted.net_.likelihood
    assert not np.array_equal(loaded.predict_proba(x_new), expected)
    # A class that was not there before: the link stays, and the others keep what they have.
    loaded.partial_fit(16 - x_new[:60], np.full(60, 10))
    config = loaded.net_.likelihood.config
    assert config == fitted.net_.likelihood.config | {"n_classes": 11}
    p = loaded.predict_proba(16 - x_new[60:100])
    assert p.shape == (40, 11) and (p.argmax(axis=1) == 10).mean() > 0.9
    assert (loaded.predict(x_new[100:]) == truth[100:]).mean() > 0.75
    loaded.save(path)
    np.testing.assert_array_equal(tx.load(path).predict_proba(x_new), loaded.predict_proba(x_new))


def test_a_likelihood_that_is_asked_for(digits: tuple[Array, Array, Array, Array]) -> None:
    x, x_new, labels, truth = digits
    for name, kind in (("one_vs_rest", tx.OneVsRest), ("softmax", tx.Softmax)):
        model = TagiClassifier(likelihood=name, max_epochs=3, early_stopping=False, n_estimators=1)
        model.fit(x, labels)
        assert isinstance(model.net_.likelihood, kind)
        assert (model.predict(x_new) == truth).mean() > 0.9
