"""Weights of rows, as the core takes them: a row counts as so many with the same target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagix._arrays import as_array

Float32 = NDArray[np.float32]


def as_weights(name: str, value: Any, n_rows: int) -> NDArray[np.float64]:
    """Weights of rows as float64 (n_rows,), finite and at least 0, not all of them 0.

    Raises ValueError for anything else, TypeError for anything but an array of numbers.
    """
    weights = np.asarray(as_array(name, value), dtype=np.float64)
    if weights.shape != (n_rows,):
        raise ValueError(f"{name}: got shape {weights.shape}, needed ({n_rows},), one for each row")
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if wrong.size:
        raise ValueError(
            f"{name}: got {weights[wrong[0]]} at position {wrong[0]}, needed finite numbers of at "
            "least 0"
        )
    if n_rows and not weights.any():
        raise ValueError(
            f"{name}: got a weight of zero for every row, needed one above zero for some"
        )
    return weights


@dataclass(frozen=True)
class RowWeights:
    """What the weights of a batch or of a table do to targets and to their noise."""

    without: NDArray[np.bool_]
    """(rows,), those of weight 0."""
    relative_noise_var: Float32
    """(rows,), 1 / weight."""

    @classmethod
    def of(cls, sample_weight: Any, n_rows: int) -> RowWeights | None:
        """Those of an argument; None for None."""
        if sample_weight is None:
            return None
        weights = as_weights("sample_weight", sample_weight, n_rows)
        with np.errstate(divide="ignore", over="ignore"):
            # So that it can be divided by and multiplied with in float32.
            relative = np.clip(1.0 / weights, 1e-18, 1e18).astype(np.float32)
        return cls(weights == 0, relative)

    def targets(self, targets: Float32) -> Float32:
        """Targets (rows, columns), those of weight 0 missing."""
        return np.where(self.without[:, np.newaxis], np.float32("nan"), targets)

    def noise_var(self, known: Float32, shape: tuple[int, ...]) -> Float32:
        """Noise variances of targets, (rows, outputs) as ``shape`` says, where they are known.

        ``known`` broadcasts to that shape, and is what a target of weight 1 has.
        """
        relative = self.relative_noise_var.astype(np.float64)[:, np.newaxis]
        limits = np.finfo(np.float32)
        of_rows = np.clip(known * relative, limits.tiny, limits.max).astype(np.float32)
        return np.ascontiguousarray(np.broadcast_to(of_rows, shape))
