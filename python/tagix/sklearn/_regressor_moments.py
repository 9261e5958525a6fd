"""What a prediction of a regressor is made of: means and variances in the units of y."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from tagix.sklearn import _ensemble
from tagix.sklearn._ensemble import Mixture
from tagix.sklearn._law import log_density
from tagix.sklearn._regressor_targets import RegressorTargets

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]


class RegressorMoments(RegressorTargets):
    """A regressor that predicts the mean of a target, and parts of its variance.

    The networks' mixture gives them in units of standardized targets, the law of targets changes
    their variance, and what is not known of novel rows comes on top.
    """

    def _predict(self, X: Any, X_std: Any) -> Mixture:
        """Moments of targets in their own units, the first dimension of which are rows."""
        check_is_fitted(self)
        mixture = self._predict_rows(*self._inputs_to_predict(X, X_std))
        return Mixture(*(part[:, 0] for part in mixture)) if self._y_is_vector else mixture

    def _predict_rows(self, x: Float32, x_var: Float32 | None) -> Mixture:
        """Of standardized inputs: the networks' mixture, and what is not known of novel rows."""
        mixture = self._in_units(_ensemble.predict(self.nets_, x, x_var, self._encoding))
        if self._novelty is None:
            return mixture
        excess = self._novelty.excess(x, mixture.mean)
        return mixture._replace(epistemic=mixture.epistemic + excess)

    def _in_units(self, mixture: Mixture) -> Mixture:
        """Moments of targets in their own units, by their law; constants where none varied."""
        scaler = self._y_scaler
        mean = mixture.mean * scaler.scale + scaler.mean
        epistemic, aleatoric, of_inputs = (part * scaler.scale**2 for part in mixture[1:])
        if self._law is not None:
            # What is not known of inputs does not concern the law. Of the rest, both parts are in
            # proportion: rows left out tell of their sum alone.
            own = epistemic - of_inputs + aleatoric
            change = self._law.var(mean, own) / own
            epistemic = (epistemic - of_inputs) * change + of_inputs
            aleatoric = aleatoric * change
        if not scaler.varies.all():
            # So that squares neither overflow nor vanish, whatever the constant.
            limits = np.finfo(np.float64)
            with np.errstate(over="ignore", under="ignore"):
                constant_var = np.clip(self._constant_std() ** 2, limits.tiny, limits.max)
            mean = np.where(scaler.varies, mean, scaler.mean)
            epistemic = np.where(scaler.varies, epistemic, constant_var)
            aleatoric = np.where(scaler.varies, aleatoric, 0.0)
            of_inputs = np.where(scaler.varies, of_inputs, 0.0)
        return Mixture(mean, epistemic, aleatoric, of_inputs)

    def _constant_std(self) -> Array:
        """How far from its constant a target may be that has never varied, (n_outputs,).

        After n equal numbers another one has a probability of about 1 / (n + 1) (Laplace's rule of
        succession); what it would be is not known, and differs, say, by as much as the constant
        from 0, or by 1 from 0 itself: an expected deviation of |constant| / (n + 1).
        """
        magnitude = np.abs(self._y_scaler.mean)
        return np.asarray(np.where(magnitude > 0, magnitude, 1.0) / (self._y_moments.count + 1.0))

    def _predict_cov(self, X: Any, X_std: Any) -> tuple[Array, Array]:
        """Means (rows, outputs) and covariances (rows, outputs, outputs) of several outputs."""
        check_is_fitted(self)
        if self._y_is_vector:
            raise ValueError(
                "return_cov: got True, needed a fit to targets (n_rows, n_outputs); of one target, "
                "return_std says all"
            )
        x, x_var = self._inputs_to_predict(X, X_std)
        mixture = self._in_units(_ensemble.predict(self.nets_, x, x_var, self._encoding))
        of_networks, of_inputs = _ensemble.covariance(self.nets_, x, x_var, self._encoding)
        scale = np.where(self._y_scaler.varies, self._y_scaler.scale, 0.0)
        own = mixture.var - mixture.of_inputs
        if self._residuals is None:
            cov = of_networks * scale[:, np.newaxis] * scale
        else:
            std = np.sqrt(own)
            cov = self._residuals.correlation * std[:, :, np.newaxis] * std[:, np.newaxis]
        diagonal = np.arange(len(scale))
        cov[:, diagonal, diagonal] = own
        cov += of_inputs * scale[:, np.newaxis] * scale
        if self._novelty is not None:
            cov[:, diagonal, diagonal] += self._novelty.excess(x, mixture.mean)
        return mixture.mean, cov

    def _expected(self, X: Any, y: Any, X_std: Any) -> tuple[Array, Mixture]:
        """Targets (rows, outputs), and what is predicted of them."""
        check_is_fitted(self)
        rows, targets = self._validated(X, y, reset=False)
        return targets, self._expected_of(rows, targets, self._as_std(X_std, rows))

    def _expected_of(self, rows: Array, targets: Array, std: Array | None) -> Mixture:
        """What is predicted of targets (rows, outputs), which have to be as many as there are."""
        self._require_outputs(targets)
        return self._predict_rows(*self._x_scaler.inputs(rows, std))

    def _log_likelihoods(self, rows: Array, targets: NDArray[Any]) -> Array:
        expected = self._expected_of(rows, targets, None)
        return log_density(self._law, targets, expected.mean, expected.var)

    def _reached(self, X: Any, y: Any, X_std: Any) -> tuple[Array, Array]:
        """How far targets are from their means, in standard deviations, and these deviations.

        Both float64 (n_rows, n_outputs).
        """
        targets, expected = self._expected(X, y, X_std)
        std = np.sqrt(expected.var)
        return (targets - expected.mean) / std, std
