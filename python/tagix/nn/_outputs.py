"""Outputs on a grid, as a user sees them: channels first, as in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagix._arrays import as_float32

Float32 = NDArray[np.float32]


class GridOutputs:
    """Outputs of shape (channels, ...).

    The core has a row for each, (rows, all outputs), with the channels of the first position first.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def targets(self, name: str, y: Any) -> tuple[Float32, tuple[int, ...]]:
        """Targets (rows, channels, ...) as rows, and the shape that they were given in."""
        array = as_float32(name, y)
        if array.shape[1:] != self.shape:
            raise ValueError(
                f"{name}: got an array of shape {array.shape}, needed {('rows', *self.shape)}"
            )
        return self.rows(array), array.shape

    @staticmethod
    def rows(array: Float32) -> Float32:
        """Values of (rows, channels, ...) as rows."""
        return np.ascontiguousarray(np.moveaxis(array, 1, -1)).reshape(len(array), -1)

    def arrays(self, rows: Float32) -> Float32:
        """Rows as (rows, channels, ...)."""
        on_grid = rows.reshape(len(rows), *self.shape[1:], self.shape[0])
        return np.ascontiguousarray(np.moveaxis(on_grid, -1, 1))
