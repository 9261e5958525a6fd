"""The law of a target about its prediction, fitted to rows that the networks have not learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Fewer degrees of freedom have a standard deviation that says little, two or less none at all.
LEAST_FREEDOM = 3.0
# Beyond so many it is a Gaussian for all that rows can tell.
MOST_FREEDOM = 100.0
# Bounds of the exponent of a network's variance. A negative one would call rows that the networks
# are unsure of the better known.
_MOST_POWER = 3.0
# Bounds of logarithms of variances in units of the targets', and the least variance among them.
_REACH = 80.0
_LEAST_VAR = 1e-24
# Strengths of the penalties, those of so many rows, and of more; with fewer they count as a prior.
_ROWS = 500
_OF_POWER = 0.02
_OF_RAMPS = 0.004
_N_RAMPS = 4
_N_NUMBERS = 7 + 2 * _N_RAMPS + 1


@dataclass(frozen=True)
class TailedLaw:
    """Student's t about the mixture's mean, one for each output.

    In the units of ``center`` and ``scale``, with M and V the mixture's mean and variance,

        (y - M)/s ~ t_nu,   log s^2 = level + power clip(log V) + (log V - clip(log V))
                                      + sum_k weight_k ramp_k(M)

    where clip limits log V to the range ``least`` to ``most`` of the rows of the fit; beyond it s^2
    is proportional to V. The ramps rise from 0 to 1 between two neighbours of ``knots``. All arrays
    are float64, (outputs,), but knots (outputs, 5) and weights (outputs, 4).
    """

    center: Array
    scale: Array
    freedom: Array
    level: Array
    power: Array
    least: Array
    most: Array
    knots: Array
    weights: Array

    def var(self, mean: Array, var: Array) -> Array:
        """Variances of targets, s^2 nu/(nu - 2), for a mixture's moments (..., outputs)."""
        with np.errstate(divide="ignore", over="ignore", under="ignore"):
            log_var = np.log(var) - 2.0 * np.log(self.scale)
            inner = np.clip(log_var, self.least, self.most)
            ramps = _ramps((mean - self.center) / self.scale, self.knots)
            adjusted = self.level + self.power * inner + (log_var - inner)
            adjusted += (self.weights * ramps).sum(axis=-1)
            tails = self.freedom / (self.freedom - 2.0)
            return np.asarray(np.exp(adjusted) * tails * self.scale**2)

    def quantiles(self, levels: Array) -> Array:
        """Of the standardized law, mean 0 and variance 1: (outputs, levels)."""
        from scipy.special import stdtrit

        freedom = self.freedom[:, np.newaxis]
        return np.asarray(stdtrit(freedom, levels) * np.sqrt((freedom - 2.0) / freedom))

    def tails(self, generator: np.random.Generator, n_rows: int) -> Array:
        """Factors (rows, outputs) that make standard normal numbers a t of variance 1."""
        squares = generator.chisquare(self.freedom, (n_rows, len(self.freedom)))
        return np.asarray(np.sqrt((self.freedom - 2.0) / squares))

    def log_density(self, y: Array, mean: Array, var: Array) -> Array:
        """Log densities of targets; ``var`` are those of :meth:`var`, all (..., outputs)."""
        scale_var = var * ((self.freedom - 2.0) / self.freedom)
        squares = ((y - mean) / np.sqrt(scale_var)) ** 2
        return np.asarray(-_losses(squares, np.log(scale_var), self.freedom))

    def cdf(self, reached: Array) -> Array:
        """Of the standardized law, mean 0 and variance 1, at (..., outputs)."""
        from scipy.special import stdtr

        scale = np.sqrt((self.freedom - 2.0) / self.freedom)
        return np.asarray(stdtr(self.freedom, reached / scale))

    def crps(self, reached: Array) -> Array:
        """Of the standardized law, mean 0 and variance 1, at (..., outputs).

        With s its scale, z = reached / s, and F and f the distribution and the density of t_nu
        (Jordan, Krüger & Lerch, Journal of Statistical Software, 2019),

            s (z (2 F(z) - 1) + 2 f(z) (nu + z^2)/(nu - 1)
               - 2 sqrt(nu)/(nu - 1) B(1/2, nu - 1/2)/B(1/2, nu/2)^2)
        """
        from scipy.special import beta, stdtr

        nu = self.freedom
        scale = np.sqrt((nu - 2.0) / nu)
        z = reached / scale
        density = np.exp(-_losses(z**2, 0.0, nu))
        spread = 2.0 * np.sqrt(nu) / (nu - 1.0) * beta(0.5, nu - 0.5) / beta(0.5, 0.5 * nu) ** 2
        inner = z * (2.0 * stdtr(nu, z) - 1.0) + 2.0 * density * (nu + z**2) / (nu - 1.0)
        return np.asarray(scale * (inner - spread))

    def array(self) -> Array:
        """All numbers, (outputs, numbers), for a file."""
        columns = [self.center, self.scale, self.freedom, self.level, self.power]
        return np.column_stack([*columns, self.least, self.most, self.knots, self.weights])

    @classmethod
    def of_array(cls, numbers: Array) -> TailedLaw:
        """The law that :meth:`array` wrote down; ValueError for any other numbers."""
        center, scale, freedom, level, power, least, most = numbers[:, :7].T
        knots, weights = numbers[:, 7 : 8 + _N_RAMPS], numbers[:, 8 + _N_RAMPS :]
        law = cls(center, scale, freedom, level, power, least, most, knots, weights)
        if not (
            np.isfinite(numbers).all()
            and (law.scale > 0).all()
            and (law.freedom > 2).all()
            and (law.least <= law.most).all()
            and (np.diff(law.knots) >= 0).all()
        ):
            raise ValueError("law: got numbers that are not those of a law of targets")
        return law

    @staticmethod
    def n_numbers() -> int:
        """Columns of :meth:`array`."""
        return _N_NUMBERS


