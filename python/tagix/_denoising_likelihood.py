"""Class probabilities by how well each class denoises a row."""

from __future__ import annotations

from collections.abc import Callable

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
    """ln p(x_0 | class) but for a constant of the row, (rows, n_classes).

    With SNR = alpha_bar / (1 - alpha_bar), the error of the best estimate of x_0 gives

        ln p(x_0 | c) = const - 1/2 int E |x_0 - x_0_hat(x_t, t, c)|^2 d SNR

    (Kong, Brekelmans & Ver Steeg, ICLR 2023; the diffusion loss of Kingma et al., NeurIPS 2021).
    The integral is the trapezoid rule over t = 1 .. T - 1, the mean one of ``n_draws`` noises for
    each t, the same for all classes. The expectation is over the weights' posterior, too: the
    variance of x_0_hat adds to its squared error.

    ``predict(x_t, t, c)`` gives mean and variance of F, each (rows, n_features), for rows x_t and
    their timesteps, of class c.
    """
    steps = np.arange(1, len(alpha_bar))
    levels = levels_at(steps, alpha_bar, prediction_type)
    snr = alpha_bar[1:] / (1 - alpha_bar[1:])
    # Trapezoid rule on a falling SNR: half the gap to either side.
    gaps = np.diff(snr, prepend=snr[0], append=snr[-1])
    weights = -0.25 * (gaps[:-1] + gaps[1:])  # includes the 1/2 of the formula
    loss = np.zeros((len(x_0), n_classes))
    for level, weight in zip(levels, weights, strict=True):
        timestep = np.full(len(x_0), int(level.t))
        for _ in range(n_draws):
            x_t = level.a * x_0 + level.b * generator.standard_normal(x_0.shape)
            for c in range(n_classes):
                mean, var = predict(x_t, timestep, c)
                estimate = level.x_0.x * x_t + level.x_0.prediction * mean
                error = (x_0 - estimate) ** 2 + level.x_0.prediction**2 * var
                loss[:, c] += weight / n_draws * error.sum(axis=1)
    return -loss
