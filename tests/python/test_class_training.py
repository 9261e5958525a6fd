"""Networks that learn classes: updates and history in closed form, digits, many classes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import pytest
from class_likelihoods import (
    CLIP,
    Likelihood,
    classifier,
    clusters,
    forward,
    innovations,
    on_every_head,
    one_layer,
    probabilities,
    rows,
)
from helpers import Array, on_every_device, same_bits, unchanged

import tagix as tx
from tagix import metrics, nn


@on_every_device
@on_every_head
@pytest.mark.parametrize("n_classes", [2, 3, 7, 10])
@pytest.mark.parametrize("batch_size", [1, 6])
def test_one_update_is_the_closed_form(
    head: Callable[[int], Likelihood], n_classes: int, batch_size: int, device: str
) -> None:
    likelihood = head(n_classes)
    net = one_layer(likelihood, device=device)
    x, labels = rows(batch_size, n_classes, seed=n_classes)
    labels[0] = n_classes - 1
    x_var = np.random.default_rng(1).uniform(0, 0.5, x.shape).astype(np.float32)
    mean, var = forward(net, x, x_var)
    delta_mean, delta_var = innovations(likelihood, mean, var, labels)
    expected = {}
    for (name, prior), input_mean in zip(
        net.named_parameters(), (np.float64(x), np.ones((batch_size, 1))), strict=True
    ):
        gain, precision = delta_mean.T @ input_mean, -delta_var.T @ input_mean**2
        m, v = (np.reshape(np.float64(a), gain.shape) for a in (prior.mean, prior.var))
        posterior = v / (1 + v * precision)
        step = np.clip(posterior * gain, -CLIP * np.sqrt(v), CLIP * np.sqrt(v))
        expected[name] = (m + step, posterior)
    prediction = net.update(x, labels, x_var=x_var)
    np.testing.assert_allclose(prediction.mean, mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(prediction.var, var, rtol=1e-5)
    for name, parameter in net.named_parameters():
        m, v = (a.reshape(parameter.mean.shape) for a in expected[name])
        np.testing.assert_allclose(parameter.mean, m, rtol=2e-5, atol=2e-6)
        np.testing.assert_allclose(parameter.var, v, rtol=2e-5)


@on_every_device
@on_every_head
def test_missing_labels_change_nothing(head: Callable[[int], Likelihood], device: str) -> None:
    net = classifier(head(5), device=device)
    x, labels = clusters(40)
    with unchanged(net):
        net.update(x, np.full(40, -1))
    before = {key: value.copy() for key, value in net.state_dict().items()}
    history = net.fit(x, np.full(40, -1), n_epochs=1, progress=False)
    assert same_bits(net.state_dict(), before)
    assert math.isnan(history.train_log_likelihood[0])
    # Rows whose label is missing count in the size of a batch, and in nothing else.
    other = classifier(head(5), device=device)
    other_x = x.copy()
    labels[::2] = -1
    other_x[::2] = 7
    net.update(x, labels)
    other.update(other_x, labels)
    assert same_bits(net.state_dict(), other.state_dict())
    assert not same_bits(net.state_dict(), before)


@on_every_device
@on_every_head
def test_history_against_float64(head: Callable[[int], Likelihood], device: str) -> None:
    likelihood = head(5)
    net = one_layer(likelihood, device=device)
    x, labels = rows(40, 5)
    held_out, held_out_labels = rows(30, 5, seed=9)
    seen = labels >= 0
    p = probabilities(likelihood, *forward(net, x))[seen, labels[seen]]
    history = net.fit(
        x,
        labels,
        n_epochs=1,
        batch_size=40,
        progress=False,
        validation=(held_out, held_out_labels),
    )
    (got,) = zip(
        history.train_log_likelihood,
        history.train_mse,
        history.predicted_var,
        history.surprise,
        strict=True,
    )
    expected = np.log(p), (1 - p) ** 2, p * (1 - p), (1 / p - 1) / 4
    assert got == pytest.approx([float(term.mean()) for term in expected], rel=1e-4)
    seen = held_out_labels >= 0
    p = probabilities(likelihood, *forward(net, held_out))[seen, held_out_labels[seen]]
    assert history.validation_log_likelihood == pytest.approx([np.log(p).mean()], rel=1e-4)
    assert history.validation_mse == pytest.approx([((1 - p) ** 2).mean()], rel=1e-4)


def test_forgetting_without_the_test_for_drift() -> None:
    net = classifier(tx.HierarchicalSoftmax(5), forgetting=tx.Forgetting(0.1, drift_level=None))
    without = classifier(tx.HierarchicalSoftmax(5))
    x, labels = clusters(50)
    for each in (net, without):
        each.fit(x, labels, n_epochs=2, batch_size=5, progress=False)
    forgetful, kept = (dict(each.named_parameters())["0.weight"] for each in (net, without))
    assert forgetful.var.mean() > kept.var.mean()


@pytest.fixture(scope="module")
def digits() -> tuple[Array, Array, Array, Array]:
    """Handwritten digits, standardized: 1200 to learn, 597 to try."""
    datasets = pytest.importorskip("sklearn.datasets", reason="needs the lab extra")
    x, labels = datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, labels = x[order], labels[order]
    std = x[:1200].std(axis=0)
    x = ((x - x[:1200].mean(axis=0)) / np.where(std > 0, std, 1)).astype(np.float32)
    return x[:1200], labels[:1200], x[1200:], labels[1200:]


@pytest.mark.parametrize(
    ("head", "least"),
    [(tx.HierarchicalSoftmax(10), -0.15), (tx.Remax(10), -0.25), (tx.OneVsRest(10), -0.12)],
    ids=["tree", "remax", "one vs rest"],
)
def test_digits(digits: tuple[Array, Array, Array, Array], head: Likelihood, least: float) -> None:
    x, labels, held_out, truth = digits
    net = nn.Sequential(
        *(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, head.n_outputs)), likelihood=head, seed=0
    )
    history = net.fit(x, labels, n_epochs=20, batch_size=16, progress=False)
    p = np.float64(net.predict_proba(held_out))
    assert (p.argmax(axis=1) == truth).mean() > 0.95
    assert np.log(p[np.arange(len(truth)), truth]).mean() > least
    # One vs rest has a link that no rows have been asked for.
    assert metrics.expected_calibration_error(truth, p) < (0.08 if least == -0.12 else 0.05)
    assert history.train_log_likelihood[-1] > history.train_log_likelihood[0]


def test_thousands_of_classes(capsys: pytest.CaptureFixture[str]) -> None:
    # 3000 places in 12 dimensions, numbered at random: the tree has to learn where each is.
    n_classes, n_features = 3000, 12
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((n_classes, n_features))
    labels = np.tile(np.arange(n_classes), 5)
    x = centres[labels] + 0.05 * generator.standard_normal((len(labels), n_features))
    head = tx.HierarchicalSoftmax(n_classes)
    net = nn.Sequential(
        *(nn.Linear(n_features, 32), nn.ReLU(), nn.Linear(32, head.n_outputs)),
        likelihood=head,
        seed=0,
    )
    start = time.perf_counter()
    history = net.fit(x, labels, n_epochs=2, batch_size=8, progress=False)
    seconds = time.perf_counter() - start
    held_out = centres + 0.05 * generator.standard_normal(centres.shape)
    p = net.predict_proba(held_out)
    accuracy = (p.argmax(axis=1) == np.arange(n_classes)).mean()
    likely = np.log(np.float64(p[np.arange(n_classes), np.arange(n_classes)]) + 1e-30).mean()
    with capsys.disabled():
        print(f"\n3000 classes: accuracy {accuracy:.3f}, log p {likely:.2f}, {seconds:.1f} s")
    assert history.train_log_likelihood[-1] > history.train_log_likelihood[0]
    assert likely > math.log(1 / n_classes) + 1.5 and accuracy > 20 / n_classes
