"""Streams of labels: rows as dicts that a classifier learns and predicts one by one."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagix.sklearn import _ensemble
from tagix.sklearn._classifier_probabilities import ClassifierProbabilities, reweighted
from tagix.sklearn._scaling import Moments, Scaler
from tagix.sklearn._streams import first_keys
from tagix.sklearn._undo import all_or_nothing
from tagix.sklearn._values import is_missing

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]


class ClassifierStreams(ClassifierProbabilities):
    """A classifier that learns streams, in which labels may appear later."""

    def learn_one(self, x: Mapping[Any, Any], y: Hashable) -> None:
        """Learn one row of a stream, as River's models do.

        Args:
            x: features by name, as for :meth:`TagiRegressor.learn_one`.
            y: the label; a label that has not occurred before becomes a new class.

        Raises:
            TypeError, ValueError: for anything but a dict of numbers, for NaN and None as a label,
                and for a label that is not among the ``classes`` given to :meth:`partial_fit`. The
                estimator is then unchanged.
        """
        stream = self._stream
        if stream is not None and type(x) is dict and x.keys() <= stream.keys:
            number = self._number_of.get(y)
            if number is not None:
                if stream.rows_left == 1:
                    self._learn_by_stream(x, number)
                    return
                stream.learn(x, number)
                stream.rows_left -= 1
                self._note_drifts()
                return
        self._learn_row(x, y)

    @all_or_nothing
    def _learn_row(self, x: Mapping[Any, Any], y: Any) -> None:
        """:meth:`learn_one` without the core's stream, which it begins where it can."""
        if is_missing(y):
            raise ValueError(f"y: got {y!r}, needed a label")
        label = y.item() if isinstance(y, np.generic) else y
        if not self.__sklearn_is_fitted__():
            keys = first_keys(x)
            self._refuse_balanced()
            self._start_classes(len(keys), [], keys)
            self._classes_are_given = False
        elif self._classes_are_given and label not in self._labels:
            raise ValueError(f"y: got {y!r}, needed one of the classes, {self.classes_}")
        self._learn(self._row_of(x, learn=True), [label], None, None)
        self._begin_stream()

    def predict_proba_one(self, x: Mapping[Any, Any]) -> dict[Any, float]:
        """The probability of each label for a row of a stream; empty before the first label.

        Features that the estimator does not know are ignored; features that the row lacks are
        missing.
        """
        if not self.__sklearn_is_fitted__():
            first_keys(x)
            return {}
        if self._stream is not None and self._stream.has_all_of(x):
            of_labels: NDArray[Any] = self._stream.predict_proba(x, len(self._labels))
            if self._weight_of:
                weights = [self._weight_of.get(label, 1.0) for label in self._labels]
                of_labels = reweighted(of_labels.astype(np.float64), np.array(weights))
            return dict(zip(self._labels, of_labels.tolist(), strict=True))
        row = self._x_scaler.inputs(self._row_of(x, learn=False))
        probabilities = self._weighted(self._probabilities(*row))[0]
        labels = (self._labels[number] for number in self._columns)
        return dict(zip(labels, probabilities.tolist(), strict=True))

    def predict_one(self, x: Mapping[Any, Any]) -> Any:
        """The most probable label for a row of a stream; None before the first label."""
        probabilities = self.predict_proba_one(x)
        return max(probabilities, key=probabilities.__getitem__) if probabilities else None

    def _learn(self, X: Array, targets: Any, std: Array | None, weight: Array | None) -> None:
        """Learn a batch of a stream, and log what was expected of it."""
        probabilities = self._probabilities(*self._x_scaler.inputs(X, std))
        columns = self._column_of_label()
        expected = np.array([columns.get(label, -1) for label in targets], np.int64)
        new = [label for label in dict.fromkeys(targets) if label not in columns]
        for label in new:
            self._add_class(label)
        if new:
            self._name_classes()

        def update(x: Float32, x_var: Float32 | None) -> None:
            numbers = self._numbers(targets)
            _ensemble.update(self.nets_, x, numbers, x_var, weight, self._encoding)
            if self._novelty is not None:
                self._novelty = self._novelty.with_rows(x, None, weight)
            self._log.add(probabilities, expected)

        self._learn_batch(X, std, weight, update)

    def _units(self) -> list[tuple[Scaler, Moments]]:
        return [(self._x_scaler, self._x_moments), (Scaler.identity(1), Moments.of_nothing(1))]

    def _sums(self) -> list[float]:
        log = self._log
        n_rows, n_correct = float(log.n_rows), float(log.n_correct)
        return [n_rows, log.log_likelihood, log.squared_error, 0.0, 0.0, n_correct]

    def _set_sums(self, sums: list[float]) -> None:
        log = self._log
        log.n_rows, log.n_correct = int(sums[0]), int(sums[5])
        log.log_likelihood, log.squared_error = sums[1:3]

    def _fits_the_core(self) -> bool:
        return len(self._known_labels()) == len(self._labels) and super()._fits_the_core()
