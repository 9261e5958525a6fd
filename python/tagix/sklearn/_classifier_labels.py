"""Labels of a classifier and the classes of its networks: as they are learned and in files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from tagix import nn
from tagix._arrays import as_choice, as_number
from tagix._core import HierarchicalSoftmax, OneVsRest, Remax, Softmax
from tagix.sklearn import _files, _novelty
from tagix.sklearn._compatibility import validate_rows_and_targets
from tagix.sklearn._growth import wider
from tagix.sklearn._prequential import ClassificationLog
from tagix.sklearn._tabular_estimator import TabularEstimator

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]


class _Unseen(Enum):
    """Takes the place of a second class where there is only one so far.

    A member of an Enum is the same object after a copy and in a pickle.
    """

    NO_LABEL = 0


_NO_LABEL = _Unseen.NO_LABEL

# With more classes than that, rows are few for each, and an epoch is long and teaches much.
MOST_CLASSES_TO_VALIDATE = 32
MANY_CLASSES_BATCH_SIZE = 32

LIKELIHOODS: dict[str, type[nn.Likelihood]] = {
    "softmax": Softmax,
    "one_vs_rest": OneVsRest,
    "hierarchical_softmax": HierarchicalSoftmax,
    "remax": Remax,
}


class ClassifierLabels(TabularEstimator):
    """An estimator whose targets are labels of any kind, (n_rows,); new labels may appear later."""

    likelihood: str
    class_weight: str | Mapping[Any, float] | None

    classes_: NDArray[Any]
    _log: ClassificationLog
    _labels: list[Any]
    """The label of each class of the networks, in their order."""
    _columns: NDArray[np.int64]
    """The network's class for each of ``classes_``."""
    _number_of: dict[Any, int]
    _classes_are_given: bool
    _likelihood: nn.Likelihood
    """Of the networks, for the classes that there are so far."""
    _counts: dict[Any, int]
    """Rows of each label in the last fit."""
    _weight_of: dict[Any, float]
    """What ``class_weight`` came to at the start; 1 for labels that it lacks."""

    def _check_parameters(self) -> None:
        super()._check_parameters()
        as_choice("likelihood", self.likelihood, ("auto", *LIKELIHOODS))
        if isinstance(self.class_weight, Mapping):
            for label, value in self.class_weight.items():
                weight = as_number(f"class_weight[{label!r}]", value)
                if not 0.0 < weight < np.inf:
                    raise ValueError(
                        f"class_weight[{label!r}]: got {value!r}, needed a number above 0"
                    )
        elif self.class_weight is not None:
            as_choice("class_weight", self.class_weight, ("balanced",))

    def _refuse_balanced(self) -> None:
        """ValueError for a ``class_weight`` that only a whole table tells."""
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight: got {self.class_weight!r}, which takes a fit to a whole table, "
                "needed None or a dict of labels to begin a stream"
            )

    def _first_likelihood(self) -> nn.Likelihood:
        """Of networks that have learned nothing yet."""
        name = "softmax" if self.likelihood == "auto" else self.likelihood
        likelihood = LIKELIHOODS[as_choice("likelihood", name, tuple(LIKELIHOODS))]
        return likelihood(len(self._labels))

    def _n_outputs(self) -> int:
        return int(self._likelihood.n_outputs)

    def _network_arguments(self) -> dict[str, Any]:
        return {"likelihood": self._likelihood}

    def _batch_size(self, n_rows: int) -> int:
        """With many classes, whose last layer is large, updates are fewer."""
        if self.batch_size == "auto" and n_rows > 0 and self._are_many():
            return max(MANY_CLASSES_BATCH_SIZE, super()._batch_size(n_rows))
        return super()._batch_size(n_rows)

    def _hidden_widths(self, for_table: bool = False) -> list[int]:
        return super()._hidden_widths(for_table and not self._are_many())

    def _are_many(self) -> bool:
        """Whether there are too many classes to leave rows out and see how long to train."""
        return len(self._labels) > MOST_CLASSES_TO_VALIDATE

    def _validated(self, X: Any, y: Any, *, reset: bool) -> tuple[Array, NDArray[Any]]:
        rows, labels = validate_rows_and_targets(self, X, y, reset=reset)
        check_classification_targets(labels)
        return rows, column_or_1d(labels, warn=True)

    def _refuse_evaluation(self, targets: NDArray[Any], learned: NDArray[Any]) -> None:
        unknown = np.setdiff1d(targets, learned)
        if len(unknown):
            raise ValueError(f"y: got labels {unknown}, needed those of the table")

    def _start_classes(
        self,
        n_features: int,
        labels: list[Any],
        keys: list[Any] | None = None,
        for_table: bool = False,
    ) -> None:
        """Begin an estimator with labels alone; the other arguments are as for :meth:`_start`."""
        self._labels = _two_or_more(labels)
        self._likelihood = self._first_likelihood()
        self._counts = {}
        self._name_classes()
        given = self.class_weight if isinstance(self.class_weight, Mapping) else {}
        self._weight_of = {label: float(weight) for label, weight in given.items()}
        self._log = ClassificationLog()
        self._start(n_features, keys, for_table)

    def _name_classes(self) -> None:
        """``classes_`` and their columns, by the labels of the networks' classes."""
        known = self._known_labels()
        # Without a dtype that holds both, as of a word and a number, in the order of the networks.
        if len({type(label) for label in known}) <= 1 and known:
            self.classes_ = np.unique(known)
        else:
            self.classes_ = np.empty(len(known), dtype=object)
            self.classes_[:] = known
        self._number_of = {label: number for number, label in enumerate(self._labels)}
        self._columns = self._numbers(self.classes_.tolist())

    def _known_labels(self) -> list[Any]:
        """Labels of the networks' classes, in their order, without those that have none yet."""
        return [label for label in self._labels if label is not _NO_LABEL]

    def _column_of_label(self) -> dict[Any, int]:
        """The place of each label in ``classes_``."""
        return {label: column for column, label in enumerate(self.classes_.tolist())}

    def _numbers(self, labels: list[Any]) -> NDArray[np.int64]:
        """The networks' classes of labels, -1 for a label that is unknown."""
        return np.array([self._number_of.get(label, -1) for label in labels], np.int64)

    def _add_class(self, label: Any) -> None:
        """A class of the networks for a new label, which has learned nothing yet.

        It gets an output of its own, but in the tree. There, in a heap of n classes, class k is
        the leaf n + k: with one class more, node n, where class 0 was, is the new branch, and its
        leaves are the classes n - 1 and n.
        """
        if self._labels[-1] is _NO_LABEL:
            self._labels[self._labels.index(_NO_LABEL)] = label
            return
        if isinstance(self._likelihood, HierarchicalSoftmax):
            self._labels = [*self._labels[1:], self._labels[0], label]
        else:
            self._labels = [*self._labels, label]
        wanted = self._likelihood.config | {"n_classes": len(self._labels)}
        self._likelihood = type(self._likelihood)(**wanted)
        self.nets_ = [wider(net, likelihood=self._likelihood) for net in self.nets_]

    def _learn_novelty(self, x: Float32, y: NDArray[Any], weight: Array | None) -> _novelty.Novelty:
        targets = np.equal.outer(y, np.arange(len(self._labels))).astype(np.float64)
        targets -= np.average(targets, axis=0, weights=weight)
        spread = np.sqrt(np.mean(targets**2)) or 1.0  # two classes of equal share: labels are +-1
        targets /= spread
        hidden = self._hidden_widths(for_table=True)
        novelty = _novelty.learn(self.nets_, x, targets, hidden, weight, self._encoding)
        return replace(
            novelty,
            amplitude=novelty.amplitude.mean(keepdims=True),
            sums=np.zeros((len(novelty.sums), 1)),  # the process's own classes are not asked for
            centre=np.zeros(1),
        )

    def _n_novelty_outputs(self) -> int:
        return 1

    def _describe_targets(self, tensors: _files.Tensors) -> dict[str, Any]:
        known = self._known_labels()
        labels = _files.describe_labels("classes_", known)
        return {
            "labels": labels,
            "classes_are_given": self._classes_are_given,
            "counts": [self._counts.get(label, 0) for label in known],
            "class_weight": _files.describe_weights(self._weight_of),
        }

    def _read_targets(self, learned: Any, tensors: _files.Tensors) -> None:
        known = list(_files.read_labels("labels", learned.items("labels")))
        self._labels = _two_or_more(known)
        likelihood = self.nets_[0].likelihood
        name = as_choice("likelihood", self.likelihood, ("auto", *LIKELIHOODS))
        allowed = tuple(LIKELIHOODS.values()) if name == "auto" else (LIKELIHOODS[name],)
        if not isinstance(likelihood, allowed) or likelihood.n_classes != len(self._labels):
            raise ValueError(
                f"networks: got the likelihood {likelihood!r}, needed {self.likelihood!r} for "
                f"{len(self._labels)} classes"
            )
        self._likelihood = likelihood
        self._name_classes()
        self._classes_are_given = learned.flag("classes_are_given")
        counts = learned.items("counts")
        if len(counts) != len(known) or not all(
            type(n) in (int, float) and 0 <= n < np.inf for n in counts
        ):
            raise ValueError(f"counts: got {counts!r:.80}, needed one for each label")
        self._counts = dict(zip(known, counts, strict=True))
        self._weight_of = _files.read_weights("class_weight", learned.take("class_weight"))
        self._log = ClassificationLog()


def _two_or_more(labels: list[Any]) -> list[Any]:
    """Labels of as many classes as networks have, which are two at least."""
    return labels + [_NO_LABEL] * (2 - len(labels))
