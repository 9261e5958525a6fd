"""How well frequencies match the probabilities and variances of Gaussian predictions.

Each function takes targets, predicted means and TOTAL predictive variances (noise included;
variances, not standard deviations). NaN targets are missing and left out. mean and var broadcast to
the shape of y_true, (n,) or (n, n_outputs) or any other; (n,) and (n, 1) count as the same.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tagix._arrays import as_count
from tagix._optional import import_optional
from tagix.metrics._inputs import FloatArray, as_level, as_levels, as_predictions


class FrequencyCurve(NamedTuple):
    """Nominal probabilities and the frequencies found, each (n_levels,)."""

    nominal: FloatArray
    observed: FloatArray


class VarianceCurve(NamedTuple):
    """Predicted and actual errors of bins of rising variance, each (n_bins,).

    ``predicted`` is the root of the mean predicted variance, ``actual`` the root mean squared
    error, both in the unit of the targets.
    """

    predicted: FloatArray
    actual: FloatArray


class PitHistogram(NamedTuple):
    """Counts of targets by probability integral transform, (n_bins,), and (n_bins + 1,) edges."""

    counts: npt.NDArray[np.int64]
    edges: FloatArray


def coverage(
    y_true: npt.ArrayLike, mean: npt.ArrayLike, var: npt.ArrayLike, *, level: float = 0.95
) -> float:
    """Share of targets within the central interval of this nominal probability.

        lower, upper = mean -+ sqrt(var) Phi^-1((1 + level) / 2)

    Args:
        y_true: Targets; NaN is missing and is left out.
        mean: Predicted means.
        var: Total predictive variances, > 0.
        level: Nominal coverage, in (0, 1). A calibrated model's coverage is equal to it.

    Raises:
        ValueError: Shapes that do not fit, no target, numbers that are not finite, a variance that
            is not positive, level out of range.
        TypeError: Not an array of numbers, or not a number.
        ImportError: scipy is not installed.
    """
    return float(coverage_curve(y_true, mean, var, levels=[as_level(level)]).observed[0])


def coverage_curve(
    y_true: npt.ArrayLike,
    mean: npt.ArrayLike,
    var: npt.ArrayLike,
    *,
    levels: npt.ArrayLike | None = None,
) -> FrequencyCurve:
    """Coverage of the central intervals by their level, see coverage.

    Args:
        y_true: Targets; NaN is missing and is left out.
        mean: Predicted means.
        var: Total predictive variances, > 0.
        levels: (n_levels,) numbers in (0, 1); by default 0.01, 0.02, ..., 0.99.

    Raises:
        ValueError: Shapes that do not fit, no target, numbers that are not finite, a variance that
            is not positive, a level out of range.
        TypeError: Not an array of numbers.
        ImportError: scipy is not installed.
    """
    nominal = as_levels(levels)
    y, mu, variance = as_predictions(y_true, mean, var)
    # The level of the interval that ends at y: 2 Phi(|z|) - 1.
    level_at_y = import_optional("scipy.special").erf(np.abs(y - mu) / np.sqrt(2.0 * variance))
    return FrequencyCurve(nominal, _share_at_most(level_at_y, nominal))


def quantile_calibration_curve(
    y_true: npt.ArrayLike,
    mean: npt.ArrayLike,
    var: npt.ArrayLike,
    *,
    levels: npt.ArrayLike | None = None,
) -> FrequencyCurve:
    """Share of targets at or below each predicted quantile, by the quantile's level.

        observed(p) = share of targets with y <= mean + sqrt(var) Phi^-1(p)

    Args:
        y_true: Targets; NaN is missing and is left out.
        mean: Predicted means.
        var: Total predictive variances, > 0.
        levels: (n_levels,) numbers in (0, 1); by default 0.01, 0.02, ..., 0.99.

    Raises:
        ValueError: Shapes that do not fit, no target, numbers that are not finite, a variance that
            is not positive, a level out of range.
        TypeError: Not an array of numbers.
        ImportError: scipy is not installed.
    """
    nominal = as_levels(levels)
    return FrequencyCurve(nominal, _share_at_most(pit(y_true, mean, var), nominal))


def quantile_calibration_error(
    y_true: npt.ArrayLike,
    mean: npt.ArrayLike,
    var: npt.ArrayLike,
    *,
    levels: npt.ArrayLike | None = None,
) -> float:
    """Mean absolute difference of observed and nominal frequency over the quantile levels.

        QCE = mean over p of |observed(p) - p|,   observed as in quantile_calibration_curve

    It is 0 for a model calibrated on average, at most 0.5 with the default levels, and about 0.31 /
    sqrt(n) for n targets that were drawn from the prediction. Kuleshov et al. (2018) sum the
    squares of the same differences.

    Args:
        y_true: Targets; NaN is missing and is left out.
        mean: Predicted means.
        var: Total predictive variances, > 0.
        levels: (n_levels,) numbers in (0, 1); by default 0.01, 0.02, ..., 0.99.

    Raises:
        ValueError: Shapes that do not fit, no target, numbers that are not finite, a variance that
            is not positive, a level out of range.
        TypeError: Not an array of numbers.
        ImportError: scipy is not installed.
    """
    curve = quantile_calibration_curve(y_true, mean, var, levels=levels)
    return float(np.mean(np.abs(curve.observed - curve.nominal)))


def pit(y_true: npt.ArrayLike, mean: npt.ArrayLike, var: npt.ArrayLike) -> FloatArray:
    """Probability integral transform: the predicted distribution function at each target.

        PIT = Phi((y - mean) / sqrt(var))

    For a calibrated model these are uniform over [0, 1].

    Args:
        y_true: Targets; NaN is missing and is left out.
        mean: Predicted means.
        var: Total predictive variances, > 0.

    Returns:
        (n_observed,) numbers in [0, 1], in the order of the targets that are not NaN.

    Raises:
        ValueError: Shapes that do not fit, no target, numbers that are not finite, a variance that
            is not positive.
        TypeError: Not an array of numbers.
        ImportError: scipy is not installed.
    """
    y, mu, variance = as_predictions(y_true, mean, var)
    transform = import_optional("scipy.special").ndtr((y - mu) / np.sqrt(variance))
    return np.asarray(transform, dtype=np.float64)


def pit_histogram(
    y_true: npt.ArrayLike, mean: npt.ArrayLike, var: npt.ArrayLike, *, n_bins: int = 10
) -> PitHistogram:
    """Counts of targets by probability integral transform, in bins of equal width over [0, 1].

    The histogram is flat for a calibrated model. It has a valley if variances are too small, a hill
    if they are too large, and a slope if means are biased (Gneiting, Balabdaoui and Raftery 2007).

    Args:
        y_true: Targets; NaN is missing and is left out.
        mean: Predicted means.
        var: Total predictive variances, > 0.
        n_bins: Number of bins, at least 1.

    Raises:
        ValueError: Shapes that do not fit, no target, numbers that are not finite, a variance that
            is not positive, n_bins below 1.
        TypeError: Not an array of numbers, or not an integer.
        ImportError: scipy is not installed.
    """
    n_bins = as_count("n_bins", n_bins, least=1)
    counts, edges = np.histogram(pit(y_true, mean, var), bins=n_bins, range=(0.0, 1.0))
    return PitHistogram(counts.astype(np.int64), edges)


def variance_calibration_curve(
    y_true: npt.ArrayLike, mean: npt.ArrayLike, var: npt.ArrayLike, *, n_bins: int = 10
) -> VarianceCurve:
    """Predicted against actual errors, in bins of equally many targets by rising variance.

        predicted = sqrt(mean of var),   actual = sqrt(mean of (y - mean)^2),   bin by bin

    Targets of equal variance are sorted by their position in y_true.

    Args:
        y_true: Targets; NaN is missing and is left out.
        mean: Predicted means.
        var: Total predictive variances, > 0.
        n_bins: Number of bins, from 1 to the number of targets; sizes differ by one at most.

    Raises:
        ValueError: Shapes that do not fit, no target, numbers that are not finite, a variance that
            is not positive, n_bins out of range.
        TypeError: Not an array of numbers, or not an integer.
    """
    y, mu, variance = as_predictions(y_true, mean, var)
    n_bins = as_count("n_bins", n_bins, least=1, most=len(y))
    bins = np.array_split(np.argsort(variance, kind="stable"), n_bins)
    square = (y - mu) ** 2
    predicted = np.sqrt([variance[rows].mean() for rows in bins])
    return VarianceCurve(predicted, np.sqrt([square[rows].mean() for rows in bins]))


def expected_normalized_calibration_error(
    y_true: npt.ArrayLike, mean: npt.ArrayLike, var: npt.ArrayLike, *, n_bins: int = 10
) -> float:
    """ENCE: mean relative difference of actual and predicted error over bins of rising variance.

        ENCE = mean over bins of |predicted - actual| / predicted,
        predicted and actual as in variance_calibration_curve (Levi et al. 2019)

    Unlike coverage, ENCE tells whether variances are right at each size, not only on average. For a
    calibrated model it is not 0 but about sqrt(n_bins / (pi n)) for n targets.

    Args:
        y_true: Targets; NaN is missing and is left out.
        mean: Predicted means.
        var: Total predictive variances, > 0.
        n_bins: Number of bins, from 1 to the number of targets.

    Raises:
        ValueError: Shapes that do not fit, no target, numbers that are not finite, a variance that
            is not positive, n_bins out of range.
        TypeError: Not an array of numbers, or not an integer.
    """
    curve = variance_calibration_curve(y_true, mean, var, n_bins=n_bins)
    return float(np.mean(np.abs(curve.predicted - curve.actual) / curve.predicted))


def _share_at_most(values: FloatArray, levels: FloatArray) -> FloatArray:
    """Share of the values that are no larger than each level."""
    return np.searchsorted(np.sort(values), levels, side="right") / len(values)
