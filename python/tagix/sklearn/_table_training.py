"""Training on a table: the stages of the recipe, and how long they should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from tagix import _core, nn
from tagix._core import Forgetting
from tagix._training import EpochRecord, History
from tagix.sklearn._recipe import RECIPE, Stage

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]
Rows = NDArray[np.intp]
T = TypeVar("T")
Law = TypeVar("Law", covariant=True)


@dataclass(frozen=True)
class Verdict(Generic[Law]):
    """What predictions of rows are worth that were not learned."""

    loss: float
    """Mean negative log-likelihood of their targets."""
    constant_loss: float
    """That of a prediction which knows no inputs."""
    law: Law | None = None
    """How the targets lie about the predictions, where that was found out, too."""


class Judge(Protocol[Law]):
    """What knows the targets of a table and what predictions of them are worth."""

    def folds(self, n_folds: int, seed: int) -> NDArray[np.intp]:
        """The number of the part that each row belongs to."""
        ...

    def predict(self, net: nn.Sequential, rows: Rows) -> Array:
        """What :meth:`judge` has to know of a network's predictions, (rows, ...)."""
        ...

    def judge(self, predictions: Array, rows: Rows, fold: NDArray[np.intp]) -> Verdict[Law]:
        """The worth of predictions (networks, rows, ...) of ``rows``, of all ``fold`` parts."""
        ...


@dataclass(frozen=True)
class Schedule:
    """Stages of one budget.

    Networks that leave rows out, to see which budget is best, learn their rows in more epochs, so
    that they are updated as often as the networks that learn all rows: how sure a network is
    depends on the number of its updates above all.
    """

    stages: list[Stage]
    """Those of networks that learn all rows."""
    trial: list[Stage]
    """Those of networks that leave out one part."""

    @classmethod
    def of(cls, n_epochs: int, batch_size: int, n_folds: int) -> Schedule:
        """The schedule of so many epochs for all rows."""
        n_trial = round(n_epochs * n_folds / (n_folds - 1))
        return cls(RECIPE.stages(n_epochs, batch_size), RECIPE.stages(n_trial, batch_size))


@dataclass(frozen=True)
class Length(Generic[Law]):
    """How long to train, and what was found out on the way."""

    stages: list[Stage]
    verdict: Verdict[Law] | None
    """None where no rows were left out."""


