"""Networks of classes: the three likelihoods, and uncertain inputs in fit."""

from __future__ import annotations

import copy
import math
import pickle
import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import (
    Array,
    in_threads,
    needs_cuda,
    on_every_device,
    regression_data,
    same_bits,
    small,
    state_error,
    unchanged,
)

import tagix as tx
from tagix import metrics, nn

Likelihood = tx.HierarchicalSoftmax | tx.OneVsRest | tx.Remax | tx.Softmax

HEADS: dict[str, Callable[[int], Likelihood]] = {
    "tree": tx.HierarchicalSoftmax,
    "remax": tx.Remax,
    "remax of std 1": lambda n_classes: tx.Remax(n_classes, std=1),
    "softmax": tx.Softmax,
    "one vs rest": tx.OneVsRest,
    "flat one vs rest": lambda n: tx.OneVsRest(n, std=1, link_std=0.5, sharpness=0.7),
}
on_every_head = pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)

erf = np.vectorize(math.erf, otypes=[np.float64])
SHARE, CLIP = 0.01, 1 / 3  # of tagix.Information()


def normal_cdf(x: Array) -> Array:
    return np.asarray(0.5 * (1 + erf(x / np.sqrt(2))))


def normal_density(x: Array) -> Array:
    return np.asarray(np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi))


def paths(n_classes: int) -> list[list[tuple[int, int]]]:
    """For each class the (output, branch) on its way from the root: 1 for right, -1 for left.

    A complete binary tree, numbered from the top down and from left to right.
    """
    found: dict[int, list[tuple[int, int]]] = {}
    level = [(1, list[tuple[int, int]]())]
    while level:
        below = []
        for node, path in level:
            if node >= n_classes:
                found[node - n_classes] = path
                continue
            below.append((2 * node, [*path, (node - 1, -1)]))
            below.append((2 * node + 1, [*path, (node - 1, 1)]))
        level = below
    return [found[label] for label in range(n_classes)]


def remax_shares(mean: Array, var: Array) -> tuple[Array, Array, Array]:
    """Means and variances of shares and Cov(z, share) / Var z, by log-normal variables."""
    sd = np.sqrt(var)
    density, probability = normal_density(mean / sd), normal_cdf(mean / sd)
    first = mean * probability + sd * density
    spread = (mean**2 + var) * probability + mean * sd * density - first**2
    total, total_var = first.sum(1, keepdims=True), spread.sum(1, keepdims=True)
    log_var, log_total_var = np.log1p(spread / first**2), np.log1p(total_var / total**2)
    covariance = np.log1p(spread / (first * total))
    log_mean = np.log(first) - log_var / 2 - np.log(total) + log_total_var / 2
    of_share = log_var + log_total_var - 2 * covariance
    share = np.exp(log_mean + of_share / 2)
    jacobian = probability * first * share * np.expm1(log_var - covariance) / spread
    return share, share**2 * np.expm1(of_share), jacobian


def rectified_sum(mean: Array, var: Array) -> tuple[Array, Array, Array]:
    """Mean and variance of the sum of rectified outputs (rows, 1), and P(z > 0)."""
    sd = np.sqrt(var)
    density, probability = normal_density(mean / sd), normal_cdf(mean / sd)
    first = mean * probability + sd * density
    spread = (mean**2 + var) * probability + mean * sd * density - first**2
    return first.sum(1, keepdims=True), spread.sum(1, keepdims=True), probability


def softmax_terms(mean: Array, var: Array) -> tuple[Array, Array]:
    """Probabilities and their slopes k: log odds of each class against the rest, flattened."""
    share = np.exp(mean - mean.max(1, keepdims=True))
    share /= share.sum(1, keepdims=True)
    total_var = np.empty_like(var)
    for i in range(mean.shape[1]):
        rest = np.delete(share, i, axis=1)
        rest /= rest.sum(1, keepdims=True)
        total_var[:, i] = var[:, i] + (rest**2 * np.delete(var, i, axis=1)).sum(1)
    slope = 1 / np.sqrt(1 + np.pi / 8 * total_var)
    weight = share**slope
    return weight / weight.sum(1, keepdims=True), slope


