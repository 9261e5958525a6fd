"""Classes with calibrated probabilities, on tables and streams."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from tagix._arrays import as_choice
from tagix._core import Forgetting, HierarchicalSoftmax, Remax
from tagix.sklearn import _ensemble, _files, _river
from tagix.sklearn._base import Float32, TabularEstimator, first_keys, moments_with
from tagix.sklearn._compatibility import validate_rows_and_targets
from tagix.sklearn._growth import wider
from tagix.sklearn._judges import LabelJudge
from tagix.sklearn._prequential import ClassificationLog
from tagix.sklearn._recipe import RECIPE
from tagix.sklearn._scaling import Moments, Scaler
from tagix.sklearn._table_training import Length

Array = NDArray[np.float64]

# Takes the place of a second class where there is only one so far.
_NO_LABEL = object()

# With likelihood="auto"; docs/classification.md has the figures.
MOST_CLASSES_OF_TREE = 32


class TagiClassifier(ClassifierMixin, TabularEstimator):
    """Classification with calibrated probabilities.

    A few small Bayesian networks, which differ by their seeds alone, are trained by closed-form
    updates, and their probabilities averaged. X is scaled inside, and the length of training is
    chosen by rows left out for a while. NaN in X is a missing value, of which the network is told
    the training data's mean and variance.

    Args:
        hidden: widths of the hidden layers, or "auto".
        likelihood: "hierarchical_softmax", a binary tree of classes
            (:class:`tagix.HierarchicalSoftmax`); "remax", an output for each class
            (:class:`tagix.Remax`); or "auto", the former for up to 32 classes at the start, since
            in a larger tree it begins to matter which classes are neighbours.
        n_estimators, max_epochs, batch_size, early_stopping, forgetting, random_state,
        device, precision, verbose: as for :class:`TagiRegressor`.

    Attributes:
        classes_ : the labels, sorted.
        nets_ : the networks (:class:`tagix.nn.Sequential`); ``net_`` is the first.
        histories_ : what each epoch of the last fit gave, for each network
            (:class:`tagix.History`); ``history_`` is the first.
        n_iter_ : epochs of the last fit.
        n_features_in_ : columns of X.
        feature_names_in_ : their names, where X had names that are strings.
        x_mean_, x_scale_ : (n_features,), the units that the networks see X in.
        prequential_log_ : what predictions of a stream were worth, each made before its row was
            learned (:class:`ClassificationLog`).

    Example:
        >>> model = TagiClassifier().fit(X, labels)
        >>> model.predict(X_new), model.predict_proba(X_new)
    """

    classes_: NDArray[Any]
    _log: ClassificationLog
    _labels: list[Any]
    """The label of each class of the networks, in their order."""
    _columns: NDArray[np.int64]
    """The network's class for each of ``classes_``."""
    _number_of: dict[Any, int]
    _classes_are_given: bool

    def __init__(
        self,
        hidden: str | Sequence[int] = "auto",
        *,
        likelihood: str = "auto",
        n_estimators: int = RECIPE.n_estimators,
        max_epochs: int = RECIPE.max_epochs,
        batch_size: str | int = "auto",
        early_stopping: bool = True,
        forgetting: Forgetting | None = None,
        random_state: Any = None,
        device: str = "cpu",
        precision: str = "float32",
        verbose: int | bool = 0,
    ) -> None:
        self.hidden = hidden
        self.likelihood = likelihood
        self.n_estimators = n_estimators
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.forgetting = forgetting
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.verbose = verbose
        _river.register_if_imported(classifier=TagiClassifier)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _more_tags(self) -> dict[str, Any]:
        """The same before scikit-learn 1.6."""
        return {"allow_nan": True}

    @property
    def prequential_log_(self) -> ClassificationLog:
        """What predictions of a stream were worth, each made before its row was learned."""
        self._take_in_stream()
        return self._log

    def fit(self, X: Any, y: Any, X_std: ArrayLike | None = None) -> TagiClassifier:
        """Learn a table from scratch.

        Args:
            X: rows, (n_rows, n_features); NaN is a missing value.
            y: labels of any kind, (n_rows,).
            X_std: standard deviations of X, of its shape and in its units, where it is uncertain.

        Returns:
            The estimator.

        Raises:
            ValueError, TypeError: for what is no table of numbers, wrong shapes, infinity, targets
                that are no classes, and parameters of the estimator that make no sense.
        """
        rows, labels = self._validated(X, y, reset=True)
        std = self._as_std(X_std, rows)
        self._start_classes(rows.shape[1], np.unique(labels).tolist(), for_table=True)
        self._classes_are_given = False
        self._x_moments = moments_with(self._x_moments, rows, "X")
        self._x_scaler = self._x_moments.scaler()
        numbers = self._numbers(labels.tolist())
        table = self._table(rows, std, numbers)
        length: Length[Any] = table.whole()
        if self._chooses_length(len(rows)) and len(self.classes_) > 1:
            judge = LabelJudge(table.x, table.x_var, numbers)
            length = table.length(judge, self.net_.seed)
        self._learn_table(table, length)
        return self

    def partial_fit(
        self, X: Any, y: Any, classes: ArrayLike | None = None, X_std: ArrayLike | None = None
    ) -> TagiClassifier:
        """Learn more rows, in their order, once.

        The first call starts the estimator, unless it has been fitted. Batches and units are those
        of :meth:`TagiRegressor.partial_fit`.

        Args:
            X, y, X_std: as for :meth:`fit`.
            classes: all labels that there will be. Without them, labels may appear later, and the
                networks grow; with them, others are an error.

        Returns, Raises: as :meth:`fit`; ValueError also for ``classes`` unlike those given before.
        """
        first = not self.__sklearn_is_fitted__()
        rows, labels = self._validated(X, y, reset=first)
        std = self._as_std(X_std, rows)
        given = None if classes is None else np.unique(np.asarray(classes))
        if given is not None and not first and not np.array_equal(given, self.classes_):
            raise ValueError(f"classes: got {given}, needed those so far, {self.classes_}")
        known = given if given is not None else None if first else self.classes_
        if known is not None and (given is not None or self._classes_are_given):
            unknown = np.setdiff1d(labels, known)
            if len(unknown):
                raise ValueError(f"y: got labels {unknown}, needed classes, {known}")
        if first:
            self._start_classes(rows.shape[1], [] if given is None else given.tolist())
            self._classes_are_given = given is not None
        batch_size = self._batch_size(0)
        for start in range(0, len(rows), batch_size):
            part = slice(start, start + batch_size)
            self._learn(rows[part], labels[part].tolist(), None if std is None else std[part])
        return self

    def learn_one(self, x: Mapping[Any, Any], y: Hashable) -> None:
        """Learn one row of a stream, as River's models do.

        Args:
            x: features by name, as for :meth:`TagiRegressor.learn_one`.
            y: the label; one that was not there before is a new class.

        Raises:
            TypeError, ValueError: for what is no dict of numbers, for NaN and None as a label, and
                for one that is not among the ``classes`` given to :meth:`partial_fit`.
        """
        stream = self._stream
        if stream is not None and type(x) is dict and x.keys() <= stream.keys:
            number = self._number_of.get(y)
            if number is not None:
                stream.learn(x, number)
                self._note_drifts()
                return
        if y is None or y != y:
            raise ValueError(f"y: got {y!r}, needed a label")
        label = y.item() if isinstance(y, np.generic) else y
        if not self.__sklearn_is_fitted__():
            keys = first_keys(x)
            self._start_classes(len(keys), [], keys)
            self._classes_are_given = False
        elif self._classes_are_given and label not in self._labels:
            raise ValueError(f"y: got {y!r}, needed one of the classes, {self.classes_}")
        self._learn(self._row_of(x, learn=True), [label], None)
        self._begin_stream()

    def predict(self, X: Any, X_std: ArrayLike | None = None) -> NDArray[Any]:
        """The most probable label of each row, (n_rows,); as :meth:`predict_proba`."""
        probabilities = self.predict_proba(X, X_std)  # raises where there is no class yet
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])

    def predict_proba(self, X: Any, X_std: ArrayLike | None = None) -> Array:
        """The probability of each class.

        Args:
            X: rows, (n_rows, n_features); NaN is a missing value.
            X_std: standard deviations of X, as in :meth:`fit`.

        Returns:
            float64 (n_rows, n_classes), in the order of ``classes_``; rows sum to 1.
        """
        check_is_fitted(self)
        return self._probabilities(*self._inputs_to_predict(X, X_std))

    def predict_log_proba(self, X: Any, X_std: ArrayLike | None = None) -> Array:
        """Logarithms of :meth:`predict_proba`; -inf for a probability of 0."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X, X_std)))

    def predict_proba_one(self, x: Mapping[Any, Any]) -> dict[Any, float]:
        """The probability of each label for a row of a stream; empty before the first label.

        Features that the estimator does not know are left out, those that the row lacks are
        missing.
        """
        if not self.__sklearn_is_fitted__():
            first_keys(x)
            return {}
        if self._stream is not None and self._stream.has_all_of(x):
            of_classes = self._stream.predict_proba(x, len(self._labels))
            return dict(zip(self._labels, of_classes.tolist(), strict=True))
        row = self._x_scaler.inputs(self._row_of(x, learn=False))
        probabilities = self._probabilities(*row)[0]
        labels = (self._labels[number] for number in self._columns)
        return dict(zip(labels, probabilities.tolist(), strict=True))

    def predict_one(self, x: Mapping[Any, Any]) -> Any:
        """The most probable label for a row of a stream; None before the first label."""
        probabilities = self.predict_proba_one(x)
        return max(probabilities, key=probabilities.__getitem__) if probabilities else None

    def _check_parameters(self) -> None:
        super()._check_parameters()
        as_choice("likelihood", self.likelihood, ("auto", "hierarchical_softmax", "remax"))

    def _takes_remax(self) -> bool:
        """Whether each class has an output; what was "auto" at the start stays as it was."""
        if self.likelihood != "auto":
            return self.likelihood == "remax"
        if self.__sklearn_is_fitted__():
            return isinstance(self.net_.likelihood, Remax)
        return len(self._labels) > MOST_CLASSES_OF_TREE

    def _head(self) -> Any:
        n_classes = len(self._labels)
        return Remax(n_classes) if self._takes_remax() else HierarchicalSoftmax(n_classes)

    def _n_outputs(self) -> int:
        return int(self._head().n_outputs)

    def _network_arguments(self) -> dict[str, Any]:
        return {"likelihood": self._head()}

    def _validated(self, X: Any, y: Any, *, reset: bool) -> tuple[Array, NDArray[Any]]:
        rows, labels = validate_rows_and_targets(self, X, y, reset=reset)
        check_classification_targets(labels)
        return rows, column_or_1d(labels, warn=True)

    def _start_classes(
        self,
        n_features: int,
        labels: list[Any],
        keys: list[Any] | None = None,
        for_table: bool = False,
    ) -> None:
        self.__dict__.pop("nets_", None)  # else an earlier fit would decide what "auto" is
        self._labels = labels + [_NO_LABEL] * (2 - len(labels))
        self._name_classes()
        self._log = ClassificationLog()
        self._start(n_features, keys, for_table)

    def _name_classes(self) -> None:
        """``classes_`` and their columns, by the labels of the networks' classes."""
        known = [label for label in self._labels if label is not _NO_LABEL]
        # Without a dtype that holds both, as of a word and a number, in the order of the networks.
        if len({type(label) for label in known}) <= 1 and known:
            self.classes_ = np.unique(known)
        else:
            self.classes_ = np.empty(len(known), dtype=object)
            self.classes_[:] = known
        self._number_of = {label: number for number, label in enumerate(self._labels)}
        self._columns = self._numbers(self.classes_.tolist())

    def _numbers(self, labels: list[Any]) -> NDArray[np.int64]:
        """The networks' classes of labels, -1 for what is none of them."""
        return np.array([self._number_of.get(label, -1) for label in labels], np.int64)

    def _probabilities(self, x: Float32, x_var: Float32 | None) -> Array:
        """Of ``classes_``, for standardized inputs."""
        probabilities = _ensemble.predict_proba(self.nets_, x, x_var)[:, self._columns]
        if len(self._columns) < len(self._labels):  # what is left of a class that does not exist
            total = probabilities.sum(axis=1, keepdims=True)
            tiny = np.finfo(np.float64).tiny
            probabilities = (probabilities + tiny) / (total + tiny * len(self._columns))
        return probabilities

    def _learn(self, X: Array, labels: list[Any], std: Array | None) -> None:
        """Learn a batch of a stream, and log what was expected of it."""
        probabilities = self._probabilities(*self._x_scaler.inputs(X, std))
        columns = {label: column for column, label in enumerate(self.classes_.tolist())}
        expected = np.array([columns.get(label, -1) for label in labels], np.int64)
        new = [label for label in dict.fromkeys(labels) if label not in columns]
        for label in new:
            self._add_class(label)
        if new:
            self._name_classes()

        def update(x: Float32, x_var: Float32 | None) -> None:
            _ensemble.update(self.nets_, x, self._numbers(labels), x_var)
            self._log.add(probabilities, expected)

        self._learn_batch(X, std, update)
        self._note_drifts()

    def _units(self) -> list[tuple[Scaler, Moments]]:
        return [(self._x_scaler, self._x_moments), (Scaler.identity(1), Moments.of_nothing(1))]

    def _sums(self) -> list[float]:
        log = self._log
        n_rows, n_correct = float(log.n_rows), float(log.n_correct)
        return [n_rows, log.log_likelihood, log.squared_error, 0.0, 0.0, n_correct]

    def _set_sums(self, sums: list[float]) -> None:
        log = self._log
        log.n_rows, log.n_correct = int(sums[0]), int(sums[5])
        log.log_likelihood, log.squared_error = sums[1:3]

    def _fits_the_core(self) -> bool:
        return _NO_LABEL not in self._labels and super()._fits_the_core()

    def _describe_targets(self, tensors: _files.Tensors) -> dict[str, Any]:
        known = [label for label in self._labels if label is not _NO_LABEL]
        labels = _files.describe_labels("classes_", known)
        return {"labels": labels, "classes_are_given": self._classes_are_given}

    def _read_targets(self, learned: Any, tensors: _files.Tensors) -> None:
        self._labels = list(_files.read_labels("labels", learned.items("labels")))
        self._labels += [_NO_LABEL] * (2 - len(self._labels))
        self._name_classes()
        self._classes_are_given = learned.flag("classes_are_given")
        self._log = ClassificationLog()

    def _add_class(self, label: Any) -> None:
        """A class of the networks for a new label, which has learned nothing yet.

        Remax gets an output. In the tree of n classes, a heap, class k is the leaf n + k: with one
        class more, node n, where class 0 was, is the new branch, and its leaves are the classes
        n - 1 and n.
        """
        if self._labels[-1] is _NO_LABEL:
            self._labels[self._labels.index(_NO_LABEL)] = label
            return
        if self._takes_remax():
            self._labels = [*self._labels, label]
        else:
            self._labels = [*self._labels[1:], self._labels[0], label]
        self.nets_ = [wider(net, likelihood=self._head()) for net in self.nets_]
