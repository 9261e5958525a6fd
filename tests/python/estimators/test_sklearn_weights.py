"""Weights of rows in the estimators: as good as so many rows, and no matter of their unit."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the sklearn extra")

from sklearn.ensemble import BaggingRegressor

import tagix as tx
from tagix.sklearn import TagiClassifier, TagiRegressor
from tagix.sklearn._law import fit_law
from tagix.sklearn._missing import Links
from tagix.sklearn._novelty import learn
from tagix.sklearn._scaling import Moments

Array = np.ndarray
pytestmark = pytest.mark.filterwarnings("ignore:fit. rows left out were predicted no better")
ESTIMATORS: list[Any] = [TagiRegressor, TagiClassifier]
QUICK = {"hidden": (8,), "n_estimators": 2, "max_epochs": 5, "random_state": 0}


def table(n_rows: int, seed: int = 0) -> tuple[Array, Array, Array]:
    generator = np.random.default_rng(seed)
    X = generator.uniform(-2, 2, (n_rows, 2))
    return X, np.sin(2 * X[:, 0]), generator.integers(0, 4, n_rows)


def targets(Estimator: type, y: Array) -> Array:
    return np.where(y > 0, "high", "low") if Estimator is TagiClassifier else y


def predictions(model: Any, X: Array) -> Array:
    if isinstance(model, TagiClassifier):
        return np.asarray(model.predict_proba(X))
    return np.column_stack(model.predict(X, return_std=True))


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_rows_of_weight_0_are_not_there(Estimator: Any) -> None:
    X, y, _ = table(120)
    there = np.arange(120) % 3 > 0
    wild = np.where(there, y, 1e6 if Estimator is TagiRegressor else -y)
    wild_X = np.where(there[:, np.newaxis], X, 1e9)
    weighted = Estimator(**QUICK).fit(
        wild_X, targets(Estimator, wild), sample_weight=there.astype(float)
    )
    without = Estimator(**QUICK).fit(X[there], targets(Estimator, y[there]))
    np.testing.assert_array_equal(predictions(weighted, X), predictions(without, X))
    for model, rows, of_rows, weight in (
        (weighted, wild_X, wild, there),
        (without, X[there], y[there], None),
    ):
        model.partial_fit(rows, targets(Estimator, of_rows), sample_weight=weight)
    np.testing.assert_array_equal(predictions(weighted, X), predictions(without, X))


@pytest.mark.parametrize("Estimator", ESTIMATORS)
@pytest.mark.parametrize("unit", [2.0**-40, 1024.0])
def test_the_unit_of_weights_does_not_matter(Estimator: Any, unit: float, tmp_path: Path) -> None:
    X, y, weight = table(120)
    y = targets(Estimator, y)
    first = Estimator(**QUICK).fit(X, y, sample_weight=weight)
    other = Estimator(**QUICK).fit(X, y, sample_weight=unit * weight)
    np.testing.assert_array_equal(predictions(first, X), predictions(other, X))
    # It is that of the fit for rows that come later, and in a file, too.
    other.save(tmp_path / "model.safetensors")
    for model in (
        other,
        tx.load(tmp_path / "model.safetensors"),
        pickle.loads(pickle.dumps(other)),
    ):
        model.partial_fit(X[:40], y[:40], sample_weight=unit * (weight[:40] + 1))
        np.testing.assert_array_equal(
            predictions(model, X),
            predictions(
                pickle.loads(pickle.dumps(first)).partial_fit(
                    X[:40], y[:40], sample_weight=weight[:40] + 1
                ),
                X,
            ),
        )


def test_contradictory_targets_are_averaged_by_weight() -> None:
    """Half of the rows say f, half -f with a third of the weight: f/2 and std sqrt(.75) |f|."""
    X, y, _ = table(1200)
    generator = np.random.default_rng(1)
    both = np.concatenate([y, -y]) + 0.05 * generator.standard_normal(2400)
    weight = np.repeat([3.0, 1.0], 1200)
    order = generator.permutation(2400)
    model = TagiRegressor(random_state=0).fit(
        np.vstack([X, X])[order], both[order], sample_weight=weight[order]
    )
    grid = np.column_stack([np.linspace(-1.8, 1.8, 60), np.zeros(60)])
    f = np.sin(2 * grid[:, 0])
    mean, std = model.predict(grid, return_std=True)
    assert np.sqrt(np.mean((mean - 0.5 * f) ** 2)) < 0.12
    large = np.abs(f) > 0.7
    np.testing.assert_allclose(std[large] / np.abs(f[large]), np.sqrt(0.75), rtol=0.25)


def test_weights_that_follow_x_are_not_taken_for_noise() -> None:
    generator = np.random.default_rng(0)
    X = generator.uniform(-2, 2, (1200, 1))
    noise = np.where(X[:, 0] > 0, 0.3, 0.1)
    y = np.sin(2 * X[:, 0]) + noise * generator.standard_normal(1200)
    weight = np.where(X[:, 0] > 0, 2.0, 0.5)
    model = TagiRegressor(random_state=0).fit(X, y, sample_weight=weight)
    _, std = model.predict(np.array([[-1.0], [1.0]]), return_std=True)
    np.testing.assert_allclose(std, [0.1, 0.3], rtol=0.2)


@pytest.mark.parametrize("likelihood", ["softmax", "hierarchical_softmax", "remax"])
@pytest.mark.parametrize("seed", range(2))
def test_weights_of_labels_are_their_frequencies(likelihood: str, seed: int) -> None:
    """Labels that X says nothing about: the mean probability is the weighted rate."""
    generator = np.random.default_rng(seed)
    X, y = generator.uniform(-2, 2, (1200, 1)), generator.uniform(size=1200) < 0.2
    weight = np.where(y, 4.0, 1.0)
    model = TagiClassifier(random_state=0, likelihood=likelihood).fit(X, y, sample_weight=weight)
    rate = np.average(y, weights=weight)
    assert model.predict_proba(X)[:, 1].mean() == pytest.approx(rate, abs=0.04)


def test_whole_weights_are_as_good_as_repeated_rows() -> None:
    """Not to the bit: batches of other rows are learned in another order."""
    X, y, weight = table(400)
    noisy = y + 0.2 * np.random.default_rng(1).standard_normal(400)
    weighted = TagiRegressor(random_state=0).fit(X, noisy, sample_weight=weight)
    repeated = TagiRegressor(random_state=0).fit(np.repeat(X, weight, 0), np.repeat(noisy, weight))
    grid, truth, _ = table(300, seed=5)
    errors = [np.sqrt(np.mean((m.predict(grid) - truth) ** 2)) for m in (weighted, repeated)]
    assert errors[0] < 1.2 * errors[1]
    np.testing.assert_allclose(weighted.x_mean_, np.repeat(X, weight, 0).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(weighted.y_scale_, np.repeat(noisy, weight).std(), rtol=1e-12)


def test_balanced_classes_count_weights() -> None:
    X, y, _ = table(90)
    labels, weight = y > 0.5, np.where(y > 0.5, 3.0, 1.0)
    model = TagiClassifier(class_weight="balanced", **QUICK).fit(X, labels, sample_weight=weight)
    shares = np.array([weight[~labels].sum(), weight[labels].sum()]) / weight.sum()
    np.testing.assert_allclose(model.class_weight_, 0.5 / shares, rtol=1e-12)


def test_streams_learn_by_weights() -> None:
    """Rows of weight 9 against rows of weight 1 that say the opposite."""
    generator = np.random.default_rng(0)
    model = TagiRegressor(random_state=0)
    for _ in range(40):
        X = generator.uniform(-1, 1, (64, 1))
        sign = np.where(np.arange(64) % 2, 1.0, -1.0)
        model.partial_fit(X, sign * X[:, 0], sample_weight=np.where(sign > 0, 9.0, 1.0))
    grid = np.array([[-0.8], [0.8]])
    np.testing.assert_allclose(model.predict(grid), [-0.64, 0.64], atol=0.15)
    assert model.prequential_log_.n_rows == 40 * 64 - 16  # the first rows give the units


BAD = {
    "shape": ([1.0, 2.0], ValueError, r"sample_weight: got shape \(2,\), needed \(40,\)"),
    "no row": (np.zeros(40), ValueError, "sample_weight: got a weight of zero for every row"),
    "negative": (-np.ones(40), ValueError, "sample_weight: got -1.0 at position 0"),
    "infinite": (np.full(40, np.inf), ValueError, "sample_weight: got inf at position 0"),
    "text": (["1 kg"] * 40, TypeError, "sample_weight: got a list, needed an array"),
}


@pytest.mark.parametrize("Estimator", ESTIMATORS)
@pytest.mark.parametrize(("weight", "error", "message"), BAD.values(), ids=BAD)
def test_bad_weights_leave_the_estimator_alone(
    Estimator: Any, weight: Any, error: type[Exception], message: str
) -> None:
    X, y, _ = table(40)
    y = targets(Estimator, y)
    model = Estimator(**QUICK)
    for method in (model.fit, model.partial_fit):
        with pytest.raises(error, match=message):
            method(X, y, sample_weight=weight)
    assert not hasattr(model, "nets_")
    model.fit(X, y)
    before = predictions(model, X)
    for method in (model.fit, model.partial_fit):
        with pytest.raises(error, match=message):
            method(X, y, sample_weight=weight)
    np.testing.assert_array_equal(predictions(model, X), before)


# The parts: each of them weighted is that of repeated rows.


def test_moments() -> None:
    generator = np.random.default_rng(0)
    rows, weight = 1e6 + generator.standard_normal((60, 3)), generator.integers(1, 5, 60)
    rows[generator.uniform(size=rows.shape) < 0.2] = np.nan
    moments, repeated = Moments.of_nothing(3), np.repeat(rows, weight, axis=0)
    for start in (0, 25, 50):
        part = slice(start, start + 25)
        moments.add(rows[part], weight[part].astype(float))
    np.testing.assert_allclose(moments.count, (~np.isnan(repeated)).sum(axis=0))
    np.testing.assert_allclose(moments.mean, np.nanmean(repeated, axis=0), rtol=1e-12)
    std = np.sqrt(moments.squares / moments.count)
    np.testing.assert_allclose(std, np.nanstd(repeated, axis=0), rtol=1e-8)


def test_links() -> None:
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((80, 3)) @ generator.standard_normal((3, 3))
    rows[generator.uniform(size=rows.shape) < 0.2] = np.nan
    weight = generator.integers(1, 5, 80)
    repeated, moments = np.repeat(rows, weight, axis=0), Moments.of_nothing(3)
    moments.add(repeated)
    scaler = moments.scaler()
    np.testing.assert_allclose(
        Links.of(rows, scaler, weight.astype(float)).correlation,
        Links.of(repeated, scaler).correlation,
        rtol=1e-9,
        atol=1e-12,
    )


def test_law() -> None:
    generator = np.random.default_rng(0)
    mean, var = generator.standard_normal((900, 1)), generator.uniform(0.1, 2, (900, 1))
    y = mean + np.sqrt(var) * generator.standard_t(5, (900, 1))
    weight, one = generator.integers(1, 4, 900), np.ones(1)
    law, loss = fit_law(
        y, mean, var, 0 * one, one, one, weight=weight / np.mean(weight, dtype=float)
    )
    repeated, repeated_loss = fit_law(
        *(np.repeat(part, weight, axis=0) for part in (y, mean, var)), 0 * one, one, one
    )
    assert loss == pytest.approx(repeated_loss, abs=1e-4)
    # The quantiles of the ramps' knots are not weighted.
    np.testing.assert_allclose(law.var(mean, var), repeated.var(mean, var), rtol=0.03)


def test_novelty() -> None:
    X, y, weight = table(60)
    model = TagiRegressor(**QUICK).fit(X, y)
    rows, about = X.astype(np.float32), (y - y.mean())[:, np.newaxis]
    known = learn(model.nets_, rows, about, (8,), encoding=model._encoding)
    weight = weight + 1
    more, repeated = (
        known.with_rows(rows[:20], about[:20], weight[:20].astype(float)),
        known.with_rows(
            np.repeat(rows[:20], weight[:20], 0), np.repeat(about[:20], weight[:20], 0)
        ),
    )
    probes = np.random.default_rng(1).uniform(-3, 3, (30, 2)).astype(np.float32)
    for got, expected in zip(more.posterior(probes), repeated.posterior(probes), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-9)
    # The variance of a Gaussian process whose rows have noise of their own, in closed form.
    weighted = learn(model.nets_, rows, about, (8,), weight.astype(float), encoding=model._encoding)
    kernel = weighted._factors(weighted._seen(rows))
    gram = np.linalg.inv(
        np.eye(kernel.shape[1]) + kernel.T @ (weight[:, np.newaxis] * kernel) / weighted.noise_ratio
    )
    np.testing.assert_allclose(
        weighted.posterior(rows)[0],
        np.einsum("ij,jk,ik->i", kernel, gram, kernel)
        + np.maximum(_left(weighted, rows, kernel), 0.0),
        rtol=1e-6,
        atol=1e-9,
    )


def _left(novelty: Any, rows: Array, kernel: Array) -> Array:
    """What the inducing rows do not see."""
    from tagix.sklearn._prior_kernel import variances

    return np.asarray(variances(novelty._seen(rows), (8,)) - np.sum(kernel**2, axis=1))


def test_scikit_learn_passes_weights_on() -> None:
    X, y, _ = table(80)
    bag = BaggingRegressor(TagiRegressor(**QUICK), n_estimators=2, random_state=0)
    bag.fit(X, y, sample_weight=np.linspace(0.5, 2, 80))
    assert np.isfinite(bag.predict(X)).all()