def probabilities(head: Likelihood, mean: Array, var: Array) -> Array:
    """(rows, n_classes) in float64."""
    if isinstance(head, tx.Softmax):
        return softmax_terms(mean, var)[0]
    if isinstance(head, tx.OneVsRest):
        exceeds = normal_cdf((mean - 0.5) / np.sqrt(var + head.config["link_std"] ** 2))
        weight = exceeds ** head.config["sharpness"]
        return np.asarray(weight / weight.sum(1, keepdims=True))
    if isinstance(head, tx.Remax):
        weight = remax_shares(mean, var)[0] + 1e-6
        return np.asarray(weight / weight.sum(1, keepdims=True))
    right = normal_cdf(mean / np.sqrt(1 + var))
    columns = [
        np.prod([right[:, i] if s > 0 else 1 - right[:, i] for i, s in path], axis=0)
        for path in paths(head.n_classes)
    ]
    return np.stack(columns, axis=1)


def innovations(head: Likelihood, mean: Array, var: Array, labels: Array) -> tuple[Array, Array]:
    """What outputs have to learn from labels in a batch of that size, in float64."""
    spread = 1 + SHARE * (len(labels) - 1)
    delta_mean, delta_var = np.zeros_like(mean), np.zeros_like(mean)

    def learn(at: Any, score: Array, information: Array) -> None:
        divisor = 1 + information * var[at] * (spread - 1)
        delta_mean[at], delta_var[at] = score / divisor, -information / divisor

    for row, label in enumerate(labels):
        if label < 0:
            continue
        if isinstance(head, tx.OneVsRest):
            total = var[row] * spread + head.config["std"] ** 2
            delta_mean[row] = (np.eye(head.n_classes)[label] - mean[row]) / total
            delta_var[row] = -1 / total
            continue
        if isinstance(head, tx.Softmax):
            p, slope = (a[0] for a in softmax_terms(mean[[row]], var[[row]]))
            learn(row, slope * (np.eye(head.n_classes)[label] - p), slope**2 * p * (1 - p))
            continue
        if isinstance(head, tx.Remax):
            share, share_var, jacobian = (a[0] for a in remax_shares(mean[[row]], var[[row]]))
            noise_var = np.float64(np.float32(head.config["std"] ** 2))
            total = share * (1 - share) + share_var * (spread - 1) + noise_var
            sum_mean, sum_var, slope = (a[0] for a in rectified_sum(mean[[row]], var[[row]]))
            scale = head.n_classes / np.sqrt(2 * np.pi)
            scale_var = sum_var * spread + scale**2
            delta_mean[row] = jacobian * (np.eye(head.n_classes)[label] - share) / total
            delta_mean[row] += slope * (scale - sum_mean) / scale_var
            delta_var[row] = -(jacobian**2) / total - slope**2 / scale_var
            continue
        for i, branch in paths(head.n_classes)[label]:
            scale = np.sqrt(1 + var[row, i])
            beta = mean[row, i] / scale
            density, right = normal_density(beta), normal_cdf(beta)
            taken = right if branch > 0 else 1 - right
            learn(
                (row, i),
                branch * density / taken / scale,
                density**2 / (right * (1 - right)) / scale**2,
            )
    return delta_mean, delta_var


def one_layer(head: Likelihood, **options: Any) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, head.n_outputs), likelihood=head, seed=3, **options)


def forward(net: nn.Sequential, x: Array, x_var: Array | float = 0.0) -> tuple[Array, Array]:
    """Mean and variance of the outputs of one layer in float64."""
    (_, weight), (_, bias) = net.named_parameters()
    w, v = (np.float64(part) for part in (weight.mean, weight.var))
    x64 = np.float64(x)
    x_var = np.broadcast_to(np.float64(x_var), x.shape)
    mean = x64 @ w.T + np.float64(bias.mean)
    return mean, x64**2 @ v.T + x_var @ (w**2 + v).T + np.float64(bias.var)


