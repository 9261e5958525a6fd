"""Targets of a regressor: their shape, units and law, as they are learned and in files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from tagix._arrays import as_choice
from tagix._core import Heteroscedastic, Homoscedastic
from tagix.sklearn import _files, _novelty
from tagix.sklearn._compatibility import validate_rows_and_targets
from tagix.sklearn._law import TailedLaw
from tagix.sklearn._prequential import RegressionLog
from tagix.sklearn._residuals import Residuals
from tagix.sklearn._scaling import Moments, Scaler
from tagix.sklearn._tabular_estimator import TabularEstimator

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]


class RegressorTargets(TabularEstimator):
    """An estimator whose targets are numbers, (n_rows,) or (n_rows, n_outputs)."""

    noise: str

    _log: RegressionLog
    _y_moments: Moments
    _y_scaler: Scaler
    _y_is_vector: bool
    _law: TailedLaw | None = None
    """The law of targets about the networks' mixture; None for its Gaussian."""
    _residuals: Residuals | None = None
    """Errors out of fold, where there is a law."""

    @property
    def y_mean_(self) -> Array:
        """The offset subtracted from y, (n_outputs,)."""
        check_is_fitted(self)
        return self._y_scaler.mean

    @property
    def y_scale_(self) -> Array:
        """The divisor of y after the offset is subtracted, (n_outputs,)."""
        check_is_fitted(self)
        return self._y_scaler.scale

    def _check_parameters(self) -> None:
        super()._check_parameters()
        as_choice("noise", self.noise, ("auto", "heteroscedastic", "homoscedastic"))

    def _n_outputs(self) -> int:
        return len(self._y_scaler.mean)

    def _network_arguments(self) -> dict[str, Any]:
        if self.noise == "homoscedastic":
            return {"noise": Homoscedastic(learn=True)}
        return {"noise": Heteroscedastic()}

    def _validated(self, X: Any, y: Any, *, reset: bool) -> tuple[Array, Array]:
        rows, targets = validate_rows_and_targets(
            self, X, y, reset=reset, multi_output=True, y_numeric=True
        )
        targets = np.asarray(targets, dtype=np.float64)
        if reset:
            self._y_is_vector = targets.ndim == 1
        return rows, targets.reshape(len(rows), -1)

    def _refuse_evaluation(self, targets: NDArray[Any], learned: NDArray[Any]) -> None:
        if targets.shape[1] != learned.shape[1]:
            raise ValueError(f"y: got {targets.shape[1]} outputs, needed {learned.shape[1]}")

    def _require_outputs(self, targets: Array) -> None:
        """ValueError for targets (rows, outputs) that are not as many as those learned."""
        if targets.shape[1] != self._n_outputs():
            raise ValueError(f"y: got {targets.shape[1]} outputs, needed {self._n_outputs()}")

    def _start_regression(
        self,
        n_features: int,
        n_outputs: int,
        keys: list[Any] | None = None,
        for_table: bool = False,
    ) -> None:
        """An estimator that has seen nothing; arguments as for :meth:`_start`."""
        self._y_moments = Moments.of_nothing(n_outputs)
        self._y_scaler = Scaler.identity(n_outputs)
        self._law = self._residuals = None
        self._log = RegressionLog()
        self._start(n_features, keys, for_table)

    def _by_row(self, values: Array) -> Array:
        """Values (rows, outputs) as they are given to users: (rows,) after a fit to such y."""
        return values[:, 0] if self._y_is_vector else values

    def _learn_novelty(self, x: Float32, y: NDArray[Any], weight: Array | None) -> _novelty.Novelty:
        varies = self._y_scaler.varies  # a constant is known wherever X goes
        y, scale = np.where(varies, y, 0.0), np.where(varies, self._y_scaler.scale, 0.0)
        mean = np.average(y.astype(np.float64), axis=0, weights=weight)
        hidden = self._hidden_widths(for_table=True)
        novelty = _novelty.learn(self.nets_, x, y - mean, hidden, weight, self._encoding)
        return replace(
            novelty,
            amplitude=novelty.amplitude * scale**2,
            sums=novelty.sums * scale,
            centre=self._y_scaler.mean + mean * scale,
        )

    def _n_novelty_outputs(self) -> int:
        return self._n_outputs()

    def _describe_targets(self, tensors: _files.Tensors) -> dict[str, Any]:
        _files.put_units(tensors, "y", self._y_scaler, self._y_moments)
        if self._law is not None:
            tensors["law"] = self._law.array()
        if self._residuals is not None:
            self._residuals.describe(tensors)
        return {
            "y_is_vector": self._y_is_vector,
            "has_law": self._law is not None,
            "has_residuals": self._residuals is not None,
        }

    def _read_targets(self, learned: Any, tensors: _files.Tensors) -> None:
        n_outputs = tensors["y"].shape[-1] if "y" in tensors and tensors["y"].ndim else 0
        self._y_scaler, self._y_moments = _files.take_units(tensors, "y", n_outputs)
        self._law = None
        if learned.flag("has_law"):
            shape = (n_outputs, TailedLaw.n_numbers())
            self._law = TailedLaw.of_array(_files.take_array(tensors, "law", shape))
        has_residuals = learned.flag("has_residuals")
        self._residuals = Residuals.read(tensors, n_outputs) if has_residuals else None
        self._y_is_vector = learned.flag("y_is_vector")
        if self._y_is_vector and n_outputs != 1:
            raise ValueError(f"y: got {n_outputs} outputs, needed 1 for targets without columns")
        self._log = RegressionLog()
