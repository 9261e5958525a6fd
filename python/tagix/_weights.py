"""Weights of rows: a row of weight n counts as n rows with the same target."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagix._arrays import as_array

# So that innovations times weights fit float32 with room to spare.
MOST = 1e18


def as_weights(name: str, value: Any, n_rows: int) -> NDArray[np.float64]:
    """Weights of rows as float64 (n_rows,), not all of them 0.

    Raises ValueError for other shapes and numbers below 0 or above 1e18, TypeError for anything but
    an array of numbers.
    """
    weights = np.asarray(as_array(name, value), dtype=np.float64)
    if weights.shape != (n_rows,):
        raise ValueError(f"{name}: got shape {weights.shape}, needed ({n_rows},), one for each row")
    wrong = np.flatnonzero(~((weights >= 0) & (weights <= MOST)))
    if wrong.size:
        raise ValueError(
            f"{name}: got {weights[wrong[0]]} at position {wrong[0]}, needed numbers from 0 to 1e18"
        )
    if n_rows and not weights.any():
        raise ValueError(f"{name}: got a weight of zero for every row, needed one above zero")
    return weights


def without_targets(
    targets: NDArray[np.float32], weights: NDArray[np.float64] | None
) -> NDArray[np.float32]:
    """Targets (rows, columns), set to missing in rows of weight 0, which then have no effect."""
    if weights is None or weights.all():
        return targets
    return np.where(weights[:, np.newaxis] > 0, targets, np.float32("nan"))


def for_core(weights: NDArray[np.float64] | None) -> NDArray[np.float32] | None:
    """Weights as the core takes them."""
    return None if weights is None else weights.astype(np.float32)
