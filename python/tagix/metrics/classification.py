"""How well the accuracies of a classifier match its confidences."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from tagix._arrays import as_array, as_count
from tagix.metrics._inputs import FloatArray


class ReliabilityCurve(NamedTuple):
    """Confidence and accuracy by bin of confidence.

    ``confidence`` and ``accuracy`` are means over the rows of a bin, (n_bins,), NaN where a bin is
    empty; ``counts`` is its number of rows, ``edges`` are the (n_bins + 1,) limits of the bins.
    """

    confidence: FloatArray
    accuracy: FloatArray
    counts: npt.NDArray[np.int64]
    edges: FloatArray


def reliability_curve(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    n_bins: int = 15,
    strategy: Literal["uniform", "quantile"] = "uniform",
) -> ReliabilityCurve:
    """Accuracy by confidence (Guo et al. 2017).

    Bin i holds edges[i] < confidence <= edges[i + 1]; the first bin also includes its lower edge.

    With y_prob of shape (n, n_classes), the confidence of a row is its largest probability, and the
    row is right if y_true is the class with this probability (the first of equal ones). With y_prob
    of shape (n,) or (n, 1), the confidence is the probability of y_true = 1. This may be the
    probability of the positive class, or of a prediction being right, with y_true saying whether it
    was.

    Args:
        y_true: (n,) or (n, 1) classes 0, 1, ...; NaN is missing and is left out.
        y_prob: (n, n_classes) probabilities that sum to 1, or (n,) or (n, 1) probabilities.
        n_bins: Number of bins, at least 1.
        strategy: "uniform" for bins of equal width over [0, 1], "quantile" for bins of about
            equally many rows between the smallest and the largest confidence.

    Raises:
        ValueError: Shapes that do not fit, no class, a class that is not a whole number or has no
            probability, a probability outside [0, 1], rows that do not sum to 1 within 0.01, n_bins
            below 1, another strategy.
        TypeError: Not an array of numbers, or not an integer.
    """
    n_bins = as_count("n_bins", n_bins, least=1)
    right, confidence = _right_and_confidence(y_true, y_prob)
    if strategy == "uniform":
        edges = np.linspace(0.0, 1.0, n_bins + 1)
    elif strategy == "quantile":
        edges = np.quantile(confidence, np.linspace(0.0, 1.0, n_bins + 1))
    else:
        raise ValueError(f"strategy: got {strategy!r}, needed 'uniform' or 'quantile'")
    bins = np.searchsorted(edges[1:-1], confidence, side="left")
    counts = np.bincount(bins, minlength=n_bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 in an empty bin
        mean_confidence = np.bincount(bins, weights=confidence, minlength=n_bins) / counts
        accuracy = np.bincount(bins, weights=right, minlength=n_bins) / counts
    return ReliabilityCurve(mean_confidence, accuracy, counts.astype(np.int64), edges)


def expected_calibration_error(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    n_bins: int = 15,
    strategy: Literal["uniform", "quantile"] = "uniform",
) -> float:
    """ECE: mean difference of accuracy and confidence, in [0, 1].

        ECE = sum over bins of counts / n |accuracy - confidence|,   bins as in reliability_curve

    (Guo et al. 2017; with strategy "quantile", the adaptive form of Nixon et al. 2019 for the
    largest probability.) For a calibrated model it is above 0 by chance, and grows with the number
    of bins.

    Args:
        y_true: (n,) or (n, 1) classes 0, 1, ...; NaN is missing and is left out.
        y_prob: (n, n_classes) probabilities that sum to 1, or (n,) or (n, 1) probabilities of
            y_true = 1.
        n_bins: Number of bins, at least 1.
        strategy: Of the bins, "uniform" or "quantile".

    Raises:
        ValueError: See reliability_curve.
        TypeError: Not an array of numbers, or not an integer.
    """
    curve = reliability_curve(y_true, y_prob, n_bins=n_bins, strategy=strategy)
    filled = curve.counts > 0
    weight = curve.counts[filled] / curve.counts.sum()
    return float(weight @ np.abs(curve.accuracy - curve.confidence)[filled])


def _right_and_confidence(
    y_true: npt.ArrayLike, y_prob: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Whether each prediction is right, 0 or 1, and its confidence, each (n_observed,)."""
    classes = np.asarray(as_array("y_true", y_true), dtype=np.float64)
    prob = np.asarray(as_array("y_prob", y_prob), dtype=np.float64)
    if classes.ndim == 2 and classes.shape[1] == 1:
        classes = classes[:, 0]
    if prob.ndim == 2 and prob.shape[1] == 1:
        prob = prob[:, 0]
    if classes.ndim != 1 or prob.ndim not in (1, 2) or len(prob) != len(classes):
        raise ValueError(
            f"y_true, y_prob: got shapes {classes.shape} and {prob.shape}, "
            "needed (n,) and (n,) or (n, n_classes)"
        )
    if not ((prob >= 0) & (prob <= 1)).all():
        raise ValueError("y_prob: got NaN or a number outside [0, 1], needed probabilities")
    if prob.ndim == 2 and (np.abs(prob.sum(axis=1) - 1.0) > 0.01).any():
        raise ValueError("y_prob: got rows that do not sum to 1, needed probabilities of classes")
    observed = ~np.isnan(classes)
    if not observed.any():
        raise ValueError(f"y_true: got no class, shape {classes.shape}, needed at least one")
    classes, prob = classes[observed], prob[observed]
    n_classes = 2 if prob.ndim == 1 else prob.shape[1]
    if not np.isin(classes, np.arange(n_classes)).all():
        raise ValueError(f"y_true: got other classes, needed whole numbers in [0, {n_classes})")
    if prob.ndim == 1:
        return classes, prob
    return (prob.argmax(axis=1) == classes).astype(np.float64), prob.max(axis=1)
