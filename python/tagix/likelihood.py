"""The density that a diffusion model gives to points, by its probability-flow ODE."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tagix._arrays import as_count, as_points
from tagix._forms import Level, as_prediction, levels_at
from tagix.schedules import as_alpha_bar, sigma, timestep_of

__all__ = ["PredictionWithJacobian", "log_prob"]

Array = NDArray[np.float64]
PredictionWithJacobian = Callable[[Array, Array], tuple[ArrayLike, ArrayLike]]


def log_prob(
    function: PredictionWithJacobian,
    x: ArrayLike,
    alpha_bar: ArrayLike,
    *,
    prediction_type: str = "epsilon",
    n_steps: int = 64,
) -> Array:
    """ln p(x), where p is the density of the data smoothed by the noise of t = 1.

    With z = x_t / a, the density p_sigma of the data plus noise of standard deviation sigma falls
    along the flow as the flow spreads:

        dz/dsigma = eps,   d ln p_sigma(z) / dsigma = -div_z eps
        div_z eps = a tr(d eps / dx_t)

    The ODE is solved from z = x at sigma(1) to sigma(T - 1). There p is taken as
    N(0, (1 + sigma^2) I), which holds for standardized data once the noise hides everything but
    their mean 0 and variance 1 in every column.

    The solver is the classical Runge-Kutta method of order 4, with even steps in ln sigma. Halving
    the steps divides the error by 16 as long as F is smooth in ln sigma. A network's time features
    are smooth in t, but ln sigma is piecewise linear in t; so for a network a small part of the
    error is only of order 2. With the exact F of mixtures of three Gaussians in two and three
    dimensions, the error of 64 steps is 1e-4 on average over points of the data, and at most 0.002.
    Far from the data, where ln p = -37, it is 0.6, and 0.02 with 128 steps. The remains of the data
    at T - 1 add to this: 0.001 on average for the cosine schedule of 40 timesteps, where sigma ends
    at 26.

    Sources: Song et al., ICLR 2021, section 4.3; Karras et al., NeurIPS 2022, eq. 1.

    Args:
        function: ``function(x, t)`` gives F (n, d) and its Jacobian dF/dx (n, d, d), of float64
            arrays x (n, d), which it may keep or change, and t (n,), timesteps in [1, T - 1] that
            need not be whole.
        x: points, (n, d), in the units of the model.
        alpha_bar: of the schedule, (T,).
        prediction_type: what F predicts, "epsilon", "sample" or "v_prediction".
        n_steps: steps, of four calls of the function each.

    Returns:
        float64 (n,).

    Raises:
        ValueError: for wrong shapes, NaN or infinity (also in the function's results), ``n_steps``
            below 1, an ``alpha_bar`` that no schedule has, or another prediction type.
        TypeError: for an argument of the wrong type, or an array that is not of numbers.
    """
    if not callable(function):
        raise TypeError(f"function: got {function!r}, needed a function of x and t")
    z = as_points("x", x)
    n_steps = as_count("n_steps", n_steps, least=1)
    shares = as_alpha_bar(alpha_bar)
    first, last = sigma(shares[[1, -1]])

    # Both ends of each step and its middle.
    log_sigma = np.linspace(math.log(first), math.log(last), 2 * n_steps + 1)
    t = timestep_of(shares, np.exp(log_sigma))
    t[0], t[-1] = 1.0, len(shares) - 1
    levels = levels_at(t, shares, prediction_type)
    h = (log_sigma[-1] - log_sigma[0]) / n_steps

    divergence = np.zeros(len(z))  # the integral of div_z eps over sigma
    for start, middle, end in zip(levels[:-1:2], levels[1::2], levels[2::2], strict=True):
        z_1, div_1 = _slopes(function, z, start)
        z_2, div_2 = _slopes(function, z + h / 2 * z_1, middle)
        z_3, div_3 = _slopes(function, z + h / 2 * z_2, middle)
        z_4, div_4 = _slopes(function, z + h * z_3, end)
        z = z + h / 6 * (z_1 + 2 * z_2 + 2 * z_3 + z_4)
        divergence += h / 6 * (div_1 + 2 * div_2 + 2 * div_3 + div_4)

    var = 1 + last**2
    log_prior = -0.5 * ((z**2).sum(axis=1) / var + z.shape[1] * math.log(2 * math.pi * var))
    return np.asarray(log_prior + divergence)


def _slopes(function: PredictionWithJacobian, z: Array, level: Level) -> tuple[Array, Array]:
    """dz / d ln sigma = sigma eps, (n, d), and sigma div_z eps, (n,)."""
    n, d = z.shape
    x = level.a * z
    given = function(x.copy(), np.full(n, level.t))
    if not isinstance(given, tuple) or len(given) != 2:
        raise TypeError("function: got something else from it, needed a tuple (F, dF/dx)")
    prediction = as_prediction(given[0], (n, d), level.t)
    jacobian = as_prediction(given[1], (n, d, d), level.t)
    eps = level.eps.x * x + level.eps.prediction * prediction
    trace = level.eps.x * d + level.eps.prediction * np.trace(jacobian, axis1=1, axis2=2)
    return level.sigma * eps, level.sigma * level.a * trace
