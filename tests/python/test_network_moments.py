"""Predictions against sampled weights, and updates where inputs or targets are special."""

from __future__ import annotations

import copy
import math

import numpy as np
from helpers import Array, regression_data, relative_error, unchanged
from networks import small, wide

import tagix as tx
from tagix import nn


def test_linear_layer_moments_are_those_of_sampled_weights() -> None:
    """E and Var of W x + b with Gaussian W, b and x, all independent: Monte Carlo in numpy."""
    net = nn.Sequential(nn.Linear(4, 3), seed=2)
    x = np.float32([[1.0, -2.0, 0.5, 0.0]])
    x_var = np.float32([[0.5, 0.1, 2.0, 1.0]])
    state = {key: value.astype(np.float64) for key, value in net.state_dict().items()}
    generator, n = np.random.default_rng(0), 400_000

    def draw(mean: Array, var: Array) -> Array:
        return mean + np.sqrt(var) * generator.standard_normal((n, *mean.shape))

    weight = draw(state["0.weight.mean"], state["0.weight.var"])
    bias = draw(state["0.bias.mean"], state["0.bias.var"])
    z = np.einsum("noi,ni->no", weight, draw(x[0], x_var[0])) + bias
    mean, var = net(x, x_var)
    std = z.std(axis=0)
    assert (np.abs(mean[0] - z.mean(axis=0)) < 5 * std / math.sqrt(n)).all()
    kurtosis = ((z - z.mean(axis=0)) ** 4).mean(axis=0) / std**4
    assert (np.abs(var[0] / std**2 - 1) < 5 * np.sqrt((kurtosis - 1) / n)).all()


def test_one_hidden_layer_moments_are_those_of_sampled_weights() -> None:
    """Exact but for the approximation of TAGI: hidden units count as independent Gaussians.

    With inputs known exactly the units of the first hidden layer are independent Gaussians given
    the weights' prior, and the exact-moment ReLU makes mean and variance of the output exact.
    """
    net = nn.Sequential(nn.Linear(3, 10), nn.ReLU(), nn.Linear(10, 1), seed=2)
    x = np.float32([[1.0, -0.5, 0.25]])
    state = {key: value.astype(np.float64) for key, value in net.state_dict().items()}
    generator, n = np.random.default_rng(0), 400_000

    def draw(name: str) -> Array:
        mean, var = state[f"{name}.mean"], state[f"{name}.var"]
        return mean + np.sqrt(var) * generator.standard_normal((n, *mean.shape))

    hidden = np.maximum(draw("0.weight") @ x[0] + draw("0.bias"), 0)
    z = (draw("2.weight")[:, 0] * hidden).sum(axis=1) + draw("2.bias")[:, 0]
    mean, var = net(x)
    kurtosis = ((z - z.mean()) ** 4).mean() / z.var() ** 2
    assert abs(mean[0, 0] - z.mean()) < 5 * z.std() / math.sqrt(n)
    assert abs(var[0, 0] / z.var() - 1) < 5 * math.sqrt((kurtosis - 1) / n)


def test_x_var_of_zero_is_no_x_var() -> None:
    net, (x, y) = wide(), regression_data(30)
    assert relative_error(net(x, np.zeros_like(x)).var, net(x).var) < 1e-6
    other = copy.deepcopy(net)
    net.update(x, y, 0.1)
    other.update(x, y, 0.1, x_var=np.zeros_like(x))
    for key, value in net.state_dict().items():
        assert relative_error(other.state_dict()[key], value) < 1e-5


def test_update_returns_the_prediction_before() -> None:
    net, (x, y) = wide(), regression_data(30)
    expected = net(x)
    prediction = net.update(x, y, 0.1)
    assert prediction.mean.tobytes() == expected.mean.tobytes()
    assert prediction.var.tobytes() == expected.var.tobytes()
    assert (net(x).var < expected.var).all()


def test_batch_sizes_may_come_in_any_order() -> None:
    """Buffers are reused from call to call: a larger or smaller batch must leave no trace."""
    net, (x, _) = wide(), regression_data(700)
    expected = net(x)
    for size in (1, 700, 3, 64, 699, 2):
        prediction = net(x[:size])
        np.testing.assert_allclose(prediction.mean, expected.mean[:size], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(prediction.var, expected.var[:size], rtol=1e-5)


def test_all_targets_missing_changes_nothing() -> None:
    for rule in (tx.Information(), tx.Capped()):
        net, (x, y) = small(rule=rule), regression_data(10)
        with unchanged(net):
            net.update(x, np.full_like(y, np.nan), 0.1)


def test_missing_output_leaves_its_weights() -> None:
    net, (x, y) = small(), regression_data(10)
    y[:, 1] = np.nan
    before = net.state_dict()
    net.update(x, y, 0.1)
    after = net.state_dict()
    for key in ("2.weight.mean", "2.weight.var", "2.bias.mean", "2.bias.var"):
        np.testing.assert_array_equal(after[key][1], before[key][1])
        assert (after[key][0] != before[key][0]).any()
