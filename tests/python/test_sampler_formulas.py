"""Plans of samplers against the formulas of their papers."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from gaussian_mixture import Array, Mixture, standardized_mixture, target
from sampler_data import COSINE, EDM, PREDICTION_TYPES, start

from tagix import schedules
from tagix.samplers import DDIM, DDPM, DPMSolverMultistep, Euler, Heun


@pytest.mark.parametrize("name", ["cosine", "linear", "sigmoid", "edm"])
@pytest.mark.parametrize("variance_type", ["fixed_large", "fixed_small"])
def test_ddpm_has_the_coefficients_of_the_paper(name: str, variance_type: Any) -> None:
    """Ho et al., eq. 11 with one step for each timestep; the carry is not used."""
    alpha_bar = schedules.resolve(name).alpha_bar(40)
    plan = DDPM(variance_type=variance_type).plan(alpha_bar)
    np.testing.assert_array_equal(plan.t, np.arange(39, 0, -1))
    beta = 1 - alpha_bar[1:] / alpha_bar[:-1]
    var = beta.copy()
    if variance_type == "fixed_small":
        var *= (1 - alpha_bar[:-1]) / (1 - alpha_bar[1:])
    var[0] = 0
    inverse = 1 / np.sqrt(1 - beta)
    expected = [inverse, -beta * inverse / np.sqrt(1 - alpha_bar[1:]), 0 * beta, np.sqrt(var)]
    np.testing.assert_allclose(plan.table[:, :4], np.stack(expected, axis=1)[::-1], rtol=1e-12)
    assert not plan.table[:, 4:6].any()
    assert plan.ends_step.all() and plan.n_steps == plan.n_stages == 39


@pytest.mark.parametrize("name", ["cosine", "linear", "sigmoid", "edm"])
@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize("n_steps", [None, 6, 100])
def test_ddim_with_eta_one_is_ddpm_with_fixed_small(
    name: str, prediction_type: str, n_steps: int | None
) -> None:
    alpha_bar = schedules.resolve(name).alpha_bar(40)
    ddim = DDIM(n_steps, eta=1.0).plan(alpha_bar, prediction_type)
    ddpm = DDPM(n_steps, "fixed_small").plan(alpha_bar, prediction_type)
    np.testing.assert_array_equal(ddim.t, ddpm.t)
    scale = np.abs(ddpm.table).max(axis=1, keepdims=True)
    # Where steps are short and shares close to 1, 1 - alpha has lost digits.
    error = 1e-11 if n_steps == 100 else 1e-12
    np.testing.assert_allclose(ddim.table / scale, ddpm.table / scale, rtol=0, atol=error)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_ddim_has_the_coefficients_of_the_paper(eta: float) -> None:
    """Song et al., eq. 12 and 16, over the timesteps 39, 29.5 -> 30, 20, 10.5 -> 10, 1 and 0."""
    plan = DDIM(5, eta).plan(COSINE)
    t = [39, 30, 20, 10, 1, 0]
    np.testing.assert_array_equal(plan.t, t[:-1])
    for row, now, after in zip(plan.table, COSINE[t[:-1]], COSINE[t[1:]], strict=True):
        std = eta * math.sqrt((1 - after) / (1 - now)) * math.sqrt(1 - now / after)
        eps = math.sqrt(1 - after - std**2) - math.sqrt(after / now * (1 - now))
        np.testing.assert_allclose(row[:4], [math.sqrt(after / now), eps, 0, std], rtol=1e-12)


def test_euler_on_the_same_timesteps_is_ddim() -> None:
    """Where sigma is evenly spaced for Euler, and so are the timesteps of EDM's schedule."""
    for prediction_type in PREDICTION_TYPES:
        euler, ddim = (s.plan(EDM, prediction_type) for s in (Euler(), DDIM()))
        np.testing.assert_allclose(euler.t, ddim.t, rtol=1e-10)
        np.testing.assert_allclose(euler.table, ddim.table, rtol=1e-8, atol=1e-12)


def karras_grid(alpha_bar: Array, n_steps: int, rho: float = 7.0) -> Array:
    """Karras et al., eq. 5, and 0."""
    high, low = np.sqrt(1 / alpha_bar[[-1, 1]] - 1) ** (1 / rho)
    return np.append((high + np.arange(n_steps) / (n_steps - 1) * (low - high)) ** rho, 0.0)


def exact_eps(mixture: Mixture) -> Callable[[Array, float], Array]:
    """eps(z, sigma) of z = x_0 + sigma eps."""

    def eps(z: Array, sigma: float) -> Array:
        share = 1 / (1 + sigma**2)
        x = math.sqrt(share) * z
        return target(mixture.posterior(x, share)[0], x, share, "epsilon")

    return eps


@pytest.mark.parametrize("alpha_bar", [COSINE, EDM], ids=["cosine", "edm"])
@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_heun_is_algorithm_1_of_karras(alpha_bar: Array, prediction_type: str) -> None:
    mixture = standardized_mixture(2)
    eps, x = exact_eps(mixture), start(50, 2)
    sigma = karras_grid(alpha_bar, 8)
    z = x / math.sqrt(alpha_bar[-1])
    chain = [x]
    for now, after in pairwise(sigma):
        slope = eps(z, now)
        end = z + (after - now) * slope
        if after > 0:
            end = z + (after - now) / 2 * (slope + eps(end, after))
        z = end
        chain.append(z / math.sqrt(1 + after**2))
    function = mixture.prediction(alpha_bar, prediction_type)
    actual = Heun(8).sample(
        function, x, alpha_bar, prediction_type=prediction_type, trajectory=True
    )
    assert actual.shape == (9, 50, 2)
    np.testing.assert_allclose(actual, chain, rtol=0, atol=1e-8)
    plan = Heun(8).plan(alpha_bar)
    assert (plan.n_steps, plan.n_stages) == (8, 15)
    np.testing.assert_array_equal(plan.ends_step, [False, True] * 7 + [True])


@pytest.mark.parametrize("alpha_bar", [COSINE, EDM], ids=["cosine", "edm"])
@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_dpm_solver_is_algorithm_2_of_lu(alpha_bar: Array, prediction_type: str) -> None:
    mixture = standardized_mixture(3)
    x = start(50, 3)
    sigma = karras_grid(alpha_bar, 10)[:-1]
    share = 1 / (1 + sigma**2)
    signal, noise, half_log_snr = np.sqrt(share), np.sqrt(1 - share), -np.log(sigma)
    estimates = [mixture.posterior(x, share[0])[0]]
    chain = [x]
    for i in range(1, 10):
        h = half_log_snr[i] - half_log_snr[i - 1]
        d = estimates[-1]
        if i > 1:
            r = (half_log_snr[i - 1] - half_log_snr[i - 2]) / h
            d = (1 + 1 / (2 * r)) * estimates[-1] - 1 / (2 * r) * estimates[-2]
        chain.append(noise[i] / noise[i - 1] * chain[-1] - signal[i] * (math.exp(-h) - 1) * d)
        estimates.append(mixture.posterior(chain[-1], share[i])[0])
    function = mixture.prediction(alpha_bar, prediction_type)
    actual = DPMSolverMultistep(10).sample(
        function, x, alpha_bar, prediction_type=prediction_type, trajectory=True
    )
    np.testing.assert_allclose(actual, [*chain, estimates[-1]], rtol=0, atol=1e-8)