def log_density(law: TailedLaw | None, y: Array, mean: Array, var: Array) -> Array:
    """Log densities of targets under their law, or a Gaussian without one, all (..., outputs)."""
    if law is not None:
        return law.log_density(y, mean, var)
    squares = ((y - mean) / np.sqrt(var)) ** 2
    return np.asarray(-0.5 * (np.log(2.0 * np.pi) + np.log(var) + squares))


def distribution(law: TailedLaw | None, reached: Array) -> Array:
    """Of standardized targets (..., outputs), under their law, or a Gaussian without one."""
    from scipy.special import ndtr

    return np.asarray(ndtr(reached)) if law is None else law.cdf(reached)


def crps(law: TailedLaw | None, reached: Array) -> Array:
    """The continuous ranked probability score of standardized targets (..., outputs).

    For a Gaussian it is (Gneiting & Raftery, Journal of the American Statistical Association, 2007)

        z (2 Phi(z) - 1) + 2 phi(z) - 1/sqrt(pi)
    """
    if law is not None:
        return law.crps(reached)
    density = np.exp(-0.5 * reached**2) / np.sqrt(2.0 * np.pi)
    inner = reached * (2.0 * distribution(None, reached) - 1.0) + 2.0 * density
    return np.asarray(inner - 1.0 / np.sqrt(np.pi))


def fit_law(
    y: Array,
    mean: Array,
    var: Array,
    center: Array,
    scale: Array,
    saved: Array,
    added: Array | None = None,
    weight: Array | None = None,
) -> tuple[TailedLaw, float]:
    """The law of targets out of fold, and its mean negative log density.

    Args:
        y: targets (rows, outputs), in the units of ``center`` and ``scale``.
        mean, var: moments that networks predicted for these rows without having learned them,
            likewise.
        center, scale: (outputs,), the units.
        saved: (outputs,), the share of squared errors that remains with more networks.
        added: variances of the shape of ``var`` that are added, whatever the law.
        weight: (rows,), weights of rows, of mean 1; None: equal weights.

    Returns:
        The law, and the mean over rows and outputs, in the units of ``center`` and ``scale``, of
        the negative log density of targets as those networks predict them.
    """
    numbers, losses = [], []
    for output in range(y.shape[1]):
        of_output, loss = _fit_one(
            y[:, output],
            mean[:, output],
            var[:, output],
            saved[output],
            None if added is None else added[:, output],
            weight,
        )
        numbers.append([center[output], scale[output], *of_output])
        losses.append(loss)
    return TailedLaw.of_array(np.array(numbers)), float(np.mean(losses))


def constant_loss(y: Array, mean: Array, weight: Array | None = None) -> float:
    """The mean negative log density of targets under the best t about a constant mean."""
    squares = (y - mean) ** 2
    losses = [_fit_scale(of_output, weight)[1] for of_output in squares.T]
    return float(np.mean(losses))


def _fit_one(
    y: Array, mean: Array, var: Array, saved: float, added: Array | None, weight: Array | None
) -> tuple[list[float], float]:
    """Numbers of the law of one output after its units, and its loss."""
    squares = np.maximum((y - mean) ** 2 * saved, _LEAST_VAR)
    log_var = np.log(np.maximum(var, _LEAST_VAR))
    knots = np.quantile(mean, np.linspace(0.0, 1.0, _N_RAMPS + 1))
    features = np.column_stack([log_var, _ramps(mean[:, np.newaxis], knots[np.newaxis])[:, 0]])
    middle = features.mean(axis=0)
    centred = features - middle
    prior = np.zeros(centred.shape[1])
    prior[0] = 1.0
    penalty = np.full(len(prior), _OF_RAMPS)
    penalty[0] = _OF_POWER
    penalty *= max(1.0, _ROWS / len(y))
    (level, *slopes), freedom, loss = _minimize(squares, centred, prior, penalty, added, weight)
    level -= float(middle @ slopes)
    ends = [float(log_var.min()), float(log_var.max())]
    return [freedom, level, slopes[0], *ends, *knots.tolist(), *slopes[1:]], loss


