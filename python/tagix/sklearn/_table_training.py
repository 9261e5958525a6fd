"""Training on a table: the two phases of the recipe, and how many epochs each should have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagix import nn
from tagix._training import EpochRecord, FitCallback, History
from tagix.sklearn import _ensemble
from tagix.sklearn._recipe import RECIPE, StopOnPlateau

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]
Rows = NDArray[np.bool_] | slice
ALL = slice(None)


@dataclass
class TableTraining:
    """A standardized table, and how networks learn it.

    ``make_network(seed, searching)`` makes one for the first phase or for the second.
    """

    x: Float32
    x_var: Float32 | None
    y: NDArray[Any]
    make_network: Callable[[int, bool], nn.Sequential]
    batch_size: int
    max_epochs: int
    early_stopping: bool
    patience: int
    tol: float
    progress: bool

    def fit(self, nets: Sequence[nn.Sequential]) -> list[History]:
        """Train each of the second phase's networks by itself."""
        n_epochs = None
        if self.early_stopping and RECIPE.cross_validates(len(self.x)):
            n_epochs = self._epochs_by_cross_validation([net.seed for net in nets])
        return [self._fit_one(net, n_epochs) for net in nets]

    def _fit_one(self, net: nn.Sequential, n_epochs: tuple[int, int] | None) -> History:
        search = self.make_network(net.seed, True)
        if n_epochs is None:
            first = self._run(search, ALL, self._plateau(RECIPE.search_tol))
            net.load_state_dict(search.state_dict())
            return _joined(first, self._run(net, ALL, self._plateau(1.0)))
        first = self._run(search, ALL, None, n_epochs[0])
        net.load_state_dict(search.state_dict())
        if n_epochs[1] == 0:
            return first
        return _joined(first, self._run(net, ALL, None, n_epochs[1]))

    def _epochs_by_cross_validation(self, seeds: Sequence[int]) -> tuple[int, int]:
        """The numbers of epochs of both phases that predict rows best which were not learned.

        Of each fold's rows by a network that learns the others; where the second phase makes
        predictions worse it has none. What a network says of rows that it has seen in an earlier
        epoch, the likelihood on the plateau, is no measure of that: in small tables with much noise
        it rises long after predictions have turned worse.
        """
        fold = np.random.default_rng(seeds[0]).permutation(len(self.x)) % RECIPE.n_folds
        folds = [(fold != k, fold == k, seeds[k % len(seeds)]) for k in range(RECIPE.n_folds)]
        curves = []
        for learned, left, seed in folds:
            curve = _Validation(self, left, self._plateau(RECIPE.search_tol))
            curve.net = self.make_network(seed, True)
            self._run(curve.net, learned, curve)
            curves.append(curve.log_likelihoods)
        n_search, best_search = _best(curves)
        curves = []
        for learned, left, seed in folds:
            search = self.make_network(seed, True)
            self._run(search, learned, None, n_search)
            curve = _Validation(self, left, self._plateau(1.0))
            curve.net = self.make_network(seed, False)
            curve.net.load_state_dict(search.state_dict())
            self._run(curve.net, learned, curve)
            curves.append(curve.log_likelihoods)
        n_settle, best_settle = _best(curves)
        return n_search, n_settle if best_settle > best_search else 0

    def _plateau(self, share: float) -> StopOnPlateau | None:
        return StopOnPlateau(self.patience, share * self.tol) if self.early_stopping else None

    def _run(
        self,
        net: nn.Sequential,
        rows: Rows,
        callback: FitCallback | None,
        n_epochs: int | None = None,
    ) -> History:
        return net.fit(
            self.x[rows],
            self.y[rows],
            x_var=None if self.x_var is None else self.x_var[rows],
            n_epochs=n_epochs or self.max_epochs,
            batch_size=self.batch_size,
            progress=self.progress,
            callback=callback,
        )


class _Validation:
    """A callback that notes the mean log-likelihood of rows which are not learned."""

    net: nn.Sequential

    def __init__(
        self, training: TableTraining, rows: NDArray[np.bool_], stop: StopOnPlateau | None
    ) -> None:
        self._x, self._y = training.x[rows], training.y[rows]
        self._x_var = None if training.x_var is None else training.x_var[rows]
        self._stop = stop
        self.log_likelihoods: list[float] = []

    def __call__(self, record: EpochRecord) -> bool:
        if self._y.ndim == 1:  # labels
            probabilities = _ensemble.predict_proba([self.net], self._x, self._x_var)
            of_label = probabilities[np.arange(len(self._y)), self._y]
            log_likelihood = np.log(np.maximum(of_label, 1e-30))
        else:
            mean, epistemic, aleatoric = _ensemble.predict([self.net], self._x, self._x_var)
            var = epistemic + aleatoric
            log_likelihood = -0.5 * (np.log(2.0 * np.pi * var) + (self._y - mean) ** 2 / var)
        self.log_likelihoods.append(float(np.nanmean(log_likelihood)))  # NaN: not observed
        return self._stop is not None and self._stop(record)


def _best(curves: Sequence[Sequence[float]]) -> tuple[int, float]:
    """The number of epochs where the mean of the curves, over three neighbours, is highest.

    The ends count twice; beyond the shortest curve there is no mean. Also gives that mean.
    """
    length = min(len(curve) for curve in curves)
    mean = np.mean([curve[:length] for curve in curves], axis=0)
    smooth = np.convolve(np.pad(mean, 1, mode="edge"), np.full(3, 1.0 / 3.0), "valid")
    epoch = int(smooth.argmax())
    return epoch + 1, float(smooth[epoch])


def _joined(first: History, second: History) -> History:
    """The epochs of two phases one after the other; ``stopped`` is that of the second."""
    joined = {
        field.name: getattr(first, field.name) + getattr(second, field.name)
        for field in fields(History)
        if field.name != "stopped"
    }
    return History(**joined, stopped=second.stopped)
