"""A few networks that differ by their seeds alone, predicting as a mixture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tagix import nn
from tagix.gaussian import Prediction
from tagix.sklearn._encoding import Encoding

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]

# Batches of up to 8 rows take another path in the core, whose sums round differently: tables are
# filled up, so that the prediction of a row does not depend on the rows beside it.
LEAST_ROWS = 9
# Rows that are predicted at a time where each stands for many points.
MOST_ROWS = 2**16


class Mixture(NamedTuple):
    """Moments of equally probable Gaussians, float64 (rows, outputs).

    mean       = mean_i m_i
    epistemic  = mean_i epistemic_i + var_i m_i,   aleatoric = mean_i aleatoric_i

    ``of_inputs`` is the part of ``epistemic`` that comes from unknown inputs.
    """

    mean: Array
    epistemic: Array
    aleatoric: Array
    of_inputs: Array

    @property
    def var(self) -> Array:
        """The total variance."""
        return self.epistemic + self.aleatoric

    @classmethod
    def of(cls, predictions: Sequence[Prediction], n_points: int = 1) -> Mixture:
        """The mixture of several networks, and of ``n_points`` rows in turn for each row of it."""

        def stacked(parts: list[Float32]) -> Array:
            stack = np.stack(parts).astype(np.float64)
            return stack.reshape(len(parts), -1, n_points, stack.shape[-1])

        means = stacked([each.mean for each in predictions])
        epistemic = stacked([each.epistemic for each in predictions])
        aleatoric = stacked([each.aleatoric for each in predictions])
        over = (0, 2)  # networks and points
        return cls(
            means.mean(axis=over),
            epistemic.mean(axis=over) + means.var(axis=over),
            aleatoric.mean(axis=over),
            means.mean(axis=0).var(axis=1),
        )


def predict(
    nets: Sequence[nn.Sequential],
    x: Float32,
    x_var: Float32 | None,
    encoding: Encoding | None = None,
) -> Mixture:
    """The mixture for standardized rows (rows, columns), some of which may be uncertain.

    ``encoding`` gives the networks' inputs; None: the rows themselves.
    """

    def mixture(rows: Float32, n_points: int) -> Array:
        predictions = [net(seen) for net, seen in _seen(nets, rows, encoding)]
        return np.stack(Mixture.of(predictions, n_points), axis=1)

    parts = _over_inputs(mixture, x, x_var)
    return Mixture(*np.moveaxis(parts, 1, 0))


def covariance(
    nets: Sequence[nn.Sequential],
    x: Float32,
    x_var: Float32 | None,
    encoding: Encoding | None = None,
) -> tuple[Array, Array]:
    """Covariances of the means of outputs, float64 (rows, outputs, outputs) each.

    The first is between networks, the second over unknown inputs, averaged over networks.
    """

    def covariances(rows: Float32, n_points: int) -> Array:
        means = np.stack([net(seen).mean for net, seen in _seen(nets, rows, encoding)])
        means = means.astype(np.float64)
        means = means.reshape(len(nets), -1, n_points, means.shape[-1])
        of_points = means.mean(axis=0)
        of_points -= of_points.mean(axis=1, keepdims=True)
        of_inputs = np.einsum("rpi,rpj->rij", of_points, of_points) / n_points
        means -= means.mean(axis=0)
        of_networks = np.einsum("nrpi,nrpj->rij", means, means) / (len(nets) * n_points)
        return np.stack([of_networks, of_inputs], axis=1)

    parts = _over_inputs(covariances, x, x_var)
    return parts[:, 0], parts[:, 1]


def var_of_each_input(
    nets: Sequence[nn.Sequential],
    x: Float32,
    x_var: Float32,
    encoding: Encoding | None = None,
) -> Array:
    """Variances of the mean if only one input is unknown, float64 (rows, outputs, columns).

    The other inputs are at their means. Each variance uses the three-point Gauss-Hermite rule,
    exact for polynomials of degree 2: f at m and m -+ sqrt(3) s, with weights 2/3, 1/6 and 1/6.
    """

    def means(rows: Float32, n_points: int) -> Array:
        predicted = np.mean([net(seen).mean for net, seen in _seen(nets, rows, encoding)], axis=0)
        return np.asarray(predicted, dtype=np.float64)

    centre = _filled(means, x, 1)
    result = np.zeros((*centre.shape, x.shape[1]))
    rows, columns = np.nonzero(x_var)
    for start in range(0, len(rows), MOST_ROWS):
        row, column = rows[start : start + MOST_ROWS], columns[start : start + MOST_ROWS]
        reach = np.sqrt(np.float32(3.0) * x_var[row, column])
        away = []
        for step in (reach, -reach):
            moved = x[row]
            moved[np.arange(len(row)), column] += step
            away.append(_filled(means, moved, 1) - centre[row])
        up, down = away
        result[row, :, column] = (up**2 + down**2) / 6.0 - ((up + down) / 6.0) ** 2
    return result


def predict_proba(
    nets: Sequence[nn.Sequential],
    x: Float32,
    x_var: Float32 | None,
    encoding: Encoding | None = None,
) -> Array:
    """Mean probabilities of the classes, float64 (rows, classes), adding up to 1 in each row."""

    def mean(rows: Float32, n_points: int) -> Array:
        seen = _seen(nets, rows, encoding)
        probabilities = np.stack([net.predict_proba(inputs) for net, inputs in seen])
        by_point = probabilities.reshape(len(nets), -1, n_points, probabilities.shape[-1])
        averaged: Array = by_point.mean(axis=(0, 2), dtype=np.float64)
        return averaged

    probabilities = _over_inputs(mean, x, x_var)
    return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True))


def update(
    nets: Sequence[nn.Sequential],
    x: Float32,
    y: NDArray[Any],
    x_var: Float32 | None,
    weight: Array | None = None,
    encoding: Encoding | None = None,
) -> Mixture:
    """One update of each by a batch; the mixture that they predicted before."""
    predictions = []
    for net in nets:
        mean, var = x, x_var
        if encoding is not None:
            mean, var = encoding.of_net(net, x.shape[1]).moments(x, x_var)
        predictions.append(net.update(mean, y, x_var=var, sample_weight=weight))
    return Mixture.of(predictions)


def _seen(
    nets: Sequence[nn.Sequential], rows: Float32, encoding: Encoding | None
) -> Iterator[tuple[nn.Sequential, Float32]]:
    """Each network with what it sees of rows that are known."""
    if encoding is None:
        yield from ((net, rows) for net in nets)
        return
    done: dict[int, Float32] = {}
    for net in nets:
        own = encoding.of_net(net, rows.shape[1])
        if own.n_added not in done:
            done[own.n_added] = own.inputs(rows)
        yield net, done[own.n_added]


def _over_inputs(
    predict: Callable[[Float32, int], Array],
    x: Float32,
    x_var: Float32 | None,
) -> Array:
    """``predict(rows, n_points)`` of rows that are known, and of points for those that are not.

    A network's own pass takes hidden units to vary independently, though those that see one
    uncertain input vary together: for a function that rises with it the variance came out at a
    quarter. The points, which stand for the distribution of a row's inputs, keep that.
    """
    if x_var is None or not x_var.any():
        return _filled(predict, x, 1)
    uncertain = x_var.any(axis=1)
    points = cubature(x.shape[1])
    at_a_time = max(1, MOST_ROWS // len(points))
    centres: Float32 = x[uncertain]
    spreads: Float32 = np.sqrt(x_var[uncertain])
    parts = []
    for start in range(0, len(centres), at_a_time):
        rows = slice(start, start + at_a_time)
        cloud: Float32 = centres[rows, np.newaxis] + spreads[rows, np.newaxis] * points
        parts.append(_filled(predict, cloud.reshape(-1, x.shape[1]), len(points)))
    of_uncertain = np.concatenate(parts)
    if uncertain.all():
        return of_uncertain
    result = np.empty((len(x), *of_uncertain.shape[1:]))
    result[uncertain] = of_uncertain
    result[~uncertain] = _filled(predict, x[~uncertain], 1)
    return result


@lru_cache(maxsize=8)
def cubature(n_features: int) -> Float32:
    """Points (2 n, n_features) of equal weight for independent standard normal variables.

    The rows of a random orthogonal n x n matrix and their opposites, times sqrt(n): in up to n
    dimensions the mean of a polynomial of degree 3 over them is exact (Genz & Monahan, SIAM Journal
    on Scientific Computing, 1998). With more features, n = 64, another matrix for each 64 of them.
    """
    n = min(max(n_features, 16), 64)
    generator = np.random.default_rng(0)
    blocks = [
        np.linalg.qr(generator.standard_normal((n, n)))[0] for _ in range(-(-n_features // n))
    ]
    half = np.sqrt(n) * np.hstack(blocks)[:, :n_features]
    points = np.vstack([half, -half]).astype(np.float32)
    points.flags.writeable = False
    return points


def _filled(predict: Callable[[Float32, int], Array], x: Float32, n_points: int) -> Array:
    """``predict`` of at least LEAST_ROWS rows, the last ones zeros, which are left out again."""
    if len(x) >= LEAST_ROWS:
        return predict(x, n_points)
    filled = np.zeros((LEAST_ROWS, x.shape[1]), dtype=np.float32)
    filled[: len(x)] = x
    return predict(filled, n_points)[: len(x)]
