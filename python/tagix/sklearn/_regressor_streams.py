"""Streams of numbers: rows as dicts that a regressor learns and predicts one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from tagix._rescaling import rescale
from tagix.sklearn import _ensemble
from tagix.sklearn._regressor_moments import RegressorMoments
from tagix.sklearn._scaling import Moments, Scaler, moments_with
from tagix.sklearn._streams import first_keys
from tagix.sklearn._targets import target_of_row
from tagix.sklearn._undo import all_or_nothing

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]


class RegressorStreams(RegressorMoments):
    """A regressor that learns streams, and whose units of y follow them."""

    def learn_one(self, x: Mapping[Any, Any], y: Any) -> None:
        """Learn one row of a stream, as River's models do.

        Args:
            x: features by name. Features that a row lacks are missing; features that appear later
                get their own inputs, with the prior's weights.
            y: the target, or a sequence of them for several outputs.

        Raises:
            TypeError, ValueError: if x is not a dict of numbers, or a target is not finite. The
                estimator is then unchanged.
        """
        stream = self._stream
        if (
            stream is not None
            and type(x) is dict
            and isinstance(y, (float, int))
            and y - y == 0  # finite
            and x.keys() <= stream.keys
        ):
            if stream.rows_left == 1:
                self._learn_by_stream(x, y)
                return
            stream.learn(x, y)
            stream.rows_left -= 1
            self._note_drifts()
            return
        self._learn_row(x, y)

    @all_or_nothing
    def _learn_row(self, x: Mapping[Any, Any], y: Any) -> None:
        """:meth:`learn_one` without the core's stream, which it begins where it can."""
        targets = np.atleast_2d(target_of_row(y))
        if not np.isfinite(targets).all():
            raise ValueError(f"y: got {y!r}, needed finite numbers")
        if not self.__sklearn_is_fitted__():
            keys = first_keys(x)
            self._y_is_vector = np.ndim(y) == 0
            self._start_regression(len(keys), targets.shape[1], keys)
        else:
            self._require_outputs(targets)
        self._learn(self._row_of(x, learn=True), targets, None, None)
        self._begin_stream()

    def predict_one(self, x: Mapping[Any, Any], return_std: bool = False) -> Any:
        """The mean for a row of a stream, and its standard deviation with ``return_std``.

        Features that the estimator does not know are ignored; features that the row lacks are
        missing. Before anything has been learned, the prediction is that of the prior, whatever x
        is.

        Returns:
            A float, or an array (n_outputs,) for several outputs; a pair of them with
            ``return_std``.
        """
        if self._stream is not None and self._stream.has_all_of(x):
            mean, var = self._stream.predict(x)
            return (mean, math.sqrt(var)) if return_std else mean
        model: RegressorStreams = self
        if self.__sklearn_is_fitted__():
            inputs = self._x_scaler.inputs(self._row_of(x, learn=False))
        else:
            model = clone(self)
            keys = first_keys(x)
            model._y_is_vector = True
            model._start_regression(len(keys), 1, keys)
            # The units of x are not known yet: its values say nothing.
            inputs = model._x_scaler.inputs(np.full((1, len(x)), np.nan))
        mixture = model._predict_rows(*inputs)
        mean, std = mixture.mean[0], np.sqrt(mixture.var)[0]
        if model._y_is_vector:
            return (float(mean[0]), float(std[0])) if return_std else float(mean[0])
        return (mean, std) if return_std else mean

    def _learn(self, X: Array, targets: Any, std: Array | None, weight: Array | None) -> None:
        """Learn a batch of a stream, and log what was expected of it."""
        moments = moments_with(self._y_moments, targets, "y", weight)
        # In units that do not come from these rows.
        counts = self._settled and bool(self._y_scaler.varies.all())
        if not self._settled:
            self._y_scaler = moments.scaler()
        elif not counts:
            scaler = moments.scaler()
            if (scaler.varies & ~self._y_scaler.varies).any():  # for the first time
                self._take_over_target_units(scaler)

        def update(x: Float32, x_var: Float32 | None) -> None:
            scaled = self._y_scaler.targets(targets)
            before = _ensemble.update(self.nets_, x, scaled, x_var, weight, self._encoding)
            if self._novelty is not None:
                self._novelty = self._novelty.with_rows(x, targets, weight)
            if counts:
                before = self._in_units(before)
                self._log.add(targets, before.mean, before.var, self._law)
            self._y_moments = moments

        self._learn_batch(X, std, weight, update)

    def _units(self) -> list[tuple[Scaler, Moments]]:
        return [(self._x_scaler, self._x_moments), (self._y_scaler, self._y_moments)]

    def _sums(self) -> list[float]:
        log = self._log
        errors = [log.log_likelihood, log.squared_error, log.absolute_error, log.covered]
        return [float(log.n_rows), *errors, 0.0]

    def _set_sums(self, sums: list[float]) -> None:
        log = self._log
        log.n_rows = int(sums[0])
        log.log_likelihood, log.squared_error, log.absolute_error, log.covered = sums[1:5]

    def _set_moments(self, inputs: Moments, target: Moments) -> None:
        super()._set_moments(inputs, target)
        self._y_moments = target

    def _fits_the_core(self) -> bool:
        # The core's predictions are Gaussians.
        return super()._fits_the_core() and self._y_is_vector and self._law is None

    def _take_over_units(self) -> None:
        super()._take_over_units()
        self._take_over_target_units(self._y_moments.scaler())

    def _take_over_target_units(self, scaler: Scaler) -> None:
        for net in self.nets_:
            rescale(net, targets=self._y_scaler.units_towards(scaler))
        self._y_scaler = scaler
