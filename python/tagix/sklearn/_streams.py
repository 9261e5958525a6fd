"""Streams: rows that are learned in their order, in batches or as dicts one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagix._table_format import TableFormat
from tagix.sklearn._core_stream import CoreStream, can_stream
from tagix.sklearn._growth import wider
from tagix.sklearn._inputs import Inputs
from tagix.sklearn._prequential import PrequentialLog
from tagix.sklearn._scaling import Moments, Scaler, moments_with
from tagix.sklearn._undo import all_or_nothing
from tagix.sklearn._values import feature_number

Array = NDArray[np.float64]

# So many rows of a stream give units that a network can be re-expressed in. Before, the units
# follow every batch, and the network, which has hardly learned, stays as it is.
SETTLED_ROWS = 16


class Streams(Inputs):
    """An estimator that learns rows of a stream, and follows them with its units.

    Rows of one network on the CPU go through the core where it can take them
    (:class:`CoreStream`), all others through numpy.
    """

    _n_rows: int
    _settled: bool
    _drifts_in_fit: int
    _weight_unit: float
    _feature_keys: list[Any] | None
    _log: PrequentialLog
    _stream: CoreStream | None = None
    _table_format: TableFormat | None = None

    def _learn(self, X: Array, targets: Any, std: Array | None, weight: Array | None) -> None:
        """Learn a batch, and log what was expected of it.

        Args:
            X: rows, (n_rows, n_inputs).
            targets: (n_rows, n_outputs), or a list of labels.
            std: standard deviations of X, of its shape; None: X is known.
            weight: (n_rows,), above 0; None: 1 for each row.
        """
        raise NotImplementedError

    def _units(self) -> list[tuple[Scaler, Moments]]:
        """Units and moments of X, and of the target."""
        raise NotImplementedError

    def _sums(self) -> list[float]:
        """The log as the core keeps it: what follows the number of rows in PrequentialSums."""
        raise NotImplementedError

    def _set_sums(self, sums: list[float]) -> None:
        """Make the log what :meth:`_sums` gave."""
        raise NotImplementedError

    def _set_moments(self, inputs: Moments, target: Moments) -> None:
        """Take over what was seen of X and of the target."""
        self._x_moments = inputs

    def _learn_in_batches(
        self, X: Array, targets: Any, std: Array | None, weight: Array | None
    ) -> None:
        """:meth:`_learn` rows in their order, ``batch_size`` of them at a time."""
        batch_size = self._batch_size(0)
        for start in range(0, len(X), batch_size):
            part = slice(start, start + batch_size)
            self._learn(
                X[part],
                targets[part],
                None if std is None else std[part],
                None if weight is None else weight[part],
            )

    def _learn_batch(
        self, X: Array, std: Array | None, weight: Array | None, update: Callable[..., None]
    ) -> None:
        """Learn rows of a stream by ``update(x, x_var)``, and let the units of X follow them.

        Until the units are settled they are those of all rows so far, these included, and the
        networks stay as they are. Later, rows are learned in the units of the rows before them, and
        where the number of rows reaches a power of two, the networks are re-expressed in new ones.
        """
        self._end_stream()
        moments = moments_with(self._x_moments, X, "X", weight)
        if not self._settled:
            self._x_scaler = moments.scaler()
        update(*self._x_scaler.inputs(X, std))
        self._x_moments = moments
        before, self._n_rows = self._n_rows, self._n_rows + len(X)
        if not self._settled:
            self._settled = self._n_rows >= SETTLED_ROWS
        elif self._n_rows.bit_length() > before.bit_length():
            self._take_over_units()
        self._note_drifts()

    def _take_over_units_of_stream(self) -> None:
        """:meth:`_take_over_units` for rows that the core has learned."""
        self._take_in_stream()
        self._take_over_units()
        assert self._stream is not None
        self._stream.set_units(self._units())

    def _fits_the_core(self) -> bool:
        """Whether the core can learn the rows that are to come."""
        if not self._settled or self._encoder is not None or len(self.nets_) > 1:
            return False
        if self._n_indicators():
            return False
        scalers = [scaler for scaler, _ in self._units()]
        return can_stream(self.nets_[0], self._feature_keys, scalers)

    def _begin_stream(self) -> None:
        """Let the core learn the next rows, if it can."""
        if self._stream is None and self._fits_the_core():
            sums = [float(self._n_rows), *self._sums()]
            names = list(self._feature_keys or [])
            self._stream = CoreStream(self, self.nets_[0], names, self._units(), sums)

    def _take_in_stream(self) -> None:
        """Take over what the core has counted."""
        if self._stream is not None:
            n_rows, *sums = self._stream.sums()
            self._n_rows = int(n_rows)
            self._set_sums(sums)
            self._set_moments(*self._stream.moments())

    @all_or_nothing
    def _learn_by_stream(self, x: dict[str, Any], y: float) -> None:
        """Learn a row in the core after which the networks are re-expressed in new units."""
        assert self._stream is not None
        self._stream.learn(x, y)
        self._note_drifts()

    def _end_stream(self) -> None:
        """Take over what the core has counted, and learn the next rows without it."""
        self._take_in_stream()
        self._stream = None

    def __getstate__(self) -> Any:
        self._take_in_stream()
        state = dict(super().__getstate__())
        state.pop("_stream", None)
        return state

    def _n_drifts(self) -> int:
        """How many the stream has had, of all networks together."""
        return sum(net.n_drifts for net in self.nets_) - self._drifts_in_fit

    def _note_drifts(self) -> None:
        """Enter drifts that are not in the log yet."""
        if self.forgetting is not None and self._n_drifts() > self._log.n_drifts:
            self._take_in_stream()
            self._log.note_drifts(self._n_drifts(), self._n_rows)

    def _row_of(self, x: Mapping[Any, Any], *, learn: bool) -> Array:
        """A dict of features as a row (1, n_features); what it lacks is missing.

        With ``learn``, features that are new get inputs of their own; without, they are left out.
        Raises TypeError for anything but a dict and for a feature that is not a number.
        """
        if not isinstance(x, Mapping):
            raise TypeError(f"x: got a {type(x).__name__}, needed a dict of features")
        if learn:
            self._novelty = None  # a stream of single rows goes where it goes
        if self._encoder is not None:
            return self._encoder.row(x, self._feature_keys, learn=learn)
        values = {}
        for key, value in x.items():
            values[key] = feature_number(key, value)
            if np.isinf(values[key]):
                raise ValueError(
                    f"x[{key!r}]: got {values[key]}, needed a finite number, NaN or None"
                )
        keys = self._feature_keys
        if learn:
            self._end_stream()
        if keys is None:
            if len(values) != self.n_features_in_:
                raise ValueError(
                    f"x: got {len(values)} features, needed {self.n_features_in_}: the estimator "
                    "was fitted to rows without names"
                )
            keys = list(values)
            if learn:
                self._feature_keys = keys
        if learn:
            new = [key for key in values if key not in keys]
            if new:
                self._add_features(new)
                keys = self._feature_keys or []
        return np.array([[values.get(key, float("nan")) for key in keys]])

    def _name_features(self, keys: list[Any]) -> None:
        """Names of all features; ``feature_names_in_`` if all of them are strings."""
        self._feature_keys = keys
        self._table_format = None  # which was of other features
        if hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        if all(isinstance(key, str) for key in keys):
            self.feature_names_in_ = np.array(keys, dtype=object)

    def _add_features(self, keys: list[Any]) -> None:
        """Inputs for features that were not there before, with the prior's weights."""
        self.nets_ = [wider(net, more_inputs=len(keys)) for net in self.nets_]
        self._x_moments = self._x_moments.with_columns(len(keys))
        self._x_scaler = self._x_scaler.with_columns(len(keys))
        self.n_features_in_ += len(keys)
        self._name_features([*(self._feature_keys or []), *keys])


def first_keys(x: Any) -> list[Any]:
    """The names of features in the first row of a stream; TypeError or ValueError for none."""
    if not isinstance(x, Mapping):
        raise TypeError(f"x: got a {type(x).__name__}, needed a dict of features")
    if not x:
        raise ValueError("x: got no features, needed at least one in the first row")
    return list(x)
