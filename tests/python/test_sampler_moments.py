"""Samples with the exact predictions of known data: Gaussians and mixtures."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gaussian_mixture import Array, Mixture, standardized_mixture, target
from sampler_data import COSINE, DATA, EDM, PREDICTION_TYPES, SAMPLERS, start

from tagix import schedules
from tagix.samplers import DDIM, DDPM, DPMSolverMultistep, Euler, Heun, Sampler


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
@pytest.mark.parametrize("alpha_bar", [COSINE, EDM], ids=["cosine", "edm"])
def test_what_is_predicted_makes_no_difference(sampler: Sampler, alpha_bar: Array) -> None:
    mixture, x = standardized_mixture(2), start(100, 2)
    chains = [
        sampler.sample(
            mixture.prediction(alpha_bar, prediction_type),
            x,
            alpha_bar,
            prediction_type=prediction_type,
            seed=3,
            trajectory=True,
        )
        for prediction_type in PREDICTION_TYPES
    ]
    np.testing.assert_allclose(chains[1], chains[0], rtol=0, atol=1e-10)
    np.testing.assert_allclose(chains[2], chains[0], rtol=0, atol=1e-10)


def ode_solution(x: Array, alpha_bar: Array, sigma: float) -> Array:
    """z at sigma from x at T - 1: along each axis of the covariance z spreads as
    sqrt(variance + sigma^2)."""
    variances, axes = np.linalg.eigh(DATA.covariances[0])
    first = math.sqrt(1 / alpha_bar[-1] - 1)
    along = (x / math.sqrt(alpha_bar[-1]) - DATA.means[0]) @ axes
    along *= np.sqrt((variances + sigma**2) / (variances + first**2))
    return np.asarray(DATA.means[0] + along @ axes.T)


@pytest.mark.parametrize(
    ("make", "order", "error"),
    [
        (lambda n: DDIM(n), 1, 5e-2),
        (lambda n: Euler(n), 1, 5e-2),
        (lambda n: Heun(n), 2, 5e-4),
        (lambda n: DPMSolverMultistep(n), 2, 5e-4),
    ],
    ids=["DDIM", "Euler", "Heun", "DPMSolverMultistep"],
)
@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_order_of_convergence(
    make: Callable[[int], Sampler], order: int, error: float, prediction_type: str
) -> None:
    """At sigma(1), before the step to 0, whose error is of that sigma."""
    alpha_bar = schedules.EDM(0.05, 20.0).alpha_bar(40)
    function, x = DATA.prediction(alpha_bar, prediction_type), start(50, 2)
    expected = ode_solution(x, alpha_bar, 0.05)
    errors = []
    for n_steps in (80, 160, 320):
        chain = make(n_steps).sample(
            function, x, alpha_bar, prediction_type=prediction_type, trajectory=True
        )
        errors.append(np.abs(chain[-2] / math.sqrt(alpha_bar[1]) - expected).max())
    assert errors[-1] < error
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert (np.abs(orders - order) < 0.15).all(), orders


@pytest.mark.parametrize(
    ("sampler", "error"),
    [(DDIM(400), 0.05), (Euler(400), 0.05), (Heun(160), 0.003), (DPMSolverMultistep(160), 0.003)],
    ids=["DDIM", "Euler", "Heun", "DPMSolverMultistep"],
)
def test_deterministic_samples_are_the_ode_s(sampler: Sampler, error: float) -> None:
    x = start(200, 2)
    samples = sampler.sample(DATA.prediction(EDM), x, EDM)
    np.testing.assert_allclose(samples, ode_solution(x, EDM, 0.0), rtol=0, atol=error)


def chain_moments(
    alpha_bar: Array, t: list[int], step: Callable[[float, float], tuple[float, float, float]]
) -> tuple[Array, Array]:
    """Mean and covariance of the end of a chain over timesteps, from N(0, I).

    A step from share ``now`` to ``after`` is x' = c_x x + c_eps eps(x) + std n, with the exact
    eps(x) = b (abar C + b^2 I)^-1 (x - sqrt(abar) mu).
    """
    mu, covariance = DATA.means[0], DATA.covariances[0]
    mean, spread = np.zeros(2), np.eye(2)
    for now, after in zip(alpha_bar[t[:-1]], alpha_bar[t[1:]], strict=True):
        c_x, c_eps, std = step(now, after)
        slope = math.sqrt(1 - now) * np.linalg.inv(now * covariance + (1 - now) * np.eye(2))
        matrix = c_x * np.eye(2) + c_eps * slope
        mean = matrix @ mean - c_eps * slope @ (math.sqrt(now) * mu)
        spread = matrix @ spread @ matrix.T + std**2 * np.eye(2)
    return mean, spread


def ddpm_step(variance_type: str) -> Callable[[float, float], tuple[float, float, float]]:
    """Ho et al., algorithm 2."""

    def step(now: float, after: float) -> tuple[float, float, float]:
        alpha = now / after
        small = (1 - after) / (1 - now) * (1 - alpha)
        var = small if variance_type == "fixed_small" or after == 1 else 1 - alpha
        return alpha**-0.5, -(1 - alpha) / math.sqrt((1 - now) * alpha), math.sqrt(var)

    return step


def ddim_step(eta: float) -> Callable[[float, float], tuple[float, float, float]]:
    """Song et al., eq. 12."""

    def step(now: float, after: float) -> tuple[float, float, float]:
        var = eta**2 * (1 - after) / (1 - now) * (1 - now / after)
        eps = math.sqrt(1 - after - var) - math.sqrt(after * (1 - now) / now)
        return math.sqrt(after / now), eps, math.sqrt(var)

    return step


def assert_moments(samples: Array, mean: Array, covariance: Array, bias: float = 0.0) -> None:
    """Within five standard errors, and as much as ``bias`` beyond them."""
    n = len(samples)
    variances = np.diag(covariance)
    errors = np.abs(samples.mean(axis=0) - mean)
    assert (errors < 5 * np.sqrt(variances / n) + bias).all(), errors
    # Var of an empirical covariance of a Gaussian: (C_ii C_jj + C_ij^2) / n.
    error_std = np.sqrt((np.outer(variances, variances) + covariance**2) / n)
    errors = np.abs(np.cov(samples.T) - covariance)
    assert (errors < 5 * error_std + bias).all(), errors


@pytest.mark.parametrize(
    ("sampler", "step"),
    [
        (DDPM(), ddpm_step("fixed_large")),
        (DDPM(variance_type="fixed_small"), ddpm_step("fixed_small")),
        (DDIM(eta=1.0), ddim_step(1.0)),
        (DDIM(eta=0.4), ddim_step(0.4)),
        (DDIM(), ddim_step(0.0)),
        (DDPM(8), ddpm_step("fixed_large")),
        (DDIM(8, eta=1.0), ddim_step(1.0)),
    ],
    ids=lambda value: repr(value) if isinstance(value, Sampler) else "",
)
def test_moments_of_the_chain(
    sampler: Any, step: Callable[[float, float], tuple[float, float, float]]
) -> None:
    t = list(range(39, -1, -1))
    if sampler.n_steps == 8:
        t = [39, 34, 28, 23, 17, 12, 6, 1, 0]
    samples = sampler.sample(DATA.prediction(COSINE), start(30_000, 2), COSINE, seed=1)
    assert_moments(samples, *chain_moments(COSINE, t, step))


@pytest.mark.parametrize(
    "sampler",
    [DDPM(), DDPM(variance_type="fixed_small"), DDIM(eta=1.0), DDIM(eta=0.5), DDIM()],
    ids=repr,
)
def test_many_steps_give_the_moments_of_the_data(sampler: Sampler) -> None:
    alpha_bar = schedules.Linear().alpha_bar(250)
    samples = sampler.sample(DATA.prediction(alpha_bar), start(20_000, 2), alpha_bar, seed=1)
    assert_moments(samples, DATA.means[0], DATA.covariances[0], bias=0.01)


def apart(d: int) -> Mixture:
    """Three Gaussians that hardly overlap, of full covariances."""
    generator = np.random.default_rng(10 + d)
    root = 0.15 * generator.standard_normal((3, d, d))
    covariances = root @ root.transpose(0, 2, 1) + 0.01 * np.eye(d)
    means = np.array([[-2.0, 0.0, 0.5], [1.0, 1.7, -0.5], [1.2, -1.5, 0.0]])[:, :d]
    return Mixture(np.array([0.5, 0.3, 0.2]), means, covariances)


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize(
    "sampler",
    [
        DDPM(150),
        DDPM(150, "fixed_small"),
        DDIM(150, eta=1.0),
        DDIM(150),
        Euler(150),
        Heun(40),
        DPMSolverMultistep(60),
    ],
    ids=repr,
)
def test_samples_of_mixtures(sampler: Sampler, d: int) -> None:
    mixture, n = apart(d), 6000
    samples = sampler.sample(mixture.prediction(EDM), start(n, d, seed=d), EDM, seed=2)
    distances = np.linalg.norm(samples[:, np.newaxis] - mixture.means, axis=2)
    mode = distances.argmin(axis=1)
    for k, weight in enumerate(mixture.weights):
        share = (mode == k).mean()
        assert abs(share - weight) < 4 * math.sqrt(weight * (1 - weight) / n), share
        assert_moments(samples[mode == k], mixture.means[k], mixture.covariances[k], bias=0.004)


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize("sampler", [DDPM(5), Heun(5)], ids=repr)
def test_aleatoric_columns_are_tweedie(sampler: Sampler, prediction_type: str) -> None:
    """Cov(x_0 | x_t) by conditioning Gaussians; dF / dx in closed form and by differences."""
    plan = sampler.plan(COSINE, prediction_type)
    covariance = DATA.covariances[0]
    overlapping = standardized_mixture(2)
    function = overlapping.prediction(COSINE, prediction_type)
    x = start(20, 2)
    for i, t in enumerate(plan.t):
        share = float(schedules.alpha_bar_at(COSINE, t))
        identity, factor = plan.aleatoric_identity[i], plan.aleatoric_jacobian[i]
        # x_0 = mu + G (x - a mu): the slope of the mean, and with it that of any prediction.
        inverse = np.linalg.inv(share * covariance + (1 - share) * np.eye(2))
        slope = math.sqrt(share) * covariance @ inverse
        jacobian = target(slope, np.eye(2), share, prediction_type)
        np.testing.assert_allclose(
            identity * np.eye(2) + factor * jacobian,
            covariance - math.sqrt(share) * slope @ covariance,
            rtol=1e-9,
            atol=1e-12,
        )
        h = 1e-5
        columns = [
            (function(x + h * e, np.full(20, t)) - function(x - h * e, np.full(20, t))) / (2 * h)
            for e in np.eye(2)
        ]
        jacobians = np.stack(columns, axis=2)
        symmetric = (jacobians + jacobians.transpose(0, 2, 1)) / 2
        np.testing.assert_allclose(
            identity * np.eye(2) + factor * symmetric,
            overlapping.posterior(x, share)[1],
            rtol=0,
            atol=1e-6 * max(1.0, abs(factor)),
        )
