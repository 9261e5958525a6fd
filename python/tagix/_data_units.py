"""Columns of data that float32 cannot hold as they are: far from 0, or constant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagix.samples import Samples

# From so many standard deviations away from 0, float32 rounds a column to steps of 1/800 of its
# standard deviation and more.
_FAR = 1e4


@dataclass(frozen=True, eq=False)
class DataUnits:
    """Offsets that are subtracted from the columns in float64, before the core gets them in
    float32.

    Attributes:
        offset: (n_features,) float64: 0 for a column that float32 can hold, and for a constant
            column its constant.
        constant: (n_features,), whether all rows so far had that value.
    """

    offset: NDArray[np.float64]
    constant: NDArray[np.bool_]

    @classmethod
    def plain(cls, n_features: int) -> DataUnits:
        """Nothing is taken."""
        return cls(np.zeros(n_features), np.zeros(n_features, dtype=np.bool_))

    @classmethod
    def of(cls, rows: NDArray[Any]) -> DataUnits:
        """Those of finite rows, (n_rows, n_features), of any dtype, at least one."""
        first = rows[0].astype(np.float64)
        constant = (rows == rows[0]).all(axis=0)
        # Around the first row, so that neither sum loses digits.
        deviation = rows.astype(np.float64) - first
        mean, std = first + deviation.mean(axis=0), deviation.std(axis=0)
        far = np.abs(mean) > _FAR * std
        return cls(np.where(constant, first, np.where(far, mean, 0.0)), constant)

    def widened(self, rows: NDArray[Any]) -> DataUnits:
        """The same after more rows, in which a column that was constant may vary."""
        return DataUnits(self.offset, self.constant & (rows == self.offset).all(axis=0))

    @property
    def needs_float64(self) -> bool:
        """Whether float32 does not hold a column, or not its constant."""
        return not (
            np.array_equal(self.offset.astype(np.float32), self.offset)
            and not self.offset[~self.constant].any()
        )

    def centred(self, rows: NDArray[Any], as_float32: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rows without the offsets, as the core takes them; ``as_float32`` are the same rows."""
        if not self.offset.any():
            return as_float32
        return np.ascontiguousarray(rows.astype(np.float64) - self.offset, dtype=np.float32)

    def restore(self, values: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        """Numbers of the core, (..., n_features), with the offsets; float64 if they need it."""
        if not self.offset.any():
            return values
        restored = values.astype(np.float64) + self.offset
        return restored if self.needs_float64 else restored.astype(np.float32)

    def restore_samples(
        self,
        x: NDArray[np.float32],
        var: NDArray[np.float32],
        trajectory: NDArray[np.float32] | None,
        *uncertainty: NDArray[np.float32] | None,
    ) -> Samples:
        """What the core has drawn, in the units of the data; constants are certain."""
        chain = None if trajectory is None else self.restore(trajectory)
        drawn = self.restore(x)
        if self.constant.any():
            for last in (drawn,) if chain is None else (drawn, chain[-1]):
                last[:, self.constant] = self.offset[self.constant]
            var[:, self.constant] = 0.0
            for covariance in uncertainty[:2]:
                if covariance is not None:
                    covariance[:, self.constant, :] = 0.0
                    covariance[:, :, self.constant] = 0.0
        return Samples(drawn, var, chain, *uncertainty)