def rows(n_rows: int, n_classes: int, seed: int = 0) -> tuple[Array, Array]:
    """Inputs (n_rows, 4) and labels, one in five of them missing."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((n_rows, 4)).astype(np.float32)
    labels = generator.integers(0, n_classes, n_rows)
    labels[generator.random(n_rows) < 0.2] = -1
    return x, labels


def clusters(n_rows: int, n_classes: int = 5, seed: int = 0) -> tuple[Array, Array]:
    """Overlapping blobs, one for each class, in four dimensions."""
    centres = np.random.default_rng(99).standard_normal((n_classes, 4))
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, n_classes, n_rows)
    x = centres[labels] + 0.5 * generator.standard_normal((n_rows, 4))
    return x.astype(np.float32), labels


def classifier(head: Likelihood, **options: Any) -> nn.Sequential:
    layers = nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, head.n_outputs)
    return nn.Sequential(*layers, likelihood=head, seed=1, **options)


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
@pytest.mark.parametrize("n_classes", [2, 5, 12])
def test_probabilities(head: Callable[[int], Likelihood], n_classes: int, device: str) -> None:
    likelihood = head(n_classes)
    net = one_layer(likelihood, device=device)
    x, _ = rows(50, n_classes)
    for x_var in (None, np.full_like(x, 0.3)):
        got = net.predict_proba(x, x_var)
        assert got.dtype == np.float32 and got.shape == (50, n_classes)
        assert np.abs(got.sum(axis=1) - 1).max() < 1e-6 and (got >= 0).all()
        expected = probabilities(likelihood, *forward(net, x, 0.0 if x_var is None else x_var))
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=1e-7)
    assert net.predict_proba(x[:0]).shape == (0, n_classes)


@pytest.mark.parametrize("n_classes", [2, 6])
def test_probabilities_of_a_tree_are_those_of_drawn_outputs(n_classes: int) -> None:
    net = one_layer(tx.HierarchicalSoftmax(n_classes))
    x, _ = rows(6, n_classes)
    latent = net(x)
    n_draws = 100_000
    z = np.random.default_rng(0).standard_normal((n_draws, *latent.mean.shape))
    right = normal_cdf(np.round(latent.mean + np.sqrt(latent.epistemic) * z, 2))
    for label, path in enumerate(paths(n_classes)):
        drawn = np.prod([right[..., i] if s > 0 else 1 - right[..., i] for i, s in path], axis=0)
        error = drawn.mean(axis=0) - net.predict_proba(x)[:, label]
        assert np.abs(error / (drawn.std(axis=0) / math.sqrt(n_draws))).max() < 4.5


def test_probabilities_of_a_tree_are_those_of_drawn_networks() -> None:
    net = one_layer(tx.HierarchicalSoftmax(4))
    x, _ = rows(20, 4)
    drawn = np.stack([net.draw(seed).predict_proba(x) for seed in range(1000)])
    assert np.abs(drawn.sum(axis=2) - 1).max() < 1e-6
    error = (drawn.mean(axis=0) - net.predict_proba(x)) / (drawn.std(axis=0) / math.sqrt(1000))
    assert np.abs(error).max() < 4.5


def test_probabilities_of_remax_are_near_those_of_drawn_outputs() -> None:
    # Shares are ratios of rectified Gaussians, which are not quite log-normal.
    likelihood = tx.Remax(4)
    net = one_layer(likelihood)
    (_, weight), (_, bias) = net.named_parameters()
    weight.mean[:] = 0
    bias.mean[:] = [0.2, 1, 0.6, 0.4]
    worst = {}
    for scale in (1e-4, 1e-2, 0.1):
        weight.var[:] = 0
        bias.var[:] = scale
        z = np.random.default_rng(0).standard_normal((200_000, 4)) * math.sqrt(scale)
        rectified = np.maximum(bias.mean + z, 0)
        drawn = (rectified / rectified.sum(axis=1, keepdims=True)).mean(axis=0)
        worst[scale] = np.abs(net.predict_proba(np.zeros((1, 4)))[0] - drawn).max()
    assert worst[1e-4] < 2e-4 and worst[1e-2] < 0.005 and worst[0.1] < 0.05


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_probabilities_of_a_softmax_are_near_those_of_drawn_outputs(n_classes: int) -> None:
    # The expectation of a softmax has no closed form.
    net = one_layer(tx.Softmax(n_classes))
    (_, weight), (_, bias) = net.named_parameters()
    weight.mean[:] = 0
    weight.var[:] = 0
    bias.mean[:] = np.linspace(-1, 1, n_classes)
    for scale, worst in ((1e-3, 3e-4), (0.1, 0.005), (1.0, 0.02), (10.0, 0.06)):
        bias.var[:] = scale * np.linspace(0.5, 1.5, n_classes)
        noise = np.random.default_rng(0).standard_normal((100_000, n_classes))
        z = np.exp(bias.mean + np.sqrt(bias.var) * noise)
        drawn = (z / z.sum(axis=1, keepdims=True)).mean(axis=0)
        assert np.abs(net.predict_proba(np.zeros((1, 4)))[0] - drawn).max() < worst


@on_every_device
@pytest.mark.parametrize("head", [tx.HierarchicalSoftmax(4), tx.Softmax(4)], ids=repr)
def test_outputs_that_nothing_is_known_of_leave_all_classes_as_likely(
    head: Likelihood, device: str
) -> None:
    net = one_layer(head, device=device)
    state = net.state_dict()
    state["0.bias.mean"] = np.linspace(-20, 30, head.n_outputs, dtype=np.float32)
    state["0.bias.var"] = np.full(head.n_outputs, 1e12, np.float32)
    net.load_state_dict(state)
    np.testing.assert_allclose(net.predict_proba(np.zeros((9, 4))), 0.25, rtol=1e-3)


@on_every_device
def test_one_vs_rest_far_out(device: str) -> None:
    # log Phi(-a) by the continued fraction of the Mills ratio, in float64.
    net = one_layer(tx.OneVsRest(4, link_std=0.1), device=device)
    mean = np.array([-3.0, -3.05, -2.9, -40.0])
    state = {name: np.zeros_like(array) for name, array in net.state_dict().items()}
    state["0.bias.mean"] = mean.astype(np.float32)
    net.load_state_dict(state)
    a = (0.5 - mean) / 0.1
    denominator = a.copy()
    for k in range(100, 0, -1):
        denominator = a + k / denominator
    log_weight = 2 * (-(a**2) / 2 - np.log(denominator))
    weight = np.exp(log_weight - log_weight.max())
    got = net.predict_proba(np.zeros((1, 4)))[0]
    # Exponents near 1000 have an error of 1e-4 in float32.
    np.testing.assert_allclose(got, weight / weight.sum(), rtol=2e-3, atol=1e-12)


def rare_class(n_rows: int, n_classes: int, rate: float, seed: int) -> tuple[Array, Array]:
    """Inputs that say nothing of labels, of which class 0 has that rate, the others the rest."""
    n_rare = round(rate * n_rows)
    labels = np.concatenate([np.zeros(n_rare), 1 + np.arange(n_rows - n_rare) % (n_classes - 1)])
    x = np.random.default_rng(seed).standard_normal((n_rows, 2)).astype(np.float32)
    return x, labels.astype(np.int64)


@pytest.mark.parametrize(
    ("n_classes", "rate", "n_rows", "n_epochs"),
    [(2, 0.02, 1000, 30), (2, 0.1, 1000, 30), (10, 0.02, 1000, 10), (30, 0.5, 3000, 5)],
)
@pytest.mark.parametrize(("batch_size", "share"), [(4, 0.1), (16, 0.1), (256, 0.01), (256, 0.1)])
@pytest.mark.parametrize("head", [tx.HierarchicalSoftmax, tx.Remax, tx.Softmax])
def test_a_class_has_the_probability_of_its_rate(
    head: Callable[[int], Likelihood],
    batch_size: int,
    share: float,
    n_classes: int,
    rate: float,
    n_rows: int,
    n_epochs: int,
) -> None:
    """Without signal, in batches of any size; against the rates of the rows that were learned."""
    likelihood = head(n_classes)
    net = nn.Sequential(
        nn.Linear(2, 32, gain_bias=3),
        nn.ReLU(),
        nn.Linear(32, likelihood.n_outputs),
        likelihood=likelihood,
        rule=tx.Information(share=share),
        seed=0,
    )
    x, labels = rare_class(n_rows, n_classes, rate, seed=0)
    net.fit(x, labels, n_epochs=n_epochs, batch_size=batch_size, progress=False)
    held_out, truth = rare_class(2000, n_classes, rate, seed=1)
    p = net.predict_proba(held_out)
    # What a fit without signal finds by chance grows with the number of classes.
    assert abs(p[:, 0].mean() / rate - 1) < 0.4
    rates = np.bincount(labels, minlength=n_classes) / n_rows
    excess = np.log(rates[truth]).mean() - np.log(p[np.arange(len(p)), truth]).mean()
    assert excess < (0.06 if n_classes == 2 else 0.12)


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


@on_every_device
@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("head", [None, tx.HierarchicalSoftmax(5), tx.Remax(5)], ids=str)
def test_fit_on_uncertain_inputs_is_update_by_update(
    head: Likelihood | None, batch_size: int, device: str
) -> None:
    noise = tx.Heteroscedastic() if head is None else None
    make = (
        (lambda: small(noise=noise, device=device))
        if head is None
        else lambda: classifier(head, device=device)
    )
    x, y = regression_data(50) if head is None else clusters(50)
    x_var = np.random.default_rng(2).uniform(0, 0.4, x.shape).astype(np.float32)
    fitted, updated, exact = make(), make(), make()
    fitted.fit(x, y, x_var=x_var, n_epochs=1, batch_size=batch_size, shuffle=False, progress=False)
    for first in range(0, 50, batch_size):
        part = slice(first, first + batch_size)
        updated.update(x[part], y[part], x_var=x_var[part])
    assert state_error(fitted.state_dict(), updated.state_dict()) < 2e-5
    exact.fit(x, y, n_epochs=1, batch_size=batch_size, shuffle=False, progress=False)
    assert state_error(exact.state_dict(), updated.state_dict()) > 1e-3


def test_fit_shuffles_variances_with_their_rows() -> None:
    # A row of no certainty beside certain ones: it must say as little wherever it comes.
    x, y = regression_data(64)
    x_var = np.zeros_like(x)
    x_var[::2] = 4
    y[::2] += 20
    nets = [small(noise=tx.Homoscedastic(0.3)) for _ in range(2)]
    for net, permutation in zip(nets, (np.arange(64), np.arange(64)[::-1]), strict=True):
        net.fit(
            x[permutation],
            y[permutation],
            x_var=x_var[permutation],
            n_epochs=1,
            batch_size=64,
            progress=False,
        )
    assert state_error(nets[0].state_dict(), nets[1].state_dict()) < 1e-5


@on_every_head
def test_any_number_of_threads_gives_the_same_bits(head: Callable[[int], Likelihood]) -> None:
    x, labels = clusters(3000, 40)
    results = []
    for n_threads in (1, 2, 3):
        tx.set_num_threads(n_threads)
        net = classifier(head(40))
        net.fit(x, labels, n_epochs=1, batch_size=1024, progress=False)
        results.append(net.state_dict() | {"p": net.predict_proba(x)})
    assert same_bits(results[0], results[1]) and same_bits(results[0], results[2])


def test_predictions_in_several_threads() -> None:
    net = classifier(tx.HierarchicalSoftmax(5))
    x, _ = clusters(500)
    expected = net.predict_proba(x)
    got: list[Array] = []
    in_threads([lambda: got.append(net.predict_proba(x))] * 4)
    assert len(got) == 4 and all(same_bits({"p": p}, {"p": expected}) for p in got)


@on_every_device
@on_every_head
def test_copies(head: Callable[[int], Likelihood], device: str) -> None:
    net = classifier(head(5), device=device)
    x, labels = clusters(60)
    net.fit(x, labels, n_epochs=1, batch_size=16, progress=False)
    copies = [pickle.loads(pickle.dumps(net)), copy.deepcopy(net)]
    net.update(x, labels)
    for other in copies:
        assert other.likelihood == net.likelihood and other.likelihood.config == head(5).config
        assert other.device == device
        other.update(x, labels)
        assert same_bits(other.state_dict(), net.state_dict())
        assert same_bits({"p": other.predict_proba(x)}, {"p": net.predict_proba(x)})
    drawn = net.draw(1)
    assert drawn.likelihood == net.likelihood
    mean = np.float64(drawn(x).mean)
    assert not drawn(x).epistemic.any()
    p = drawn.predict_proba(x)
    if isinstance(net.likelihood, tx.Remax):
        weight = np.maximum(mean, 0) + 1e-30
        expected = weight / weight.sum(axis=1, keepdims=True)
        on = mean.max(axis=1) > 0.1
        np.testing.assert_allclose(p[on], expected[on], atol=5e-5)
    else:
        expected = probabilities(net.likelihood, mean, np.zeros_like(mean))
        np.testing.assert_allclose(p, expected, rtol=1e-4, atol=1e-7)


@needs_cuda
@on_every_head
def test_the_other_device(head: Callable[[int], Likelihood]) -> None:
    net = classifier(head(5))
    x, labels = clusters(60)
    net.fit(x, labels, n_epochs=1, batch_size=16, progress=False)
    expected = net.predict_proba(x)
    moved = copy.deepcopy(net).to("cuda")
    assert moved.likelihood == net.likelihood
    np.testing.assert_allclose(moved.predict_proba(x), expected, rtol=1e-4, atol=1e-7)
    moved.update(x, labels)
    net.update(x, labels)
    assert state_error(moved.to("cpu").state_dict(), net.state_dict()) < 1e-5
    # Inputs that are there already, and labels that are not.
    on_gpu = classifier(head(5), device="cuda")
    on_cpu = classifier(head(5))
    prediction = on_gpu.update(tx.cuda.Array(x), labels)
    assert isinstance(prediction.mean, tx.cuda.Array)
    on_cpu.update(x, labels)
    on_gpu.fit(tx.cuda.Array(x), labels, n_epochs=1, batch_size=16, progress=False)
    on_cpu.fit(x, labels, n_epochs=1, batch_size=16, progress=False)
    assert state_error(on_gpu.state_dict(), on_cpu.state_dict()) < 1e-5


def test_values() -> None:
    tree, remax = tx.HierarchicalSoftmax(10), tx.Remax(10, std=0.25)
    softmax = tx.Softmax(10)
    assert (softmax.n_classes, softmax.n_outputs, softmax.config) == (10, 10, {"n_classes": 10})
    assert repr(softmax) == "Softmax(n_classes=10)"
    assert (tree.n_classes, tree.n_outputs, tree.config) == (10, 9, {"n_classes": 10})
    assert (remax.n_classes, remax.n_outputs) == (10, 10)
    assert remax.config == {"n_classes": 10, "std": 0.25}
    assert repr(tree) == "HierarchicalSoftmax(n_classes=10)"
    assert repr(remax) == "Remax(n_classes=10, std=0.25)"
    one_vs_rest = tx.OneVsRest(10, link_std=0.5)
    assert (one_vs_rest.n_classes, one_vs_rest.n_outputs) == (10, 10)
    assert one_vs_rest.config == {"n_classes": 10, "std": 0.3, "link_std": 0.5, "sharpness": 2.0}
    assert repr(one_vs_rest) == "OneVsRest(n_classes=10, std=0.3, link_std=0.5, sharpness=2.0)"
    for value in (tree, remax, softmax, one_vs_rest):
        twin = type(value)(**value.config)
        assert twin == value and hash(twin) == hash(value)
        assert pickle.loads(pickle.dumps(value)) == value and copy.deepcopy(value) == value
        with pytest.raises(AttributeError):
            value.n_classes = 3
    assert len({tree, remax, tx.HierarchicalSoftmax(9), tx.Remax(10)}) == 4
    for n_classes in (2, 1000, 2**24):
        assert tx.Remax(n_classes).config["std"] == pytest.approx(0.1)
    assert classifier(tree).likelihood == tree and small().likelihood is None


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: tx.HierarchicalSoftmax(1), ValueError, "n_classes: got 1, needed 2 to 16777216"),
        (lambda: tx.Remax(2**24 + 1), ValueError, "n_classes: got 16777217"),
        (lambda: tx.HierarchicalSoftmax(3.5), TypeError, "n_classes: got 3.5"),
        (lambda: tx.HierarchicalSoftmax("3"), TypeError, "n_classes: got '3'"),
        (lambda: tx.Remax(3, std=0), ValueError, "std: got 0"),
        (lambda: tx.Remax(3, std=math.nan), ValueError, "std: got nan"),
        (lambda: tx.Remax(3, std="1"), TypeError, "std: got '1'"),
        (lambda: tx.OneVsRest(1), ValueError, "n_classes: got 1, needed 2 to 16777216"),
        (lambda: tx.OneVsRest(3, std=0), ValueError, "std: got 0, needed None or a number in"),
        (lambda: tx.OneVsRest(3, link_std=math.inf), ValueError, "link_std: got inf"),
        (lambda: tx.OneVsRest(3, sharpness=2000), ValueError, "sharpness: got 2000"),
        (lambda: tx.OneVsRest(3, sharpness="2"), TypeError, "sharpness: got '2'"),
        (
            lambda: nn.Sequential(nn.Linear(4, 5), likelihood=tx.HierarchicalSoftmax(5)),
            ValueError,
            "likelihood: got 5 outputs of the last layer, needed 4 for 5 classes",
        ),
        (
            lambda: nn.Sequential(nn.Linear(4, 4), likelihood=tx.Remax(5)),
            ValueError,
            "likelihood: got 4 outputs of the last layer, needed 5 for 5 classes",
        ),
        (lambda: nn.Sequential(nn.Linear(4, 4), likelihood=5), TypeError, "likelihood: got 5"),
        (
            lambda: classifier(tx.Remax(5), noise=tx.Homoscedastic(0.1)),
            ValueError,
            "noise: got Homoscedastic(",
        ),
        (
            lambda: classifier(tx.Remax(5), noise=tx.Heteroscedastic()),
            ValueError,
            "noise: got Heteroscedastic(",
        ),
        (
            lambda: classifier(tx.Remax(5), forgetting=tx.Forgetting()),
            ValueError,
            "forgetting: got a test for drift with classes",
        ),
        (lambda: nn.Sequential(classifier(tx.Remax(5))), ValueError, "layers: got a Sequential"),
    ],
)
def test_what_cannot_be_made(
    make: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match="^" + re.escape(message)):
        make()


def test_forgetting_without_the_test_for_drift() -> None:
    net = classifier(tx.HierarchicalSoftmax(5), forgetting=tx.Forgetting(0.1, drift_level=None))
    without = classifier(tx.HierarchicalSoftmax(5))
    x, labels = clusters(50)
    for each in (net, without):
        each.fit(x, labels, n_epochs=2, batch_size=5, progress=False)
    forgetful, kept = (dict(each.named_parameters())["0.weight"] for each in (net, without))
    assert forgetful.var.mean() > kept.var.mean()


X, LABELS = clusters(5)
BAD_LABELS: list[tuple[Any, type[Exception], str]] = [
    (np.array([0, 1, 2, 3, 5]), ValueError, "y: got 5, needed classes in [0, 5)"),
    (np.array([0, 1, -2, 3, 4]), ValueError, "y: got -2, needed classes in [0, 5)"),
    (LABELS.astype(float), TypeError, "y: got an array of float64, needed integers"),
    (np.eye(5)[LABELS], TypeError, "y: got an array of float64, needed integers"),
    (np.eye(5, dtype=int)[LABELS], ValueError, "y: got shape (5, 5)"),
    (LABELS[:4], ValueError, "y: got shape (4,), needed one integer, or (5,)"),
    (np.array(["a"] * 5), TypeError, "y: got "),
    (None, TypeError, "y: got "),
]


@on_every_device
@pytest.mark.parametrize(("labels", "error", "message"), BAD_LABELS)
def test_wrong_labels(labels: Any, error: type[Exception], message: str, device: str) -> None:
    net = classifier(tx.HierarchicalSoftmax(5), device=device)
    match = "^" + re.escape(message)
    with unchanged(net):
        with pytest.raises(error, match=match):
            net.update(X, labels)
        with pytest.raises(error, match=match):
            net.fit(X, labels, n_epochs=1, progress=False)
        with pytest.raises(error, match="^validation " + re.escape(message)):
            net.fit(X, LABELS, validation=(X, labels), n_epochs=1, progress=False)


@on_every_device
def test_noise_where_there_are_classes(device: str) -> None:
    net = classifier(tx.HierarchicalSoftmax(5), device=device)
    for noise in (0.1, np.full(5, 0.1), tx.Homoscedastic(0.1), tx.Heteroscedastic()):
        with unchanged(net):
            with pytest.raises(ValueError, match=r"^noise: got .* needed none: the network has"):
                net.update(X, LABELS, noise)
            with pytest.raises(ValueError, match=r"^noise: got .* needed none: the network has"):
                net.fit(X, LABELS, noise=noise, n_epochs=1, progress=False)


def test_numbers_have_no_probabilities() -> None:
    with pytest.raises(ValueError, match=r"^predict_proba: got a network without a likelihood"):
        small().predict_proba(np.zeros((2, 3)))


@on_every_device
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((2, 3)),), "x: got 3 features, needed 4"),
        ((np.zeros(4),), "x: got "),
        ((np.full((2, 4), np.nan),), "x: got nan"),
        ((np.zeros((2, 4)), np.zeros((3, 4))), "x_var: got "),
        ((np.zeros((2, 4)), -np.ones((2, 4))), "x_var: got -1"),
    ],
)
def test_wrong_inputs(arguments: tuple[Array, ...], message: str, device: str) -> None:
    net = classifier(tx.Remax(5), device=device)
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        net.predict_proba(*arguments)


@on_every_device
def test_wrong_input_variances_in_fit(device: str) -> None:
    net = classifier(tx.Remax(5), device=device)
    for x_var, message in (
        (np.zeros((4, 4)), "x_var: got "),
        (np.zeros((5, 3)), "x_var: got "),
        (np.full((5, 4), -1.0), "x_var: got -1"),
        (np.full((5, 4), np.inf), "x_var: got inf"),
    ):
        with unchanged(net), pytest.raises(ValueError, match="^" + message):
            net.fit(X, LABELS, x_var=x_var, n_epochs=1, progress=False)


@needs_cuda
def test_what_has_to_be_on_the_cpu() -> None:
    net = classifier(tx.HierarchicalSoftmax(5), device="cuda")
    on_gpu, labels = tx.cuda.Array(X), tx.cuda.Array(LABELS.astype(np.float32))
    with unchanged(net):
        with pytest.raises(TypeError, match=r"^x: "):
            net.predict_proba(on_gpu)
        for x in (X, on_gpu):
            with pytest.raises(TypeError, match=r"^y: "):
                net.update(x, labels)
            with pytest.raises(TypeError, match=r"^y: "):
                net.fit(x, labels, n_epochs=1, progress=False)
            with pytest.raises(TypeError, match=r"^x_var: "):
                net.fit(x, LABELS, x_var=on_gpu, n_epochs=1, progress=False)


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
