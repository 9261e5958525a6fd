"""The laws that models predict for targets, and their scores, the same for every law."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from tagix._optional import import_optional

if TYPE_CHECKING:
    from tagix.sklearn import TagiRegressor

Array = npt.NDArray[np.float64]

INTERVAL = (0.05, 0.95)  # the ends of central 90 % intervals
LEVELS: Array = np.arange(1, 100) / 100
LEAST_PROBABILITY = 1e-6
# In the middle of equal parts of [0, 1]: enough for three digits of a CRPS, far out in tails too.
_CRPS_LEVELS: Array = (np.arange(1000) + 0.5) / 1000


class Law(Protocol):
    """The predicted laws of the targets of n rows, in the units of y."""

    @property
    def mean(self) -> Array:
        """Means, (n,)."""

    @property
    def var(self) -> Array:
        """Variances, (n,)."""

    def log_density(self, y: Array) -> Array:
        """Logarithms of the densities of targets, (n,)."""

    def quantiles(self, levels: npt.ArrayLike) -> Array:
        """Quantiles, (n, n_levels)."""


class Gaussian(NamedTuple):
    """Gaussians with these means and variances, each (n,)."""

    mean: Array
    var: Array

    def log_density(self, y: Array) -> Array:
        """Logarithms of the densities of targets, (n,)."""
        squares = (y - self.mean) ** 2 / self.var
        return np.asarray(-0.5 * (np.log(2.0 * np.pi * self.var) + squares))

    def quantiles(self, levels: npt.ArrayLike) -> Array:
        """Quantiles, (n, n_levels)."""
        reach = import_optional("scipy.special").ndtri(np.asarray(levels))
        return np.asarray(self.mean[:, np.newaxis] + np.sqrt(self.var)[:, np.newaxis] * reach)


class StudentT(NamedTuple):
    """Student's t about these means (n,), with one scale and more than 2 degrees of freedom."""

    mean: Array
    scale: float
    freedom: float

    @property
    def var(self) -> Array:
        """Variances, (n,)."""
        return np.full(len(self.mean), self.scale**2 * self.freedom / (self.freedom - 2.0))

    def log_density(self, y: Array) -> Array:
        """Logarithms of the densities of targets, (n,)."""
        return log_density_of_t(y - self.mean, self.scale, self.freedom)

    def quantiles(self, levels: npt.ArrayLike) -> Array:
        """Quantiles, (n, n_levels)."""
        reach = import_optional("scipy.special").stdtrit(self.freedom, np.asarray(levels))
        return np.asarray(self.mean[:, np.newaxis] + self.scale * reach)


def log_density_of_t(errors: Array, scale: float, freedom: float) -> Array:
    """Logarithms of the densities of Student's t about 0, of the shape of the errors."""
    gammaln = import_optional("scipy.special").gammaln
    constant = gammaln((freedom + 1.0) / 2.0) - gammaln(freedom / 2.0)
    constant -= 0.5 * np.log(np.pi * freedom) + np.log(scale)
    tails = np.log1p((errors / scale) ** 2 / freedom)
    return np.asarray(constant - (freedom + 1.0) / 2.0 * tails)


class RegressorLaw:
    """What a fitted TagiRegressor predicts of rows, by its public methods."""

    def __init__(self, model: TagiRegressor, x: Array) -> None:
        self._model, self._x = model, x
        self.mean, std = model.predict(x, return_std=True)
        self.var = std**2

    def log_density(self, y: Array) -> Array:
        """Logarithms of the densities of targets, (n,)."""
        return self._model.log_prob(self._x, y)

    def quantiles(self, levels: npt.ArrayLike) -> Array:
        """Quantiles, (n, n_levels)."""
        return self._model.predict_quantiles(self._x, levels)


def score(y: Array, law: Law) -> dict[str, float]:
    """Test scores of predicted laws, in the units of the targets y (n,).

    rmse = sqrt(mean (y - mean)^2), nll, the mean of -ln density, crps, the coverage of the central
    90 % intervals, their mean width, and quantile_calibration_error, by :func:`calibration_error`.
    With q(p) the quantile of level p,

        crps = 2 integral over p of max(p (y - q(p)), (p - 1)(y - q(p))),   the mean over rows
    """
    low, high = law.quantiles(INTERVAL).T
    errors = y[:, np.newaxis] - law.quantiles(_CRPS_LEVELS)
    losses = np.maximum(_CRPS_LEVELS * errors, (_CRPS_LEVELS - 1.0) * errors)
    return {
        "rmse": float(np.sqrt(np.mean((y - law.mean) ** 2))),
        "nll": float(-law.log_density(y).mean()),
        "crps": float(2.0 * losses.mean()),
        "coverage": float(np.mean((low <= y) & (y <= high))),
        "interval_width": float(np.mean(high - low)),
        "quantile_calibration_error": calibration_error(levels_reached(y, law)),
    }


def score_classes(labels: npt.NDArray[np.int64], probabilities: Array) -> dict[str, float]:
    """Test scores of predicted probabilities (n, n_classes) for labels (n,) from 0 on.

    accuracy is the share of rows whose most probable class is their label. log_loss is the mean of
    -ln p(label), with probabilities of at least 1e-6, so that one row that was predicted to be
    impossible does not dominate.
    """
    bounded = np.maximum(probabilities, LEAST_PROBABILITY)
    bounded /= bounded.sum(axis=1, keepdims=True)
    of_label = bounded[np.arange(len(labels)), labels]
    return {
        "accuracy": float(np.mean(probabilities.argmax(axis=1) == labels)),
        "log_loss": float(-np.log(of_label).mean()),
    }


def levels_reached(y: Array, law: Law) -> Array:
    """The lowest of LEVELS whose quantile is at least the target, or 1 if there is none, (n,)."""
    n_below = (law.quantiles(LEVELS) < y[:, np.newaxis]).sum(axis=1)
    return np.asarray(np.append(LEVELS, 1.0)[n_below])


def calibration_error(reached: npt.NDArray[np.floating[Any]]) -> float:
    """Mean over LEVELS of the difference between level and share of targets at or below the
    quantile.

    From the levels that targets have reached, (n,); as tagix.metrics.quantile_calibration_error.
    """
    observed = np.searchsorted(np.sort(reached), LEVELS, side="right") / len(reached)
    return float(np.mean(np.abs(observed - LEVELS)))
