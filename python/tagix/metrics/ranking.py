"""How well an uncertainty ranks: large errors first, strange inputs above usual ones."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from tagix._optional import import_optional
from tagix.metrics._inputs import FloatArray, as_finite, as_predictions

ErrorMeasure = Literal["rmse", "mse", "mae"]


class RiskCoverageCurve(NamedTuple):
    """Mean loss of the most certain points, by their share of all points, each (n,).

    ``coverage`` is 1 / n, 2 / n, ..., 1.
    """

    coverage: FloatArray
    risk: FloatArray


class SparsificationCurve(NamedTuple):
    """Error of the remaining targets, by the share of targets removed, each (n,).

    ``removed`` is 0, 1 / n, ..., (n - 1) / n. ``model`` removes by predicted variance, ``oracle``
    by actual error, ``random`` at random, which on average leaves the error as it is.
    """

    removed: FloatArray
    model: FloatArray
    oracle: FloatArray
    random: FloatArray


class RocCurve(NamedTuple):
    """Shares of usual and of strange inputs that score at or above a falling threshold."""

    false_positive_rate: FloatArray
    true_positive_rate: FloatArray


def risk_coverage_curve(loss: npt.ArrayLike, uncertainty: npt.ArrayLike) -> RiskCoverageCurve:
    """Mean loss of the k most certain points, for k = 1 .. n.

        risk(k / n) = mean loss of the k points of least uncertainty

    Points of equal uncertainty count as if averaged over random orders: each has the mean loss of
    all of them. The area under the curve (AURC, Geifman and El-Yaniv 2017) is ``risk.mean()``. The
    loss may be an error, or 1 for a bad point and 0 for others; its mean is then the share of bad
    points.

    Args:
        loss: n finite numbers, of any shape.
        uncertainty: n finite numbers, larger for less certain points.

    Raises:
        ValueError: Unequal or no numbers, NaN or infinity.
        TypeError: Not an array of numbers.
    """
    losses, scores = as_finite("loss", loss), as_finite("uncertainty", uncertainty)
    if len(losses) != len(scores):
        raise ValueError(
            f"loss, uncertainty: got {len(losses)} and {len(scores)} numbers, needed equally many"
        )
    _, rank, count = np.unique(scores, return_inverse=True, return_counts=True)
    mean_of_equals = np.bincount(rank, weights=losses) / count
    kept = np.arange(1, len(losses) + 1)
    risk = np.cumsum(np.repeat(mean_of_equals, count)) / kept
    return RiskCoverageCurve(kept / len(losses), risk)


def sparsification_curve(
    y_true: npt.ArrayLike,
    mean: npt.ArrayLike,
    var: npt.ArrayLike,
    *,
    error: ErrorMeasure = "rmse",
) -> SparsificationCurve:
    """Error of the remaining targets as the least certain are removed (Ilg et al. 2018).

    Targets are ranked one by one: call it for each column separately if outputs have different
    units. Only the order of the variances matters; ties are treated as in risk_coverage_curve.

    Args:
        y_true: Targets; NaN is missing and is left out.
        mean: Predicted means, of a shape that broadcasts to that of y_true.
        var: Predictive variances, > 0, likewise.
        error: "rmse", "mse" or "mae".

    Raises:
        ValueError: Shapes that do not fit, no target, numbers that are not finite, a variance that
            is not positive, another error.
        TypeError: Not an array of numbers.
    """
    if error not in ("rmse", "mse", "mae"):
        raise ValueError(f"error: got {error!r}, needed 'rmse', 'mse' or 'mae'")
    y, mu, variance = as_predictions(y_true, mean, var)
    loss = np.abs(y - mu) if error == "mae" else (y - mu) ** 2
    coverage, risk = risk_coverage_curve(loss, variance)
    oracle_risk = risk_coverage_curve(loss, loss).risk
    if error == "rmse":
        risk, oracle_risk = np.sqrt(risk), np.sqrt(oracle_risk)
    # From all targets to the most certain one.
    model, oracle = risk[::-1], oracle_risk[::-1]
    return SparsificationCurve(1.0 - coverage[::-1], model, oracle, np.full_like(model, model[0]))


def aurc(
    y_true: npt.ArrayLike,
    mean: npt.ArrayLike,
    var: npt.ArrayLike,
    *,
    error: ErrorMeasure = "rmse",
) -> float:
    """Area under the model's sparsification curve, which equals that under its risk-coverage curve.

        AURC = 1 / n sum over k = 1 .. n of the error of the k most certain targets

    AURC is in the unit of the error; lower is better. A random ranking gives the error of all
    targets.

    Args:
        y_true: Targets; NaN is missing and is left out.
        mean: Predicted means, of a shape that broadcasts to that of y_true.
        var: Predictive variances, > 0, likewise.
        error: "rmse", "mse" or "mae".

    Raises:
        ValueError: See sparsification_curve.
        TypeError: Not an array of numbers.
    """
    return float(sparsification_curve(y_true, mean, var, error=error).model.mean())


def ause(
    y_true: npt.ArrayLike,
    mean: npt.ArrayLike,
    var: npt.ArrayLike,
    *,
    error: ErrorMeasure = "rmse",
    normalize: bool = True,
) -> float:
    """Area between the model's and the oracle's sparsification curve (Ilg et al. 2018).

        AUSE = 1 / n sum over k = 1 .. n of (model_k - oracle_k) / error of all targets

    AUSE is 0 if larger variances always go with larger errors; lower is better.

    Args:
        y_true: Targets; NaN is missing and is left out.
        mean: Predicted means, of a shape that broadcasts to that of y_true.
        var: Predictive variances, > 0, likewise.
        error: "rmse", "mse" or "mae".
        normalize: Divide by the error of all targets, so that both curves start at 1. Without
            normalization the area is in the unit of the error. If that error is 0, so is the area.

    Raises:
        ValueError: See sparsification_curve.
        TypeError: Not an array of numbers.
    """
    curve = sparsification_curve(y_true, mean, var, error=error)
    area = float(np.mean(curve.model - curve.oracle))
    full_error = float(curve.model[0])
    return area / full_error if normalize and full_error > 0.0 else area


def ood_auroc(in_distribution: npt.ArrayLike, out_of_distribution: npt.ArrayLike) -> float:
    """Area under the receiver operating characteristic of a score that should detect strange
    inputs.

        AUROC = P(score of a strange input > score of a usual one) + P(equal) / 2

    It is 1 if every strange input scores higher, and 0.5 by chance; computed by scikit-learn's
    roc_auc_score.

    Args:
        in_distribution: Scores of usual inputs, of any shape, such as predicted variances.
        out_of_distribution: Scores of strange inputs, of any shape.

    Raises:
        ValueError: No score, NaN or infinity.
        TypeError: Not an array of numbers.
        ImportError: scikit-learn is not installed.
    """
    is_strange, score = _labelled(in_distribution, out_of_distribution)
    sklearn_metrics = import_optional("sklearn.metrics", package="scikit-learn")
    return float(sklearn_metrics.roc_auc_score(is_strange, score))


def ood_roc_curve(in_distribution: npt.ArrayLike, out_of_distribution: npt.ArrayLike) -> RocCurve:
    """The ROC curve whose area is ood_auroc, from (0, 0) to (1, 1); strange inputs are positive.

    Args:
        in_distribution: Scores of usual inputs, of any shape, such as predicted variances.
        out_of_distribution: Scores of strange inputs, of any shape.

    Raises:
        ValueError: No score, NaN or infinity.
        TypeError: Not an array of numbers.
        ImportError: scikit-learn is not installed.
    """
    is_strange, score = _labelled(in_distribution, out_of_distribution)
    sklearn_metrics = import_optional("sklearn.metrics", package="scikit-learn")
    false_positive_rate, true_positive_rate, _ = sklearn_metrics.roc_curve(is_strange, score)
    return RocCurve(false_positive_rate, true_positive_rate)


def _labelled(
    in_distribution: npt.ArrayLike, out_of_distribution: npt.ArrayLike
) -> tuple[npt.NDArray[np.bool_], FloatArray]:
    usual = as_finite("in_distribution", in_distribution)
    strange = as_finite("out_of_distribution", out_of_distribution)
    is_strange = np.repeat([False, True], [len(usual), len(strange)])
    return is_strange, np.concatenate([usual, strange])
