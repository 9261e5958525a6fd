"""Training on a table: the two phases of the recipe, and how many epochs each should have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagix import nn
from tagix._training import Callback, EpochRecord, FitCallback, History
from tagix.sklearn import _ensemble
from tagix.sklearn._recipe import RECIPE, StopOnPlateau
from tagix.sklearn._side_by_side import Listeners, Progress, SideBySide

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]
Rows = NDArray[np.bool_] | slice
ALL = slice(None)


@dataclass
class Evaluation:
    """A standardized table that is not learned, to see what predictions are worth."""

    x: Float32
    x_var: Float32 | None
    y: NDArray[Any]


@dataclass
class TableTraining:
    """A standardized table, and how networks learn it.

    ``make_network(seed, searching)`` makes one for the first phase or for the second.
    ``evaluation`` is what the numbers of epochs are chosen by, in place of cross-validation, and
    ``callback`` hears of the epochs of the networks that are kept.
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
    progress: Progress
    side_by_side: SideBySide
    callback: FitCallback | None = None
    evaluation: Evaluation | None = None

    def fit(self, nets: Sequence[nn.Sequential]) -> list[History]:
        """Train each of the second phase's networks by itself."""
        n_epochs = None
        with self.progress:
            if self.early_stopping and self.evaluation is not None:
                table = self.evaluation
                n_epochs = self._epochs_by_validation([(ALL, table, net.seed) for net in nets])
            elif self.early_stopping and RECIPE.cross_validates(len(self.x)):
                n_epochs = self._epochs_by_validation(self._folds([net.seed for net in nets]))
            of_net = sum(n_epochs) if n_epochs else 2 * self.max_epochs
            self.progress.phase("learning all rows", len(nets) * of_net)
            return self.side_by_side.run([partial(self._fit_one, net, n_epochs) for net in nets])

    def _fit_one(self, net: nn.Sequential, n_epochs: tuple[int, int] | None) -> History:
        search = self.make_network(net.seed, True)
        first_stop = second_stop = None
        if n_epochs is None:
            first_stop, second_stop = self._plateau(RECIPE.search_tol), self._plateau(1.0)
            n_epochs = self.max_epochs, self.max_epochs
        callback = OfKeptNetworks(self.callback, first_stop)
        first = self._run(search, ALL, callback, n_epochs[0], self.evaluation)
        net.load_state_dict(search.state_dict())
        if n_epochs[1] == 0 or callback.wants_end:
            return first
        callback.stop = second_stop
        return _joined(first, self._run(net, ALL, callback, n_epochs[1], self.evaluation))

    def _folds(self, seeds: Sequence[int]) -> list[tuple[Rows, Evaluation, int]]:
        """Parts of the table to learn, the rest of it to predict, and seeds."""
        fold = np.random.default_rng(seeds[0]).permutation(len(self.x)) % RECIPE.n_folds
        return [
            (fold != k, self._part(fold == k), seeds[k % len(seeds)]) for k in range(RECIPE.n_folds)
        ]

    def _part(self, rows: Rows) -> Evaluation:
        return Evaluation(self.x[rows], self._x_var_of(rows), self.y[rows])

    def _x_var_of(self, rows: Rows) -> Float32 | None:
        return None if self.x_var is None else self.x_var[rows]

    def _epochs_by_validation(
        self, folds: Sequence[tuple[Rows, Evaluation, int]]
    ) -> tuple[int, int]:
        """The numbers of epochs of both phases that predict rows best which were not learned.

        Of each fold's rows by a network that learns the others; where the second phase makes
        predictions worse it has none. What a network says of rows that it has seen in an earlier
        epoch, the likelihood on the plateau, is no measure of that: in small tables with much noise
        it rises long after predictions have turned worse.
        """
        self.progress.phase("choosing the length", len(folds) * self.max_epochs)
        searches = [partial(self._search_curve, *fold) for fold in folds]
        n_search, best_search = _best(self.side_by_side.run(searches))
        self.progress.phase("choosing the length", len(folds) * (n_search + self.max_epochs))
        settling = [partial(self._settling_curve, *fold, n_search) for fold in folds]
        n_settle, best_settle = _best(self.side_by_side.run(settling))
        return n_search, n_settle if best_settle > best_search else 0

    def _search_curve(self, learned: Rows, left: Evaluation, seed: int) -> list[float]:
        net = self.make_network(seed, True)
        curve = _Validation(net, left, self._plateau(RECIPE.search_tol))
        self._run(net, learned, curve)
        return curve.log_likelihoods

    def _settling_curve(
        self, learned: Rows, left: Evaluation, seed: int, n_search: int
    ) -> list[float]:
        search = self.make_network(seed, True)
        self._run(search, learned, None, n_search)
        net = self.make_network(seed, False)
        net.load_state_dict(search.state_dict())
        curve = _Validation(net, left, self._plateau(1.0))
        self._run(net, learned, curve)
        return curve.log_likelihoods

    def _plateau(self, share: float) -> StopOnPlateau | None:
        return StopOnPlateau(self.patience, share * self.tol) if self.early_stopping else None

    def _run(
        self,
        net: nn.Sequential,
        rows: Rows,
        callback: FitCallback | None,
        n_epochs: int | None = None,
        evaluation: Evaluation | None = None,
    ) -> History:
        return net.fit(
            self.x[rows],
            self.y[rows],
            x_var=self._x_var_of(rows),
            n_epochs=n_epochs or self.max_epochs,
            batch_size=self.batch_size,
            progress=False,
            callback=Listeners(self.progress, self.side_by_side, callback),
            validation=None if evaluation is None else (evaluation.x, evaluation.y),
        )


class OfKeptNetworks(Callback):
    """The user's callback, which ends a fit, and the rule that ends a phase."""

    def __init__(self, callback: FitCallback | None, stop: StopOnPlateau | None) -> None:
        self._callback, self.stop = callback, stop
        self.wants_end = False

    def on_rows(self, epoch: int, rows_done: int, n_rows: int) -> bool:
        if isinstance(self._callback, Callback):
            self.wants_end |= bool(self._callback.on_rows(epoch, rows_done, n_rows))
        return self.wants_end

    def __call__(self, record: EpochRecord) -> bool:
        if self._callback is not None:
            self.wants_end |= bool(self._callback(record))
        return self.wants_end or (self.stop is not None and self.stop(record))


class _Validation:
    """A callback that notes the mean log-likelihood of rows which are not learned."""

    def __init__(self, net: nn.Sequential, table: Evaluation, stop: StopOnPlateau | None) -> None:
        self._net, self._x, self._x_var, self._y = net, table.x, table.x_var, table.y
        self._stop = stop
        self.log_likelihoods: list[float] = []

    def __call__(self, record: EpochRecord) -> bool:
        if self._y.ndim == 1:  # labels
            probabilities = _ensemble.predict_proba([self._net], self._x, self._x_var)
            of_label = probabilities[np.arange(len(self._y)), self._y]
            log_likelihood = np.log(np.maximum(of_label, 1e-30))
        else:
            mean, epistemic, aleatoric = _ensemble.predict([self._net], self._x, self._x_var)
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
