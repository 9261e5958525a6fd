"""log_prob against the exact densities of Gaussian mixtures, smoothed by the noise at t = 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gaussian_mixture import Array, Mixture, gaussian, standardized_mixture, with_jacobian

from tagix import schedules
from tagix.likelihood import log_prob

# So much noise at the end that nothing is left of the data: what remains is the integration.
FAR = schedules.EDM(0.05, 3000.0).alpha_bar(40)
NEAR = {
    "cosine": schedules.Cosine().alpha_bar(40),
    "linear": schedules.Linear().alpha_bar(40),
    "edm": schedules.EDM().alpha_bar(40),
}


def of_the_data(mixture: Mixture) -> Array:
    """Points drawn from the mixture, (80, d)."""
    generator = np.random.default_rng(1)
    k = generator.choice(3, 80, p=mixture.weights)
    noise = generator.standard_normal((80, mixture.means.shape[1]))
    roots = np.linalg.cholesky(mixture.covariances)[k]
    return np.asarray(mixture.means[k] + np.einsum("nij,nj->ni", roots, noise))


def far_away(mixture: Mixture) -> Array:
    """Points beside the Gaussians and between them, down to a density of exp(-37), (80, d)."""
    generator = np.random.default_rng(0)
    d = mixture.means.shape[1]
    around = mixture.means[generator.integers(0, 3, 40)] + 0.4 * generator.standard_normal((40, d))
    return np.concatenate([around, generator.standard_normal((40, d))])


def first_sigma(alpha_bar: Array) -> float:
    return math.sqrt((1 - alpha_bar[1]) / alpha_bar[1])


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("prediction_type", ["epsilon", "sample", "v_prediction"])
def test_density_of_a_mixture(d: int, prediction_type: str) -> None:
    mixture = standardized_mixture(d)
    function = with_jacobian(mixture, FAR, prediction_type)
    for x, error in ((of_the_data(mixture), 1e-5), (far_away(mixture), 1e-3)):
        actual = log_prob(function, x, FAR, prediction_type=prediction_type, n_steps=256)
        assert actual.shape == (80,) and actual.dtype == np.float64
        np.testing.assert_allclose(actual, mixture.log_prob(x, 0.05), rtol=0, atol=error)


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize(
    ("schedule", "error"), [("linear", 0.003), ("edm", 0.003), ("cosine", 0.01)]
)
def test_density_by_the_schedules_of_models(schedule: str, error: float, d: int) -> None:
    """With the default steps; what is left of the data at T - 1 counts, too."""
    mixture, alpha_bar = standardized_mixture(d), NEAR[schedule]
    x = of_the_data(mixture)
    actual = log_prob(with_jacobian(mixture, alpha_bar), x, alpha_bar)
    expected = mixture.log_prob(x, first_sigma(alpha_bar))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=error)


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("where", [of_the_data, far_away])
def test_order_of_convergence_is_four(where: Callable[[Mixture], Array], d: int) -> None:
    mixture = standardized_mixture(d)
    x, function = where(mixture), with_jacobian(mixture, FAR)
    expected = mixture.log_prob(x, 0.05)
    errors = [
        np.abs(log_prob(function, x, FAR, n_steps=n_steps) - expected).mean()
        for n_steps in (64, 128, 256)
    ]
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert (orders > 3.7).all(), errors


@pytest.mark.parametrize("d", [1, 2, 3])
def test_standard_normal_data_are_exact_at_any_noise(d: int) -> None:
    """p_sigma = N(0, (1 + sigma^2) I) throughout: the end of the schedule takes nothing away."""
    alpha_bar = schedules.EDM(0.2, 3.0).alpha_bar(10)
    data = gaussian(np.zeros(d), np.eye(d))
    x = np.random.default_rng(0).standard_normal((20, d))
    var = 1 + 0.2**2
    expected = -((x**2).sum(axis=1) / var + d * math.log(2 * math.pi * var)) / 2
    actual = log_prob(with_jacobian(data, alpha_bar), x, alpha_bar)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-7)


def test_density_integrates_to_one() -> None:
    """Whatever the network: here its prediction is the gradient of no density's logarithm."""
    alpha_bar = schedules.EDM(0.3, 5.0).alpha_bar(10)

    def function(x: Array, t: Array) -> tuple[Array, Array]:
        turn = np.array([[0.6, 0.3], [-0.3, 0.8]])
        wave = 0.2 * np.sin(x[:, ::-1])
        slope = 0.2 * np.cos(x[:, ::-1])
        jacobian = np.broadcast_to(turn, (len(x), 2, 2)).copy()
        jacobian[:, 0, 1] += slope[:, 0]
        jacobian[:, 1, 0] += slope[:, 1]
        return x @ turn.T + wave, jacobian

    axis = np.linspace(-12, 12, 121)
    grid = np.stack(np.meshgrid(axis, axis), axis=2).reshape(-1, 2)
    density = np.exp(log_prob(function, grid, alpha_bar, n_steps=24))
    assert density.sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1.0, abs=1e-4)


