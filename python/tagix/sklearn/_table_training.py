"""Training on a table, and how long it should be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from tagix import _core, nn
from tagix._training import FitCallback, History
from tagix.sklearn._encoding import Encoding
from tagix.sklearn._recipe import RECIPE
from tagix.sklearn._residuals import Residuals
from tagix.sklearn._side_by_side import Listeners, Progress, SideBySide

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]
Rows = NDArray[np.intp]
T = TypeVar("T")
Law = TypeVar("Law", covariant=True)
NetworkMaker: TypeAlias = "Callable[[int, int], nn.Sequential]"
"""``make_network(n_inputs, seed)`` makes an untrained network."""


@dataclass(frozen=True)
class Verdict(Generic[Law]):
    """The score of predictions for rows that were not learned."""

    loss: float
    """Mean negative log-likelihood of the targets."""
    constant_loss: float
    """Loss of a constant prediction, which ignores the inputs."""
    law: Law | None = None
    """The law of the targets about the predictions, if it was fitted."""
    residuals: Residuals | None = None
    """The errors under that law."""


class Judge(Protocol[Law]):
    """Knows the targets of a table and scores predictions of them."""

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
class Length(Generic[Law]):
    """How long to train, and what was learned while finding out."""

    n_epochs: int
    verdict: Verdict[Law] | None
    """None without held-out rows."""
    encoding: Encoding
    """What networks are to see."""
    kind: int = 0
    """Which of the kinds of networks was best."""
    least_gain: float | None = None
    """Training ends after an epoch in which the mean log-likelihood of a target, predicted just
    before each update, gains less than this; None: never."""


class Part(NamedTuple):
    """Rows that networks learn, and rows that they predict then."""

    learned: Rows
    left: Rows


@dataclass
class Evaluation:
    """A standardized table that is not learned, for scoring predictions."""

    x: Float32
    x_var: Float32 | None
    y: NDArray[Any]


@dataclass
class TableTraining:
    """A standardized table, and how networks learn it.

    Attributes:
        x, x_var: inputs (rows, features), and their variances where any are uncertain.
        y: targets as networks take them: (rows, outputs), or numbers of classes (rows,).
        encoding: what networks see of rows.
        make_network: makes the networks.
        other_kinds: make networks that are tried beside those: of kinds 1, 2, ...
        batch_size: rows of an update.
        max_epochs: bound of the epochs.
        progress: the bar.
        side_by_side: what runs trainings.
        callback: called for the epochs of the final networks.
        evaluation: rows by which the length is chosen, if there are enough.
        weight: (rows,), of mean 1, as for :meth:`tagix.nn.Sequential.fit`; None: all alike.
        fast: whether to try only small budgets, on one part of the table.
    """

    x: Float32
    x_var: Float32 | None
    y: NDArray[Any]
    encoding: Encoding
    make_network: NetworkMaker
    batch_size: int
    max_epochs: int
    progress: Progress
    side_by_side: SideBySide
    other_kinds: Sequence[NetworkMaker] = ()
    callback: FitCallback | None = None
    evaluation: Evaluation | None = None
    weight: Array | None = None
    fast: bool = False
    lengths: list[int] = field(init=False)
    """Epochs of each budget, the largest first."""
    _inputs: dict[int, tuple[Float32, Float32 | None]] = field(init=False, default_factory=dict)
    """Means and variances of what networks see, by the number of ramps."""

    def __post_init__(self) -> None:
        for encoding in (self.encoding, self.encoding.without_ramps):
            self._inputs[encoding.n_added] = encoding.moments(self.x, self.x_var)
        n_epochs = RECIPE.n_epochs(len(self.x), self.batch_size, self.max_epochs)
        budgets = RECIPE.fast_budgets if self.fast else RECIPE.budgets
        lengths = dict.fromkeys(max(1, round(share * n_epochs)) for share in budgets)
        self.lengths = list(lengths)

    def whole(self) -> Length[Any]:
        """The whole budget."""
        return Length(self.lengths[0], None, self.encoding)

    @property
    def judges_by_evaluation(self) -> bool:
        """Whether the rows of ``evaluation`` choose the length, in place of parts of the table."""
        return self.evaluation is not None and len(self.evaluation.x) >= RECIPE.least_rows

    def judged_inputs(self) -> tuple[Float32, Float32 | None]:
        """Inputs for the judge, and their variances: of the table, then of evaluation."""
        if self.evaluation is None or not self.judges_by_evaluation:
            return self.x, self.x_var
        x, x_var = np.vstack([self.x, self.evaluation.x]), None
        if self.x_var is not None or self.evaluation.x_var is not None:
            x_var = np.vstack(
                [
                    np.zeros_like(each.x) if each.x_var is None else each.x_var
                    for each in (self, self.evaluation)
                ]
            )
        return x, x_var

    def judged_targets(self) -> NDArray[Any]:
        """The targets of these rows."""
        if self.evaluation is None or not self.judges_by_evaluation:
            return self.y
        return np.concatenate([self.y, self.evaluation.y])

    def judged_weights(self) -> Array | None:
        """Their weights; those of evaluation are 1."""
        if self.weight is None or self.evaluation is None or not self.judges_by_evaluation:
            return self.weight
        return np.append(self.weight, np.ones(len(self.evaluation.x)))

    def length(self, judge: Judge[Law], seed: int) -> Length[Law]:
        """The budget and the kind of networks that predict held-out rows best.

        Networks learn all parts of the table except one, and predict the rows of that part; in
        large tables only one part is predicted. If there are evaluation rows, networks learn the
        whole table and predict these rows. The kind is chosen with a small budget. Then all budgets
        are tried with one network that sees ramps and one that sees none, which together are a
        mixture. The better single kind, with ramps or without, gets a second network; if these two
        are better than the mixture, all networks are of that kind.
        """
        parts, fold, trials = self._parts(judge, seed)
        rows = np.concatenate([part.left for part in parts])
        encoding, n_networks = self.encoding, RECIPE.n_fold_networks
        members = {number: encoding.of_member(number) for number in range(n_networks)}

        def left_out(kind: int, n_epochs: int, networks: dict[int, Encoding]) -> Array:
            return self._left_out(judge, parts, kind, n_epochs, networks, seed)

        def verdict(predictions: Array) -> Verdict[Law]:
            return judge.judge(predictions, rows, fold)

        small = min(1, len(trials) - 1)
        of_kinds = [
            left_out(kind, trials[small], members) for kind in range(1 + len(self.other_kinds))
        ]
        losses = [verdict(predicted).loss for predicted in of_kinds]
        kind = int(np.argmin(losses))
        predicted = [
            of_kinds[kind] if place == small else left_out(kind, n_epochs, members)
            for place, n_epochs in enumerate(trials)
        ]
        verdicts = [verdict(of_budget) for of_budget in predicted]
        place = int(np.argmin([each.loss for each in verdicts]))
        length = Length(self.lengths[place], verdicts[place], encoding, kind)
        if self.fast or not encoding.is_mixed or not encoding.n_added:
            return length
        alone = np.array(
            [[verdict(each[[member]]).loss for each in predicted] for member in range(n_networks)]
        )
        member, at = np.unravel_index(alone.argmin(), alone.shape)
        alike = encoding.without_ramps if member else replace(encoding, is_mixed=False)
        others = left_out(kind, trials[at], {n_networks: alike})
        of_alike = verdict(np.concatenate([predicted[at][[member]], others]))
        if of_alike.loss < verdicts[place].loss:
            return Length(self.lengths[at], of_alike, alike, kind)
        return length

    def _parts(
        self, judge: Judge[Any], seed: int
    ) -> tuple[list[Part], NDArray[np.intp], list[int]]:
        """What is learned and left, the part of each row, and epochs of each budget there."""
        n_rows = len(self.x)
        if self.judges_by_evaluation:
            fold = np.repeat([0, 1], [n_rows, len(judge.folds(1, seed)) - n_rows])
            return [Part(np.arange(n_rows), np.flatnonzero(fold))], fold, self.lengths
        fold = judge.folds(RECIPE.n_folds, seed)
        parts = [
            Part(np.flatnonzero(fold != k), np.flatnonzero(fold == k))
            for k in range(1 if self.fast or n_rows > RECIPE.most_rows else RECIPE.n_folds)
        ]
        # As many updates, by fewer rows: on their number depends how sure a network is.
        more = RECIPE.n_folds / (RECIPE.n_folds - 1)
        return parts, fold, [round(more * length) for length in self.lengths]

    def _left_out(
        self,
        judge: Judge[Any],
        parts: Sequence[Part],
        kind: int,
        n_epochs: int,
        networks: dict[int, Encoding],
        seed: int,
    ) -> Array:
        """What is predicted of the rows left out of all parts, (networks, rows, ...).

        Numbers of networks stand for their seeds.
        """
        make_network = (self.make_network, *self.other_kinds)[kind]
        trials = [
            partial(self._trial, judge, part, encoding, make_network, n_epochs, trial_seed)
            for number, encoding in networks.items()
            for place, part in enumerate(parts)
            for trial_seed in [_core.derive_seed(seed, 1 + number * len(parts) + place)]
        ]
        self.progress.phase("choosing the length", len(trials) * n_epochs)
        outcomes = self.side_by_side.run(trials)
        return np.stack(
            [
                np.concatenate(outcomes[start : start + len(parts)])
                for start in range(0, len(outcomes), len(parts))
            ]
        )

    def fit(self, nets: Sequence[nn.Sequential], length: Length[Any]) -> list[History]:
        """Train each of the networks by itself, on all rows."""
        everything = np.arange(len(self.x))
        self.progress.phase("learning all rows", len(nets) * length.n_epochs)
        n_epochs, least_gain = length.n_epochs, length.least_gain
        trained = self.side_by_side.run(
            [
                partial(
                    self._train,
                    encoding,
                    self.make_network,
                    net.seed,
                    n_epochs,
                    everything,
                    True,
                    least_gain,
                )
                for net in nets
                for encoding in [length.encoding.of_net(net, self.x.shape[1])]
            ]
        )
        for net, (copy, _) in zip(nets, trained, strict=True):
            _take_over(net, copy)
        return [history for _, history in trained]

    def _trial(
        self,
        judge: Judge[Any],
        part: Part,
        encoding: Encoding,
        make_network: NetworkMaker,
        n_epochs: int,
        seed: int,
    ) -> Array:
        """What a network predicts of rows that are left, when it has learned the others."""
        net, _ = self._train(encoding, make_network, seed, n_epochs, part.learned)
        return judge.predict(net, part.left)

    def _train(
        self,
        encoding: Encoding,
        make_network: NetworkMaker,
        seed: int,
        n_epochs: int,
        rows: Rows,
        is_kept: bool = False,
        least_gain: float | None = None,
    ) -> tuple[nn.Sequential, History]:
        inputs, inputs_var = self._inputs[encoding.n_added]
        x, y = inputs[rows], self.y[rows]
        x_var = None if inputs_var is None else inputs_var[rows]
        listeners = Listeners(
            self.progress, self.side_by_side, self.callback if is_kept else None, least_gain
        )
        evaluation = self.evaluation if is_kept else None
        net = make_network(x.shape[1], seed)
        validation = None if evaluation is None else (encoding.inputs(evaluation.x), evaluation.y)
        history = net.fit(
            x,
            y,
            x_var=x_var,
            sample_weight=None if self.weight is None else self.weight[rows],
            n_epochs=n_epochs,
            batch_size=self.batch_size,
            progress=False,
            callback=listeners,
            validation=validation,
        )
        return net, history


def _take_over(net: nn.Sequential, before: nn.Sequential) -> None:
    """What another network has learned, and how far its order of rows has come."""
    net.load_state_dict(before.state_dict())
    net._model.epochs_trained = before._model.epochs_trained
