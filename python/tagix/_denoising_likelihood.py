"""Class probabilities from how well the network denoises a row as one of each class."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from tagix._forms import levels_at

Array = NDArray[np.float64]
ClassPrediction = Callable[[Array, NDArray[np.int64], int], tuple[Array, Array]]


def class_log_likelihoods(
    predict: ClassPrediction,
    x_0: Array,
    n_classes: int,
    alpha_bar: Array,
    prediction_type: str,
    n_draws: int,
    generator: np.random.Generator,
) -> Array:
    """ln p(x_0 | class) up to a constant for each row, (rows, n_classes).

    With SNR = alpha_bar / (1 - alpha_bar), the error of the best estimate of x_0 gives

        ln p(x_0 | c) = const - 1/2 int E |x_0 - x_0_hat(x_t, t, c)|^2 d SNR

    (Kong, Brekelmans & Ver Steeg, ICLR 2023; the diffusion loss of Kingma et al., NeurIPS 2021).
    The integral is the trapezoid rule over ln SNR at t = 1 .. T - 1. Above the SNR of t = 1 the
    error of a smooth density is n_features / SNR, the same for all classes, and the difference
    between classes falls as 1 / SNR^2. So the rest of the integral is SNR_1 times the difference at
    t = 1.

    The mean is over ``n_draws`` noises for each t, the same for all classes. They come in pairs of
    opposite sign, so the part of the error that is odd in the noise cancels. The expectation is
    also over the posterior of the weights: the variance of x_0_hat adds to its squared error.

    ``predict(x_t, t, c)`` gives mean and variance of F, each (rows, n_features), for rows x_t and
    their timesteps, of class c.
    """
    levels = levels_at(np.arange(1, len(alpha_bar)), alpha_bar, prediction_type)
    loss = np.zeros((len(x_0), n_classes))
    for level, weight in zip(levels, _weights(alpha_bar), strict=True):
        timestep = np.full(len(x_0), int(level.t))
        for noise in _noises(n_draws, x_0.shape, generator):
            x_t = level.a * x_0 + level.b * noise
            for c in range(n_classes):
                mean, var = predict(x_t, timestep, c)
                estimate = level.x_0.x * x_t + level.x_0.prediction * mean
                error = (x_0 - estimate) ** 2 + level.x_0.prediction**2 * var
                loss[:, c] += weight / n_draws * error.sum(axis=1)
    return -loss


def _noises(
    n_draws: int, shape: tuple[int, ...], generator: np.random.Generator
) -> Iterator[Array]:
    """Standard normal numbers, every other time the last ones with the opposite sign."""
    noise = np.zeros(shape)
    for draw in range(n_draws):
        noise = -noise if draw % 2 else generator.standard_normal(shape)
        yield noise


def _weights(alpha_bar: Array) -> Array:
    """Those of t = 1 .. T - 1 in 1/2 int f d SNR, for an f that falls as 1 / SNR^2 above t = 1."""
    snr = alpha_bar[1:] / (1 - alpha_bar[1:])
    log_snr = np.log(snr)
    middles = (log_snr[:-1] + log_snr[1:]) / 2
    widths = -np.diff(middles, prepend=log_snr[0], append=log_snr[-1])  # ln SNR falls
    widths[0] += 1.0
    return np.asarray(widths * snr / 2)