def _fit_scale(squares: Array, weight: Array | None) -> tuple[float, float]:
    """Degrees of freedom and loss of the best t about 0."""
    nothing = np.zeros((len(squares), 0))
    squares = np.maximum(squares, _LEAST_VAR)
    _, freedom, loss = _minimize(squares, nothing, np.zeros(0), np.zeros(0), None, weight)
    return freedom, loss


def _minimize(
    squares: Array,
    features: Array,
    prior: Array,
    penalty: Array,
    added: Array | None,
    weight: Array | None,
) -> tuple[list[float], float, float]:
    """The level and slopes of log s^2, degrees of freedom, and the loss without the penalty.

    A variance that is ``added`` adds (nu - 2)/nu of itself to s^2.

    The variance of a Gaussian that was found from n numbers leaves a t of n degrees of freedom:
    there are no more of them than rows.
    """
    from scipy.optimize import minimize
    from scipy.special import digamma

    n_rows = len(squares)
    weights = np.ones(n_rows) if weight is None else weight

    def split(point: Array) -> tuple[Array, Array, Array, float]:
        """log s^2, the squares over s^2, the share of s^2 that is the law's, and nu."""
        freedom = float(np.exp(point[-1]))
        log_var = np.clip(point[0] + features @ point[1:-1], -_REACH, _REACH)
        share = np.ones(n_rows)
        if added is not None:
            own = np.exp(log_var)
            scale_var = own + added * (freedom - 2.0) / freedom
            log_var, share = np.log(scale_var), own / scale_var
        return log_var, squares * np.exp(-log_var), share, freedom

    def loss(point: Array) -> tuple[float, Array]:
        log_var, ratio, share, freedom = split(point)
        away = point[1:-1] - prior
        value = float((weights * _losses(ratio, log_var, freedom)).mean() + penalty @ away**2)
        by_log_var = (0.5 - 0.5 * (freedom + 1.0) * ratio / (freedom + ratio)) / n_rows * weights
        by_freedom = -0.5 * (
            digamma(0.5 * (freedom + 1.0))
            - digamma(0.5 * freedom)
            - 1.0 / freedom
            + np.mean(
                weights
                * (
                    (freedom + 1.0) * ratio / (freedom * (freedom + ratio))
                    - np.log1p(ratio / freedom)
                )
            )
        )
        # s^2 = own + added (1 - 2/nu)
        by_freedom += (by_log_var @ (1.0 - share)) * 2.0 / (freedom * (freedom - 2.0))
        by_own = by_log_var * share
        by_slopes = by_own @ features + 2.0 * penalty * away
        return value, np.array([by_own.sum(), *by_slopes, by_freedom * freedom])

    most = min(max(float(n_rows), LEAST_FREEDOM + 1.0), MOST_FREEDOM)
    # The median, which one outlier does not move, of a law that is about a Gaussian.
    typical = np.log(max(float(np.median(squares)) / 0.45, _LEAST_VAR))
    start = np.array([typical, *prior, np.log(min(10.0, most))])
    bounds: list[Any] = [(-_REACH, _REACH)]
    bounds += [(0.0, _MOST_POWER)] * min(len(prior), 1) + [(None, None)] * (len(prior) - 1)
    bounds += [(np.log(LEAST_FREEDOM), np.log(most))]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    log_var, ratio, _, freedom = split(found)
    loss_without = float((weights * _losses(ratio, log_var, freedom)).mean())
    return found[:-1].tolist(), freedom, loss_without


def _losses(ratio: Any, log_var: Any, freedom: Any) -> Any:
    """-log of the density of a t of scale s at e, by ``ratio`` = e^2/s^2 and log s^2."""
    from scipy.special import gammaln

    norm = gammaln(0.5 * (freedom + 1.0)) - gammaln(0.5 * freedom) - 0.5 * np.log(np.pi * freedom)
    return 0.5 * log_var + 0.5 * (freedom + 1.0) * np.log1p(ratio / freedom) - norm


def _ramps(mean: Array, knots: Array) -> Array:
    """(..., outputs, ramps), each from 0 to 1 between two neighbours of ``knots`` (outputs, 5)."""
    width = np.diff(knots)
    rise = (mean[..., np.newaxis] - knots[:, :-1]) / np.where(width > 0, width, 1.0)
    return np.asarray(np.where(width > 0, np.clip(rise, 0.0, 1.0), 0.0))