def test_one_noisy_timestep() -> None:
    """The density at T - 1 is all there is."""
    alpha_bar, x = np.array([1.0, 0.5]), np.array([[0.3, -1.0]])
    actual = log_prob(lambda x, t: (x, np.zeros((1, 2, 2))), x, alpha_bar, n_steps=3)
    np.testing.assert_allclose(actual, -(1.09 / 2 + 2 * math.log(4 * math.pi)) / 2, rtol=1e-12)


def test_arrays() -> None:
    mixture, alpha_bar = standardized_mixture(2), NEAR["cosine"]
    function, x = with_jacobian(mixture, alpha_bar), of_the_data(standardized_mixture(2))
    before = x.copy()
    expected = log_prob(function, x, alpha_bar, n_steps=4)
    asked = []

    def careless(x_t: Array, t: Array) -> tuple[Array, Array]:
        given = function(x_t, t)
        asked.append(t[0])
        x_t[:] = t[:] = np.nan
        return given

    np.testing.assert_array_equal(log_prob(careless, x, alpha_bar, n_steps=4), expected)
    np.testing.assert_array_equal(x, before)
    assert len(asked) == 16 and (asked[0], asked[-1]) == (1.0, 39.0)
    alone = np.concatenate([log_prob(function, row[None], alpha_bar, n_steps=4) for row in x])
    np.testing.assert_allclose(alone, expected, rtol=1e-10)


X = np.zeros((3, 2))
JACOBIAN = np.zeros((3, 2, 2))


def fair(x: Array, t: Array) -> tuple[Array, Array]:
    return X, JACOBIAN


def call(function: Any = fair, x: Any = X, alpha_bar: Any = FAR, **options: Any) -> Array:
    return log_prob(function, x, alpha_bar, **options)


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "n_steps": (lambda: call(n_steps=0), ValueError, r"^n_steps: got 0, needed at least 1"),
    "n_steps 1.5": (lambda: call(n_steps=1.5), TypeError, r"^n_steps: got 1.5"),
    "prediction_type": (
        lambda: call(prediction_type="x"),
        ValueError,
        r"^prediction_type: got 'x', needed one of",
    ),
    "alpha_bar": (lambda: call(alpha_bar=[0.5, 0.1]), ValueError, r"^alpha_bar: got"),
    "x shape": (lambda: call(x=np.zeros(2)), ValueError, r"^x: got shape \(2,\)"),
    "x NaN": (lambda: call(x=[[math.nan, 0.0]]), ValueError, r"^x: got NaN"),
    "x text": (lambda: call(x="x"), TypeError, r"^x: got"),
    "function": (lambda: call(function=3), TypeError, r"^function: got 3"),
    "function alone": (
        lambda: call(function=lambda x, t: x),
        TypeError,
        r"^function: got something else",
    ),
    "function shape": (
        lambda: call(function=lambda x, t: (X[:2], JACOBIAN)),
        ValueError,
        r"^function: got an array of shape \(2, 2\) from it, needed \(3, 2\)",
    ),
    "jacobian shape": (
        lambda: call(function=lambda x, t: (X, X)),
        ValueError,
        r"^function: got an array of shape \(3, 2\) from it, needed \(3, 2, 2\)",
    ),
    "function NaN": (
        lambda: call(function=lambda x, t: (X * math.nan, JACOBIAN)),
        ValueError,
        r"^function: got NaN or infinity from it at t = 1$",
    ),
    "jacobian inf": (
        lambda: call(function=lambda x, t: (X, JACOBIAN + math.inf)),
        ValueError,
        r"^function: got NaN or infinity from it at t = 1$",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_log_prob_refuses(case: str) -> None:
    attempt, error, message = BAD[case]
    with pytest.raises(error, match=message):
        attempt()
