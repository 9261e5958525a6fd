"""What models predict of targets, and the scores of that: the same for every law."""

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

    rmse = sqrt(mean (y - mean)^2), log_likelihood, the mean log density, crps, the coverage of the
    central 90 % intervals, their mean width, and quantile_calibration_error, by
    :func:`calibration_error`. With q(p) the quantile of level p,

        crps = 2 integral over p of max(p (y - q(p)), (p - 1)(y - q(p))),   the mean over rows
    """
    low, high = law.quantiles(INTERVAL).T
    errors = y[:, np.newaxis] - law.quantiles(_CRPS_LEVELS)
    losses = np.maximum(_CRPS_LEVELS * errors, (_CRPS_LEVELS - 1.0) * errors)
    return {
        "rmse": float(np.sqrt(np.mean((y - law.mean) ** 2))),
        "log_likelihood": float(law.log_density(y).mean()),
        "crps": float(2.0 * losses.mean()),
        "coverage": float(np.mean((low <= y) & (y <= high))),
        "interval_width": float(np.mean(high - low)),
        "quantile_calibration_error": calibration_error(levels_reached(y, law)),
    }


def levels_reached(y: Array, law: Law) -> Array:
    """The lowest of LEVELS whose quantile is no less than the target, 1 where none is, (n,)."""
    n_below = (law.quantiles(LEVELS) < y[:, np.newaxis]).sum(axis=1)
    return np.asarray(np.append(LEVELS, 1.0)[n_below])


def calibration_error(reached: npt.NDArray[np.floating[Any]]) -> float:
    """Mean over LEVELS of how far the share of targets at or below their quantiles is from it.

    Of the levels that targets have reached, (n,); as tagix.metrics.quantile_calibration_error.
    """
    observed = np.searchsorted(np.sort(reached), LEVELS, side="right") / len(reached)
    return float(np.mean(np.abs(observed - LEVELS)))
