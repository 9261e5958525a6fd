"""Rows of a stream one by one through the core, for an estimator of one network on the CPU."""

from __future__ import annotations

import weakref
from typing import Any, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from tagix import _core, nn
from tagix.sklearn._scaling import Moments, Scaler

Array = NDArray[np.float64]


class StreamOwner(Protocol):
    """An estimator that learns by a :class:`CoreStream`."""

    def _take_over_units_of_stream(self) -> None:
        """Called after a row with which their number becomes a power of two."""


class CoreStream:
    """A ``_core.Stream`` with its names; units, moments and sums move in and out as arrays.

    While it exists it counts rows and moments, and the estimator asks it for them.
    """

    def __init__(
        self,
        owner: StreamOwner,
        net: nn.Sequential,
        names: list[str],
        units: list[tuple[Scaler, Moments]],
        sums: list[float],
    ) -> None:
        """``units`` are those of the inputs and of the target, ``sums`` as in models/stream.h."""
        owned = weakref.ref(owner)  # the core's objects are unknown to the garbage collector

        def rescale() -> None:
            alive = owned()
            if alive is not None:
                alive._take_over_units_of_stream()

        self.net = net
        self.keys = frozenset(names)
        self._stream = _core.Stream(
            net._model, names, _table(units), np.array(sums, dtype=np.float64), rescale
        )
        self.learn, self.predict = self._stream.learn, self._stream.predict
        self.rows_left = _rows_to_power_of_two(sums[0])
        """Rows until the last one brings new units."""
        self.predict_proba = self._stream.predict_proba

    def has_all_of(self, x: Any) -> TypeGuard[dict[str, Any]]:
        """Whether a row is a dict that has every feature, none of them None or NaN.

        Predictions of other rows are computed elsewhere, averaged over the missing values.
        """
        try:
            return (
                type(x) is dict
                and x.keys() >= self.keys
                and all(value == value and value is not None for value in x.values())
            )
        except TypeError:  # of pandas' NA, which is neither true nor false
            return False

    def set_units(self, units: list[tuple[Scaler, Moments]]) -> None:
        """Change the standardization alone; the network has been re-expressed."""
        self._stream.columns = _table(units)
        self.rows_left = _rows_to_power_of_two(self.sums()[0])

    def moments(self) -> tuple[Moments, Moments]:
        """What was seen of the inputs and of the target."""
        table: Array = self._stream.columns[:, 2:]
        return Moments(*table[:-1].T.copy()), Moments(*table[-1:].T.copy())

    def sums(self) -> list[float]:
        """The sums so far, as in models/stream.h."""
        sums: list[float] = self._stream.sums.tolist()
        return sums


def can_stream(net: nn.Sequential, names: list[Any] | None, scalers: list[Scaler]) -> bool:
    """Whether the core takes the rows: of named features that have all varied, on the CPU."""
    return (
        net.device == "cpu"
        and names is not None
        and all(isinstance(name, str) for name in names)
        and all(scaler.varies.all() for scaler in scalers)
    )


def _rows_to_power_of_two(n_rows: float) -> int:
    return (1 << int(n_rows).bit_length()) - int(n_rows)


def _table(units: list[tuple[Scaler, Moments]]) -> Array:
    """A row for each column: mean and scale; count, mean and sum of squares of what was seen."""
    return np.vstack(
        [
            np.column_stack([scaler.mean, scaler.scale, seen.count, seen.mean, seen.squares])
            for scaler, seen in units
        ]
    )
