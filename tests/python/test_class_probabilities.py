"""Probabilities of classes: against closed forms, draws, and the rates of the data."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from class_likelihoods import (
    Likelihood,
    forward,
    normal_cdf,
    on_every_head,
    one_layer,
    paths,
    probabilities,
    rows,
)
from helpers import Array, on_every_device

import tagix as tx
from tagix import nn


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
