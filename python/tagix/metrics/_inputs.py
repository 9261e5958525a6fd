"""Checks that metrics share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tagix._arrays import as_array, as_number, as_points

FloatArray = npt.NDArray[np.float64]

# Numbers in a block of pairwise distances: 16 MiB.
BLOCK = 2**21


def as_predictions(
    y_true: npt.ArrayLike, mean: npt.ArrayLike, var: npt.ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The observed targets with their predicted means and variances, each (n_observed,) float64.

    NaN in y_true is a missing target and is left out. mean and var broadcast to the shape of
    y_true, never the other way round. (n,) and (n, 1) count as the same shape, so a prediction of
    one output can be compared with targets of one dimension.

    Raises:
        ValueError: Shapes that do not fit, no target, an infinite target, NaN or infinity in mean
            or var, a variance that is not positive.
        TypeError: Not an array of numbers.
    """
    targets = np.asarray(as_array("y_true", y_true), dtype=np.float64)
    means, variances = _broadcast("mean", mean, targets), _broadcast("var", var, targets)
    if np.isinf(targets).any():
        raise ValueError("y_true: got infinity, needed finite numbers, or NaN where missing")
    if not np.isfinite(means).all():
        raise ValueError("mean: got NaN or infinity, needed finite numbers")
    if not (np.isfinite(variances) & (variances > 0)).all():
        raise ValueError(
            "var: got NaN, infinity or a number that is not positive, needed variances > 0"
        )
    observed = ~np.isnan(targets)
    if not observed.any():
        raise ValueError(f"y_true: got no target, shape {targets.shape}, needed at least one")
    return targets[observed], means[observed], variances[observed]


def as_level(value: float) -> float:
    """A share strictly between 0 and 1, else ValueError or TypeError."""
    level = as_number("level", value)
    if not 0.0 < level < 1.0:
        raise ValueError(f"level: got {level}, needed a number in (0, 1)")
    return level


def as_levels(value: npt.ArrayLike | None) -> FloatArray:
    """(n_levels,) shares strictly between 0 and 1, by default 0.01, 0.02, ..., 0.99."""
    if value is None:
        return np.arange(1, 100) / 100.0
    levels = np.asarray(as_array("levels", value), dtype=np.float64)
    if levels.ndim != 1 or levels.size == 0 or not ((levels > 0) & (levels < 1)).all():
        raise ValueError(
            f"levels: got shape {levels.shape}, needed (n_levels,) numbers in (0, 1), at least one"
        )
    return levels


def as_finite(name: str, value: npt.ArrayLike) -> FloatArray:
    """(n,) finite numbers, n >= 1, of an array of any shape, else ValueError or TypeError."""
    array = np.asarray(as_array(name, value), dtype=np.float64).ravel()
    if array.size == 0:
        raise ValueError(f"{name}: got no number, needed at least one")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: got NaN or infinity, needed finite numbers")
    return array


def as_point_sets(**points: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Two arrays by their argument names, each (n, n_features) float64, finite, n >= 1.

    Raises ValueError for other shapes and numbers, TypeError for anything but an array of numbers.
    """
    (name_a, a), (name_b, b) = points.items()
    points_a, points_b = as_points(name_a, a), as_points(name_b, b)
    if points_a.shape[1] != points_b.shape[1]:
        raise ValueError(
            f"{name_a}, {name_b}: got shapes {points_a.shape} and {points_b.shape}, "
            "needed equal n_features"
        )
    return points_a, points_b


def _broadcast(name: str, value: npt.ArrayLike, targets: FloatArray) -> FloatArray:
    array = np.asarray(as_array(name, value), dtype=np.float64)
    if array.shape == (*targets.shape, 1) or (*array.shape, 1) == targets.shape:
        return array.reshape(targets.shape)
    try:
        return np.broadcast_to(array, targets.shape)
    except ValueError:
        raise ValueError(
            f"{name}: got shape {array.shape}, needed that of y_true, {targets.shape}, "
            "or one that broadcasts to it"
        ) from None
