"""A few networks that differ by their seeds alone: trained one by one, predicting as a mixture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tagix import nn
from tagix._training import FitCallback, History, undone_on_error
from tagix.gaussian import Prediction
from tagix.sklearn._recipe import StopOnPlateau

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]

# Batches of up to 8 rows take another path in the core, whose sums round differently: tables are
# filled up, so that the prediction of a row does not depend on the rows beside it.
LEAST_ROWS = 9


class Mixture(NamedTuple):
    """What n networks predict together, a Gaussian, float64 (rows, outputs).

        mean       = mean_i m_i
        epistemic  = mean_i epistemic_i + var_i(m_i) / n,   aleatoric = mean_i aleatoric_i

    The spread of the networks counts as the variance of their mean: the noise that each infers
    already holds what it gets wrong by itself, and the whole spread would count that twice.
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
        epistemic = np.mean([each.epistemic for each in predictions], axis=0, dtype=np.float64)
        aleatoric = np.mean([each.aleatoric for each in predictions], axis=0, dtype=np.float64)
        return cls(means.mean(axis=0), epistemic + means.var(axis=0) / len(means), aleatoric)


def predict(nets: Sequence[nn.Sequential], x: Float32, x_var: Float32 | None) -> Mixture:
    """The mixture for standardized inputs (rows, features), with their variances."""
    x, x_var, n_rows = _filled(x, x_var)
    mixture = Mixture.of([net(x, x_var) for net in nets])
    return Mixture(*(part[:n_rows] for part in mixture))


def predict_proba(nets: Sequence[nn.Sequential], x: Float32, x_var: Float32 | None) -> Array:
    """Mean probabilities of the classes, float64 (rows, classes), adding up to 1 in each row."""
    x, x_var, n_rows = _filled(x, x_var)
    probabilities = [np.asarray(net.predict_proba(x, x_var)) for net in nets]
    mean = np.mean(probabilities, axis=0, dtype=np.float64)[:n_rows]
    return np.asarray(mean / mean.sum(axis=1, keepdims=True))


def update(
    nets: Sequence[nn.Sequential], x: Float32, y: NDArray[Any], x_var: Float32 | None
) -> Mixture:
    """One update of each by a batch; the mixture that they predicted before."""
    return Mixture.of([net.update(x, y, x_var=x_var) for net in nets])


def fit(
    nets: Sequence[nn.Sequential],
    x: Float32,
    y: NDArray[Any],
    x_var: Float32 | None,
    *,
    n_epochs: int,
    batch_size: int,
    new_stop: Callable[[], StopOnPlateau] | None,
    progress: bool,
) -> list[History]:
    """Train each network by itself for up to ``n_epochs``; ``new_stop()`` ends one earlier."""
    histories = []
    for net in nets:
        stop = None if new_stop is None else new_stop()
        if x_var is None:
            callback: FitCallback | None = stop
            history = net.fit(
                x, y, n_epochs=n_epochs, batch_size=batch_size, progress=progress, callback=callback
            )
        else:
            history = _fit_uncertain(net, x, y, x_var, n_epochs, batch_size, stop)
        histories.append(history)
    return histories


def _fit_uncertain(
    net: nn.Sequential,
    x: Float32,
    y: NDArray[Any],
    x_var: Float32,
    n_epochs: int,
    batch_size: int,
    stop: StopOnPlateau | None,
) -> History:
    """As ``net.fit``, with variances of the inputs, which only its ``update`` takes."""
    from time import perf_counter

    history = History()
    generator = np.random.default_rng(net.seed)
    of_labels = y.ndim == 1
    with undone_on_error(net._model):
        for _ in range(n_epochs):
            begin = perf_counter()
            order = generator.permutation(len(x))
            sums = np.zeros(5)  # of what History lists, in its order
            for start in range(0, len(x), batch_size):
                rows = order[start : start + batch_size]
                if of_labels:
                    probabilities = net.predict_proba(x[rows], x_var[rows])
                    sums += _label_sums(probabilities, y[rows])
                    net.update(x[rows], y[rows], x_var=x_var[rows])
                else:
                    before = net.update(x[rows], y[rows], x_var=x_var[rows])
                    sums += _target_sums(before, y[rows])
            net._model.epochs_trained += 1
            means = sums / y.size
            history.train_mse.append(means[0])
            history.predicted_var.append(means[1])
            history.train_log_likelihood.append(means[2])
            history.noise_var.append(means[3])
            history.surprise.append(means[4])
            history.seconds.append(perf_counter() - begin)
            history.n_rows.append(len(x))
            if stop is not None and stop.note(means[2]):
                history.stopped = True
                break
    return history


def _target_sums(before: Prediction, y: NDArray[Any]) -> Array:
    """Sums of squared errors, variances of means, log-likelihoods, noise variances, surprise."""
    mean, var = before.mean.astype(np.float64), before.var.astype(np.float64)
    squared_error = (y - mean) ** 2
    log_likelihood = -0.5 * (np.log(2.0 * np.pi * var) + squared_error / var)
    parts = (squared_error, before.epistemic, log_likelihood, before.aleatoric, squared_error / var)
    return np.array([part.sum(dtype=np.float64) for part in parts])


def _label_sums(probabilities: Float32, labels: NDArray[Any]) -> Array:
    """The same of labels, with (1 - p)^2 for the error and NaN for what they have not."""
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    log_likelihood = np.log(np.maximum(of_label, np.finfo(np.float32).tiny))
    nan = float("nan")
    return np.array([((1.0 - of_label) ** 2).sum(), nan, log_likelihood.sum(), nan, nan])


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
