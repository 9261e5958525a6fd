"""Proper scoring rules for Gaussian predictions; lower is better in all of them.

Each takes targets, predicted means and TOTAL predictive variances (noise included; variances, not
standard deviations) and returns the mean over all targets that are not NaN. mean and var broadcast
to the shape of y_true, (n,) or (n, n_outputs) or any other; (n,) and (n, 1) count as the same.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tagix._optional import import_optional
from tagix.metrics._inputs import as_level, as_predictions


def nll_gaussian(y_true: npt.ArrayLike, mean: npt.ArrayLike, var: npt.ArrayLike) -> float:
    """Mean negative log-likelihood of the targets, in nats, the constant included.

        NLL = (log(2 pi var) + (y - mean)^2 / var) / 2

    Args:
        y_true: Targets; NaN is missing and is left out.
        mean: Predicted means.
        var: Total predictive variances, > 0.

    Raises:
        ValueError: Shapes that do not fit, no target, numbers that are not finite, a variance that
            is not positive.
        TypeError: Not an array of numbers.
    """
    y, mu, variance = as_predictions(y_true, mean, var)
    return float(np.mean(0.5 * (np.log(2.0 * np.pi * variance) + (y - mu) ** 2 / variance)))


def crps_gaussian(y_true: npt.ArrayLike, mean: npt.ArrayLike, var: npt.ArrayLike) -> float:
    """Mean continuous ranked probability score, in the unit of the targets.

        CRPS = integral of (F(x) - 1{x >= y})^2 dx
             = std (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)),   z = (y - mean) / std

    F is the predicted distribution function, Phi and phi those of the standard normal (Gneiting and
    Raftery 2007, equation 21 and its closed form). For a variance near 0 it is the absolute error.

    Args:
        y_true: Targets; NaN is missing and is left out.
        mean: Predicted means.
        var: Total predictive variances, > 0.

    Raises:
        ValueError: Shapes that do not fit, no target, numbers that are not finite, a variance that
            is not positive.
        TypeError: Not an array of numbers.
        ImportError: scipy is not installed.
    """
    y, mu, variance = as_predictions(y_true, mean, var)
    std = np.sqrt(variance)
    z = (y - mu) / std
    two_phi = np.sqrt(2.0 / np.pi) * np.exp(-0.5 * z**2)
    erf = import_optional("scipy.special").erf(z / np.sqrt(2.0))  # 2 Phi(z) - 1
    return float(np.mean(std * (z * erf + two_phi - 1.0 / np.sqrt(np.pi))))


def interval_score(
    y_true: npt.ArrayLike, mean: npt.ArrayLike, var: npt.ArrayLike, *, level: float = 0.95
) -> float:
    """Mean interval score (Winkler) of the central intervals, in the unit of the targets.

        S = (upper - lower) + 2 / alpha max(lower - y, 0) + 2 / alpha max(y - upper, 0),
        alpha = 1 - level

    lower and upper are the quantiles alpha / 2 and 1 - alpha / 2 of the prediction (Gneiting and
    Raftery 2007, equation 43).

    Args:
        y_true: Targets; NaN is missing and is left out.
        mean: Predicted means.
        var: Total predictive variances, > 0.
        level: Nominal coverage of the intervals, in (0, 1).

    Raises:
        ValueError: Shapes that do not fit, no target, numbers that are not finite, a variance that
            is not positive, level out of range.
        TypeError: Not an array of numbers, or not a number.
        ImportError: scipy is not installed.
    """
    alpha = 1.0 - as_level(level)
    y, mu, variance = as_predictions(y_true, mean, var)
    half_width = -import_optional("scipy.special").ndtri(0.5 * alpha) * np.sqrt(variance)
    outside = np.maximum(np.abs(y - mu) - half_width, 0.0)
    return float(np.mean(2.0 * half_width + 2.0 / alpha * outside))
