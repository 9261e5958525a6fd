"""Measures from nearest neighbours: precision and recall of samples, and whether labels fit."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tagix._arrays import as_array, as_count
from tagix._optional import import_optional
from tagix.metrics._inputs import BLOCK, FloatArray, as_point_sets


class PrecisionRecall(NamedTuple):
    """Shares in [0, 1].

    Attributes:
        precision: Share of samples within the support of the real points.
        recall: Share of real points within the support of the samples.
    """

    precision: float
    recall: float


def precision_recall(samples: npt.ArrayLike, real: npt.ArrayLike, k: int = 3) -> PrecisionRecall:
    """Precision and recall of samples, by supports estimated from nearest neighbours.

        support(X) = union over x in X of the ball around x that reaches its k-th nearest neighbour
                     among the other points of X, edge included
        precision = share of samples in support(real),   recall = share of real in support(samples)

    From Kynkäänniemi et al. 2019. Wrong samples lower the precision; parts of the data that are
    never sampled lower the recall. In two dimensions, large sets of one distribution have both
    near 1. Use sets of equal sizes to compare.

    Args:
        samples: (n_samples, n_features) points to judge, more than k.
        real: (n_real, n_features) points, more than k.
        k: Which neighbour a ball reaches.

    Raises:
        ValueError: Shapes that do not match, k below 1, no more than k rows, numbers that are not
            finite.
        TypeError: Not an array of numbers, or not an integer.
        ImportError: scipy is not installed.
    """
    k = as_count("k", k, least=1)
    sampled, observed = as_point_sets(samples=samples, real=real)
    for name, points in (("samples", sampled), ("real", observed)):
        if len(points) <= k:
            raise ValueError(f"{name}: got {len(points)} rows, needed more than k = {k}")
    return PrecisionRecall(
        precision=_share_in_support(sampled, observed, k),
        recall=_share_in_support(observed, sampled, k),
    )


def knn_accuracy(
    samples: npt.ArrayLike,
    labels: npt.ArrayLike,
    real: npt.ArrayLike,
    real_labels: npt.ArrayLike,
    k: int = 15,
) -> float:
    """Share of samples that look like the class that was asked for, in [0, 1].

    A sample looks like the class of most of its k nearest real points; of equally frequent classes
    the smallest label counts. Where classes overlap, the accuracy of held-out real points is the
    best that can be reached.

    Args:
        samples: (n_samples, n_features) points to judge.
        labels: (n_samples,) integers, the class asked for, each one of real_labels.
        real: (n_real, n_features) points, at least k.
        real_labels: (n_real,) integers.
        k: Number of neighbours that vote.

    Raises:
        ValueError: Shapes that do not match, k below 1 or above n_real, a label that no real point
            has, numbers that are not finite.
        TypeError: Not an array of numbers, labels that are not integers, or not an integer.
        ImportError: scipy is not installed.
    """
    k = as_count("k", k, least=1)
    sampled, observed = as_point_sets(samples=samples, real=real)
    asked = _as_labels("labels", labels, len(sampled))
    observed_labels = _as_labels("real_labels", real_labels, len(observed))
    if len(observed) < k:
        raise ValueError(f"real: got {len(observed)} rows, needed at least k = {k}")
    classes, class_of_real = np.unique(observed_labels, return_inverse=True)
    unknown = np.setdiff1d(asked, classes)
    if unknown.size:
        raise ValueError(f"labels: got {unknown[0]}, needed labels that real_labels has")
    tree = import_optional("scipy.spatial").cKDTree(observed)
    _, neighbours = tree.query(sampled, k=np.arange(1, k + 1))
    votes = class_of_real[neighbours][:, :, np.newaxis] == np.arange(len(classes))
    winner = classes[votes.sum(axis=1).argmax(axis=1)]  # argmax takes the first, smallest label
    return float(np.mean(winner == asked))


def _share_in_support(queries: FloatArray, points: FloatArray, k: int) -> float:
    spatial = import_optional("scipy.spatial")
    # The first neighbour is the point itself, at distance 0, or one that coincides with it.
    distances, _ = spatial.cKDTree(points).query(points, k=[k + 1])
    radius = distances[:, 0]
    n_inside = 0
    for rows in np.array_split(queries, -(-len(queries) * len(points) // BLOCK)):
        distance = spatial.distance.cdist(rows, points)
        n_inside += int((distance <= radius).any(axis=1).sum())
    return n_inside / len(queries)


def _as_labels(name: str, value: npt.ArrayLike, n_rows: int) -> npt.NDArray[Any]:
    labels = as_array(name, value)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{name}: got an array of {labels.dtype}, needed integers")
    if labels.shape != (n_rows,):
        raise ValueError(f"{name}: got shape {labels.shape}, needed ({n_rows},)")
    return labels
