"""Samplers against their papers' formulas, and with the exact predictions of known data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from gaussian_mixture import Array, Mixture, gaussian, standardized_mixture, target

from tagix import samplers, schedules
from tagix.samplers import DDIM, DDPM, DPMSolverMultistep, Euler, Heun, Sampler

SAMPLERS: list[Sampler] = [
    DDPM(),
    DDPM(7, "fixed_small"),
    DDPM(60),
    DDIM(),
    DDIM(9, eta=0.5),
    Euler(),
    Euler(5, rho=1.0),
    Heun(),
    Heun(4),
    DPMSolverMultistep(),
    DPMSolverMultistep(5),
]
PREDICTION_TYPES = ["epsilon", "sample", "v_prediction"]
COSINE = schedules.Cosine().alpha_bar(40)
EDM = schedules.EDM().alpha_bar(40)
# The plane: different variances, correlated, off the origin.
DATA = gaussian([0.4, -0.7], [[1.2, 0.5], [0.5, 0.4]])


def start(n: int, d: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((n, d))


# The plans against formulas of the papers.


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


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
def test_timesteps(sampler: Any) -> None:
    plan = sampler.plan(COSINE)
    n_steps = 39 if sampler.n_steps is None else sampler.n_steps
    assert plan.n_steps == n_steps
    assert (plan.t[0], plan.t[-1]) == (39, 1)
    assert plan.ends_step.dtype == bool and plan.ends_step[-1]
    assert plan.table.shape == (plan.n_stages, 8) and plan.table.dtype == np.float64
    visited = np.unique(plan.t)
    assert len(visited) == n_steps
    if isinstance(sampler, (DDPM, DDIM)):
        np.testing.assert_allclose(np.sort(plan.t)[::-1], plan.t)
        assert np.abs(plan.t - np.linspace(39, 1, n_steps)).max() <= 0.5
        assert (plan.t % 1 == 0).all() == (n_steps <= 39)
    else:
        roots = schedules.sigma(schedules.alpha_bar_at(COSINE, visited)) ** (1 / sampler.rho)
        np.testing.assert_allclose(np.diff(roots), (roots[-1] - roots[0]) / (n_steps - 1), 1e-8)
    # The last stage gives what the network says of x_0.
    x, noise = 0.3, math.sqrt(1 - COSINE[1])
    x_0 = plan.x_weight[-1] * x + plan.prediction_weight[-1] * 0.7
    assert x_0 == pytest.approx((x - noise * 0.7) / math.sqrt(COSINE[1]), rel=1e-12)
    assert plan.noise_std[-1] == 0


@pytest.mark.parametrize(
    "sampler",
    [DDPM(1), DDIM(1), Euler(1), Heun(1), DPMSolverMultistep(1)],
    ids=lambda sampler: type(sampler).__name__,
)
def test_one_step_gives_the_mean_of_the_data(sampler: Sampler) -> None:
    x = start(5, 2)
    expected = DATA.posterior(x, COSINE[-1])[0]
    np.testing.assert_allclose(
        sampler.sample(DATA.prediction(COSINE), x, COSINE), expected, rtol=1e-9
    )


@pytest.mark.parametrize(
    "sampler", [DDPM(), DDPM(3), DDIM(3), Euler(3), Heun(), DPMSolverMultistep()], ids=repr
)
def test_a_schedule_of_one_noisy_timestep(sampler: Sampler) -> None:
    """More steps stay where they are; x_0 is the mean of the data given x."""
    alpha_bar, x = np.array([1.0, 0.3]), start(5, 2)
    samples = sampler.sample(DATA.prediction(alpha_bar), x, alpha_bar)
    np.testing.assert_allclose(samples, DATA.posterior(x, 0.3)[0], rtol=1e-12)


# Gaussian data: the ODE's solution and the moments of chains are known.


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


# Mixtures.


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


# Calls.


def test_seeds_and_arrays() -> None:
    function, x = DATA.prediction(COSINE), start(6, 2)
    before = x.copy()
    first = DDPM().sample(function, x, COSINE, seed=1, trajectory=True)
    assert first.shape == (40, 6, 2) and first.dtype == np.float64
    np.testing.assert_array_equal(first[0], before)
    np.testing.assert_array_equal(first[-1], DDPM().sample(function, x, COSINE, seed=1))
    assert (first[1:] != DDPM().sample(function, x, COSINE, seed=2, trajectory=True)[1:]).all()
    np.testing.assert_array_equal(
        DDIM().sample(function, x, COSINE, seed=1), DDIM().sample(function, x, COSINE, seed=2)
    )
    np.testing.assert_array_equal(x, before)

    def careless(x_t: Array, t: Array) -> Array:
        prediction = function(x_t, t)
        x_t[:] = t[:] = np.nan
        return prediction

    np.testing.assert_array_equal(first[-1], DDPM().sample(careless, x, COSINE, seed=1))
    float32 = DDIM(4).sample(lambda x_t, t: np.zeros_like(x_t, np.float32), x.tolist(), COSINE)
    assert float32.dtype == np.float64


def test_values() -> None:
    assert Heun() == Heun(18, 7.0) != Heun(19)
    assert hash(DDIM(5)) == hash(DDIM(np.int64(5), 0))
    assert repr(DDPM(5)) == "DDPM(n_steps=5, variance_type='fixed_large')"
    with pytest.raises(FrozenInstanceError):
        DDIM().eta = 0.5  # type: ignore[misc]
    with pytest.raises(TypeError, match="abstract"):
        Sampler()  # type: ignore[abstract]


def zeros(x: Array, t: Array) -> Array:
    return np.zeros_like(x)


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "n_steps": (lambda: DDPM(0), ValueError, r"^n_steps: got 0, needed at least 1"),
    "n_steps DDIM": (lambda: DDIM(-1), ValueError, r"^n_steps: got -1"),
    "n_steps Euler": (lambda: Euler(0), ValueError, r"^n_steps: got 0"),
    "n_steps Heun": (lambda: Heun(0), ValueError, r"^n_steps: got 0"),
    "n_steps DPM": (lambda: DPMSolverMultistep(0), ValueError, r"^n_steps: got 0"),
    "n_steps 1.5": (lambda: DDPM(1.5), TypeError, r"^n_steps: got 1.5"),  # type: ignore[arg-type]
    "variance_type": (
        lambda: DDPM(variance_type="learned"),  # type: ignore[arg-type]
        ValueError,
        r"^variance_type: got 'learned', needed one of 'fixed_large', 'fixed_small'$",
    ),
    "variance_type 1": (
        lambda: DDPM(variance_type=1),  # type: ignore[arg-type]
        TypeError,
        r"^variance_type: got 1",
    ),
    "eta": (lambda: DDIM(eta=1.1), ValueError, r"^eta: got 1.1, needed a number in \[0, 1\]"),
    "eta low": (lambda: DDIM(eta=-0.1), ValueError, r"^eta: got -0.1"),
    "eta NaN": (lambda: DDIM(eta=math.nan), ValueError, r"^eta: got nan"),
    "eta text": (lambda: DDIM(eta="1"), TypeError, r"^eta: got '1'"),  # type: ignore[arg-type]
    "rho": (lambda: Heun(rho=0.0), ValueError, r"^rho: got 0.0, needed a finite number above 0"),
    "rho Euler": (lambda: Euler(rho=math.inf), ValueError, r"^rho: got inf"),
    "rho DPM": (lambda: DPMSolverMultistep(rho=math.nan), ValueError, r"^rho: got nan"),
    "alpha_bar": (lambda: DDPM().plan([0.9, 0.5]), ValueError, r"^alpha_bar: got"),
    "alpha_bar Heun": (lambda: Heun().plan([1.0, 0.5, 0.6]), ValueError, r"^alpha_bar: got"),
    "prediction_type": (
        lambda: DDPM().plan(COSINE, "noise"),
        ValueError,
        r"^prediction_type: got 'noise'",
    ),
    "prediction_type Euler": (
        lambda: Euler().sample(zeros, start(3, 2), COSINE, prediction_type="score"),
        ValueError,
        r"^prediction_type: got 'score'",
    ),
    "function": (
        lambda: DDIM().sample(None, start(3, 2), COSINE),  # type: ignore[arg-type]
        TypeError,
        r"^function: got None",
    ),
    "function shape": (
        lambda: DDIM().sample(lambda x, t: x[:, :1], start(3, 2), COSINE),
        ValueError,
        r"^function: got an array of shape \(3, 1\) from it, needed \(3, 2\)",
    ),
    "function NaN": (
        lambda: DDIM().sample(
            lambda x, t: np.where(t[:, np.newaxis] < 5, np.nan, x), start(3, 2), COSINE
        ),
        ValueError,
        r"^function: got NaN or infinity from it at t = 4$",
    ),
    "function text": (
        lambda: DDIM().sample(lambda x, t: "a", start(3, 2), COSINE),
        TypeError,
        r"^function: got",
    ),
    "x shape": (
        lambda: Heun().sample(zeros, np.zeros(3), COSINE),
        ValueError,
        r"^x: got shape \(3,\), needed \(n, n_features\)",
    ),
    "x count": (
        lambda: Heun().sample(zeros, 3, COSINE),
        ValueError,
        r"^x: got shape \(\), needed",
    ),
    "x empty": (lambda: Heun().sample(zeros, np.zeros((0, 2)), COSINE), ValueError, r"^x: got"),
    "x NaN": (lambda: Heun().sample(zeros, [[math.nan]], COSINE), ValueError, r"^x: got NaN"),
    "x text": (lambda: Heun().sample(zeros, "x", COSINE), TypeError, r"^x: got"),
    "seed": (lambda: DDPM().sample(zeros, [[0.0]], COSINE, seed=-1), ValueError, r"^seed: got -1"),
    "trajectory": (
        lambda: DDPM().sample(zeros, [[0.0]], COSINE, trajectory=1),  # type: ignore[arg-type]
        TypeError,
        r"^trajectory: got 1",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_samplers_refuse(case: str) -> None:
    call, error, message = BAD[case]
    with pytest.raises(error, match=message):
        call()


def test_a_sampler_of_one_s_own() -> None:
    """A plan is all that a sampler has to give: here, the mean of the data in one stage."""

    class OneStep(Sampler):
        def plan(self, alpha_bar: Any, prediction_type: str = "epsilon") -> samplers.Plan:
            return DDIM(1).plan(alpha_bar, prediction_type)

    x = start(4, 2)
    np.testing.assert_allclose(
        OneStep().sample(DATA.prediction(COSINE), x, COSINE), DATA.posterior(x, COSINE[-1])[0]
    )
