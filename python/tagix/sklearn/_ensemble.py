"""A few networks that differ by their seeds alone: trained one by one, predicting as a mixture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tagix import nn
from tagix.gaussian import Prediction

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]

# Batches of up to 8 rows take another path in the core, whose sums round differently: tables are
# filled up, so that the prediction of a row does not depend on the rows beside it.
LEAST_ROWS = 9


class Mixture(NamedTuple):
    """Moments of equally probable Gaussians, float64 (rows, outputs).

    mean       = mean_i m_i
    epistemic  = mean_i epistemic_i + var_i m_i,   aleatoric = mean_i aleatoric_i
    """

    mean: Array
    epistemic: Array
    aleatoric: Array

    @property
    def var(self) -> Array:
        """The total variance."""
        return self.epistemic + self.aleatoric

    @classmethod
    def of(cls, predictions: Sequence[Prediction]) -> Mixture:
        """The mixture of the predictions of several networks."""
        means = np.stack([prediction.mean for prediction in predictions]).astype(np.float64)
        epistemic = np.stack([each.epistemic for each in predictions])
        aleatoric = np.stack([each.aleatoric for each in predictions])
        return cls(
            means.mean(axis=0),
            epistemic.mean(axis=0, dtype=np.float64) + means.var(axis=0),
            aleatoric.mean(axis=0, dtype=np.float64),
        )


def predict(nets: Sequence[nn.Sequential], x: Float32, x_var: Float32 | None) -> Mixture:
    """The mixture for standardized inputs (rows, features), with their variances."""
    x, x_var, n_rows = _filled(x, x_var)
    mixture = Mixture.of([net(x, x_var) for net in nets])
    return Mixture(*(part[:n_rows] for part in mixture))


def predict_proba(nets: Sequence[nn.Sequential], x: Float32, x_var: Float32 | None) -> Array:
    """Mean probabilities of the classes, float64 (rows, classes), adding up to 1 in each row."""
    x, x_var, n_rows = _filled(x, x_var)
    probabilities = np.stack([net.predict_proba(x, x_var) for net in nets])
    mean = probabilities.mean(axis=0, dtype=np.float64)[:n_rows]
    return np.asarray(mean / mean.sum(axis=1, keepdims=True))


def update(
    nets: Sequence[nn.Sequential], x: Float32, y: NDArray[Any], x_var: Float32 | None
) -> Mixture:
    """One update of each by a batch; the mixture that they predicted before."""
    return Mixture.of([net.update(x, y, x_var=x_var) for net in nets])


def _filled(x: Float32, x_var: Float32 | None) -> tuple[Float32, Float32 | None, int]:
    """Inputs with at least LEAST_ROWS rows, the last ones zeros, and how many there were."""
    n_rows = len(x)
    if n_rows >= LEAST_ROWS:
        return x, x_var, n_rows

    def fill(array: Float32) -> Float32:
        filled = np.zeros((LEAST_ROWS, array.shape[1]), dtype=np.float32)
        filled[:n_rows] = array
        return filled

    return fill(x), None if x_var is None else fill(x_var), n_rows