@dataclass
class TableTraining:
    """A standardized table, and how networks learn it.

    Attributes:
        x, x_var: inputs (rows, features), and their variances where any are uncertain.
        y: targets as networks take them: (rows, outputs), or numbers of classes (rows,).
        make_network: ``make_network(seed, forgetting)`` makes an untrained one.
        batch_size: rows of an update.
        max_epochs: bound of the epochs of all stages together.
        progress: whether to show a bar.
    """

    x: Float32
    x_var: Float32 | None
    y: NDArray[Any]
    make_network: Callable[[int, Forgetting | None], nn.Sequential]
    batch_size: int
    max_epochs: int
    progress: bool
    schedules: list[Schedule] = field(init=False)
    _bar: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        n_epochs = RECIPE.n_epochs(len(self.x), self.batch_size, self.max_epochs)
        lengths = dict.fromkeys(max(1, round(share * n_epochs)) for share in RECIPE.budgets)
        n_folds = RECIPE.folds(len(self.x))
        self.schedules = [Schedule.of(length, self.batch_size, n_folds) for length in lengths]

    def whole(self) -> Length[Any]:
        """The whole budget."""
        return Length(self.schedules[0].stages, None)

    def length(self, judge: Judge[Law], seed: int) -> Length[Law]:
        """The budget with which rows that were left out are predicted best.

        With each budget, networks learn all parts of the table but one, and predict the rows of
        that one. In large tables one network does, and one part alone is predicted.
        """
        n_rows = len(self.x)
        n_folds = RECIPE.folds(n_rows)
        fold = judge.folds(n_folds, seed)
        large = n_rows > RECIPE.most_rows
        n_nets = 1 if large else RECIPE.n_fold_networks
        left = [np.flatnonzero(fold == k) for k in range(1 if large else n_folds)]
        learned = [np.flatnonzero(fold != k) for k in range(len(left))]
        trials = [
            partial(self._trial, judge, schedule, learned[k], left[k], seed_of_trial)
            for schedule in self.schedules
            for trial, k in enumerate(np.repeat(range(len(left)), n_nets))
            for seed_of_trial in [_core.derive_seed(seed, 1 + trial)]
        ]
        n_trials = len(left) * n_nets
        n_epochs = sum(_n_epochs(schedule.trial) for schedule in self.schedules)
        with self._shown("choosing the length", n_trials * n_epochs):
            outcomes = run_all(trials)
        rows = np.concatenate(left)
        lengths: list[Length[Law]] = []
        for number, schedule in enumerate(self.schedules):
            of_schedule = outcomes[number * n_trials : (number + 1) * n_trials]
            of_nets = [np.concatenate(of_schedule[net::n_nets]) for net in range(n_nets)]
            verdict = judge.judge(np.stack(of_nets), rows, fold)
            lengths.append(Length(schedule.stages, verdict))
        return min(lengths, key=lambda length: length.verdict.loss if length.verdict else np.inf)

    def fit(self, nets: Sequence[nn.Sequential], length: Length[Any]) -> list[History]:
        """Train each of the networks by itself, on all rows."""
        everything = np.arange(len(self.x))
        with self._shown("learning all rows", len(nets) * _n_epochs(length.stages)):
            trained = run_all(
                [partial(self._train, net.seed, length.stages, everything) for net in nets]
            )
        for net, (copy, _) in zip(nets, trained, strict=True):
            _take_over(net, copy)
        return [history for _, history in trained]

    def _trial(
        self, judge: Judge[Any], schedule: Schedule, learned: Rows, left: Rows, seed: int
    ) -> Array:
        """What a network predicts of ``left`` that has learned the rest."""
        net, _ = self._train(seed, schedule.trial, learned)
        return judge.predict(net, left)

    def _train(self, seed: int, stages: list[Stage], rows: Rows) -> tuple[nn.Sequential, History]:
        x, y = self.x[rows], self.y[rows]
        x_var = None if self.x_var is None else self.x_var[rows]
        net, history = None, History()
        for stage in stages:
            before, net = net, self.make_network(seed, stage.forgetting)
            if before is not None:
                _take_over(net, before)
            of_stage = net.fit(
                x,
                y,
                x_var=x_var,
                n_epochs=stage.n_epochs,
                batch_size=self.batch_size,
                progress=False,
                callback=None if self._bar is None else self._show,
            )
            history = _joined(history, of_stage)
        assert net is not None
        return net, history

    @contextmanager
    def _shown(self, name: str, n_epochs: int) -> Iterator[None]:
        """A bar for so many epochs, of all networks together, or none."""
        if not self.progress:
            yield
            return
        from tqdm.auto import tqdm

        with tqdm(desc=name, total=n_epochs, unit="epoch", leave=False) as self._bar:
            yield
        self._bar = None

    def _show(self, record: EpochRecord) -> bool:
        self._bar.update()
        return False


def run_all(jobs: Sequence[Callable[[], T]]) -> list[T]:
    """The results of trainings that do not depend on each other, in their order."""
    return [job() for job in jobs]


def _n_epochs(stages: Sequence[Stage]) -> int:
    return sum(stage.n_epochs for stage in stages)


def _take_over(net: nn.Sequential, before: nn.Sequential) -> None:
    """What another network has learned, and how far its order of rows has come."""
    net.load_state_dict(before.state_dict())
    net._model.epochs_trained = before._model.epochs_trained


def _joined(first: History, second: History) -> History:
    """The epochs of two stages one after the other."""
    joined = {
        field.name: getattr(first, field.name) + getattr(second, field.name)
        for field in fields(History)
        if field.name != "stopped"
    }
    return History(**joined, stopped=second.stopped)
