"""Updates against closed forms, the bounds of their rules, and what overflows."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from helpers import Array, regression_data, small, unchanged

import tagix as tx
from tagix import nn


def sequence_for_one_weight() -> list[tuple[float, float, float]]:
    """(x, y, noise variance) of y = 0.7 x + e."""
    generator = np.random.default_rng(0)
    observations = []
    for noise_var in generator.uniform(0.05, 2, 200):
        x = generator.standard_normal()
        y = 0.7 * x + math.sqrt(noise_var) * generator.standard_normal()
        observations.append((float(x), float(y), float(noise_var)))
    return observations


def test_one_weight_is_conjugate_without_caps() -> None:
    """y = w x + e, one by one: precision grows by x^2 / noise, and the mean is Bayes' rule.

    The first-order update var - var^2 H is exact for one observation, if no cap is in its way.
    """
    net = nn.Sequential(nn.Linear(1, 1, bias=False), seed=0, rule=tx.Capped(cap=1e-6))
    state = net.state_dict()
    mean, var = float(state["0.weight.mean"][0, 0]), float(state["0.weight.var"][0, 0])
    precision, information = 1 / var, mean / var
    for x, y, noise_var in sequence_for_one_weight():
        net.update([[x]], [[y]], noise_var)
        precision += x * x / noise_var
        information += x * y / noise_var
    after = net.state_dict()
    np.testing.assert_allclose(after["0.weight.var"], 1 / precision, rtol=1e-4)
    np.testing.assert_allclose(after["0.weight.mean"], information / precision, rtol=1e-4)


def test_one_weight_by_information_is_never_too_sure() -> None:
    """Precision grows by x^2 / (x^2 var + noise), less than Bayes' x^2 / noise (see science)."""
    net = nn.Sequential(nn.Linear(1, 1, bias=False), seed=0, rule=tx.Information(0, 1e6))
    state = net.state_dict()
    mean, var = float(state["0.weight.mean"][0, 0]), float(state["0.weight.var"][0, 0])
    precision = 1 / var
    for x, y, noise_var in sequence_for_one_weight():
        net.update([[x]], [[y]], noise_var)
        innovation_var = x * x * var + noise_var
        var = 1 / (1 / var + x * x / innovation_var)
        mean += var * x * (y - mean * x) / innovation_var
        precision += x * x / noise_var
    after = net.state_dict()
    np.testing.assert_allclose(after["0.weight.var"], var, rtol=1e-4)
    np.testing.assert_allclose(after["0.weight.mean"], mean, rtol=1e-4)
    assert after["0.weight.var"] > 1 / precision
    assert mean == pytest.approx(0.7, abs=4 * math.sqrt(var))


def test_one_observation_gives_the_diagonal_of_the_exact_posterior() -> None:
    """y = w x + b + e is linear: w and b have a Gaussian posterior, of which TAGI keeps a part."""
    net = nn.Sequential(nn.Linear(3, 1), seed=1, rule=tx.Capped(cap=1e-6))
    state = net.state_dict()
    mean = np.append(state["0.weight.mean"], state["0.bias.mean"]).astype(np.float64)
    var = np.append(state["0.weight.var"], state["0.bias.var"]).astype(np.float64)
    x, y, noise_var = np.array([0.5, -1.0, 2.0, 1.0]), 1.5, 0.3
    precision = np.diag(1 / var) + np.outer(x, x) / noise_var
    covariance = np.linalg.inv(precision)
    posterior_mean = covariance @ (mean / var + x * y / noise_var)
    net.update([x[:3]], [[y]], noise_var)
    after = net.state_dict()
    np.testing.assert_allclose(after["0.weight.mean"][0], posterior_mean[:3], rtol=1e-5)
    np.testing.assert_allclose(after["0.bias.mean"], posterior_mean[3:], rtol=1e-5)
    np.testing.assert_allclose(after["0.weight.var"][0], np.diag(covariance)[:3], rtol=1e-5)
    np.testing.assert_allclose(after["0.bias.var"], np.diag(covariance)[3:], rtol=1e-5)


def test_clip_bounds_a_step_in_standard_deviations() -> None:
    for rule, bound in ((tx.Information(clip=0.25), 0.25), (tx.Capped(cap=4), 0.25)):
        net, (x, y) = small(rule=rule), regression_data(50)
        before = net.state_dict()
        net.update(x, 100 * y, 1e-3)
        after = net.state_dict()
        for name, _ in net.named_parameters():
            change = np.abs(after[f"{name}.mean"] - before[f"{name}.mean"])
            ratio = change / np.sqrt(before[f"{name}.var"])
            assert ratio.max() == pytest.approx(bound, rel=1e-4)


def test_overflow_is_an_error_and_not_nan() -> None:
    net = small()
    x = np.full((4, 3), 3e38, np.float32)
    with unchanged(net), pytest.raises(ValueError, match=r"x: .*overflow"):
        net.update(x, np.zeros((4, 2)), 1.0)
    with unchanged(net), pytest.raises(ValueError, match="overflow"):
        net.fit(x, np.zeros((4, 2)), noise=1.0, n_epochs=1, progress=False)


Call = Callable[[nn.Sequential, Array, Array], object]


@pytest.mark.parametrize("rule", [tx.Information(), tx.Capped()], ids=["information", "capped"])
@pytest.mark.parametrize(
    "call",
    [
        lambda net, x, y: net.update(x, y, 1e-12),
        lambda net, x, y: net.fit(x, y, noise=1e-12, n_epochs=1, progress=False),
    ],
    ids=["update", "fit"],
)
def test_huge_targets_never_write_nan(rule: tx.UpdateRule, call: Call) -> None:
    """Innovations of +-1e38 / 1e-12 overflow: either an error, or finite parameters."""
    net = nn.Sequential(nn.Linear(1, 2), seed=0, rule=rule)
    state = net.state_dict()
    net.load_state_dict({k: v * (1e-12 if k.endswith("var") else 1) for k, v in state.items()})
    x, y = np.float32([[1], [1]]), np.float32([[3e38, 1], [-3e38, 1]])
    try:
        call(net, x, y)
    except ValueError as error:
        assert "overflow" in str(error)
    assert all(np.isfinite(value).all() for value in net.state_dict().values())


@pytest.mark.parametrize("clip", [1 / 3, float("inf")])
def test_certain_parameters_stay(clip: float) -> None:
    """A variance of 0 is allowed, and means that nothing can be learned."""
    net = small(rule=tx.Information(clip=clip))
    state = net.state_dict()
    net.load_state_dict({k: 0 * v if k.endswith("var") else v for k, v in state.items()})
    x, y = regression_data(10)
    assert (net(x).var == 0).all()
    with unchanged(net):
        net.update(x, y, 0.25)
