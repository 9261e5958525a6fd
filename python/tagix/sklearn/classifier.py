"""Classes with calibrated probabilities, on tables and streams."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from tagix import nn
from tagix._arrays import as_choice, as_number
from tagix._core import Forgetting, HierarchicalSoftmax, OneVsRest, Remax, Softmax
from tagix._training import FitCallback, check_callback
from tagix.sklearn import _ensemble, _files, _novelty, _river
from tagix.sklearn._base import (
    Float32,
    TabularEstimator,
    as_pair,
    counted,
    first_keys,
    named,
)
from tagix.sklearn._compatibility import validate_rows_and_targets
from tagix.sklearn._growth import wider
from tagix.sklearn._judges import LabelJudge
from tagix.sklearn._missing import columns_to_indicate
from tagix.sklearn._outliers import warn_of_outliers
from tagix.sklearn._prequential import ClassificationLog
from tagix.sklearn._probits import LEAST_PROBABILITY
from tagix.sklearn._recipe import RECIPE
from tagix.sklearn._scaling import Moments, Scaler
from tagix.sklearn._table_training import Length, TableTraining
from tagix.sklearn._undo import all_or_nothing
from tagix.sklearn._values import is_missing

Array = NDArray[np.float64]

# Takes the place of a second class where there is only one so far.
_NO_LABEL = object()

# With more classes than that, rows are few for each, and an epoch is long and teaches much.
MOST_CLASSES_TO_VALIDATE = 32
MANY_CLASSES_BATCH_SIZE = 32
# In nats an epoch: less ends training.
LEAST_GAIN_OF_MANY_CLASSES = 0.1

LIKELIHOODS: dict[str, type[nn.Likelihood]] = {
    "softmax": Softmax,
    "one_vs_rest": OneVsRest,
    "hierarchical_softmax": HierarchicalSoftmax,
    "remax": Remax,
}


class TagiClassifier(ClassifierMixin, TabularEstimator):
    """Classification with calibrated probabilities.

    A few small Bayesian networks, which differ by their seeds alone, are trained by closed-form
    updates, and their probabilities averaged. X is scaled inside, and the length of training is
    chosen by rows left out for a while. NaN in X is a missing value, as for
    :class:`TagiRegressor`.

    Args:
        hidden: widths of the hidden layers, or "auto".
        likelihood: "softmax", an output for each class (:class:`tagix.Softmax`); "one_vs_rest", a
            regression for each (:class:`tagix.OneVsRest`), whose link rows left out decide;
            "hierarchical_softmax", a binary tree of classes (:class:`tagix.HierarchicalSoftmax`);
            "remax", rectified outputs over their sum (:class:`tagix.Remax`); or "auto", which is
            "softmax", or "one_vs_rest" where :meth:`fit` finds that it predicts rows left out
            better, of three classes or more (docs/classification.md has the figures).
        class_weight: how many times as frequent each class is where predictions are wanted as in
            the data: a dict of labels, 1 for those that it lacks, or "balanced", which makes all
            classes of a table equally frequent, n_rows / (n_classes n_rows_of_class). Probabilities
            are multiplied by it and made to add up to 1, which is what weights for the rows of each
            class come to with many rows. Networks and ``prequential_log_`` do not depend on it.
        novelty: whether probabilities of rows unlike those of :meth:`fit`, between and beyond them,
            go towards the shares of the classes there, as far as the Gaussian process of
            :class:`TagiRegressor` cannot tell the classes apart.
        n_estimators, max_epochs, batch_size, early_stopping, forgetting, random_state,
        fast, n_jobs, device, precision, verbose: as for :class:`TagiRegressor`.

    Attributes:
        classes_ : the labels, sorted.
        class_weight_ : (n_classes,), what the probability of each is multiplied by.
        nets_ : the networks (:class:`tagix.nn.Sequential`); ``net_`` is the first.
        histories_ : what each epoch of the last fit gave, for each network
            (:class:`tagix.History`); ``history_`` is the first.
        n_iter_ : epochs of the last fit.
        n_features_in_ : columns of X.
        feature_names_in_ : their names, where X had names that are strings.
        input_names_ : (n_inputs,), what the networks see: the columns of X, or what they become.
        x_mean_, x_scale_ : (n_inputs,), the units that the networks see them in.
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
    _likelihood: nn.Likelihood
    """Of the networks, for the classes that there are so far."""
    _counts: dict[Any, int]
    """Rows of each label in the last fit."""
    _weight_of: dict[Any, float]
    """What ``class_weight`` came to at the start; 1 for labels that it lacks."""

    def __init__(
        self,
        hidden: str | Sequence[int] = "auto",
        *,
        likelihood: str = "auto",
        class_weight: str | Mapping[Any, float] | None = None,
        n_estimators: int = RECIPE.n_estimators,
        max_epochs: int = RECIPE.max_epochs,
        batch_size: str | int = "auto",
        early_stopping: bool = True,
        forgetting: Forgetting | None = None,
        novelty: bool = True,
        random_state: Any = None,
        fast: bool = False,
        n_jobs: int | None = None,
        device: str = "cpu",
        precision: str = "float32",
        verbose: int | bool = 0,
    ) -> None:
        self.hidden = hidden
        self.likelihood = likelihood
        self.class_weight = class_weight
        self.n_estimators = n_estimators
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.forgetting = forgetting
        self.novelty = novelty
        self.random_state = random_state
        self.fast = fast
        self.n_jobs = n_jobs
        self.device = device
        self.precision = precision
        self.verbose = verbose
        _river.register_if_imported(classifier=TagiClassifier)

    @property
    def class_weight_(self) -> Array:
        """What the probability of each of ``classes_`` is multiplied by, (n_classes,)."""
        check_is_fitted(self)
        return np.array([self._weight_of.get(label, 1.0) for label in self.classes_.tolist()])

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
        check_is_fitted(self)
        self._take_in_stream()
        return self._log

    @all_or_nothing
    def fit(
        self,
        X: Any,
        y: Any,
        X_std: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        eval_set: tuple[Any, Any] | None = None,
        callback: FitCallback | None = None,
    ) -> TagiClassifier:
        """Learn a table from scratch.

        Args:
            X: rows, (n_rows, n_features); NaN is a missing value. In a DataFrame of pandas or
                polars, text is categories, and dates and times become numbers: ``input_names_`` has
                the names.
            y: labels of any kind, (n_rows,).
            X_std: standard deviations of X, of its shape and in its units, where it is uncertain.
            sample_weight: (n_rows,), numbers of at least 0: a row of weight 2 counts as two with
                the same label, one of 0 not at all. Weights are relative: their mean counts as 1.
            eval_set: (X, y) of rows that are not learned. What predictions of them are worth stands
                in ``histories_``, and where they are 15 or more, ``early_stopping`` goes by them.
            callback: a function of an :class:`tagix.EpochRecord`, or a :class:`tagix.Callback`,
                called in the epochs of the networks that are kept; returning true ends the training
                of that network. With ``n_jobs`` it is called from several threads.

        Returns:
            The estimator.

        Raises:
            ValueError, TypeError: if X is not a table of numbers, y are not classes, or shapes do
                not fit, for infinity, and for parameters of the estimator that make no sense. After
                any exception, KeyboardInterrupt included, the estimator is as it was before.

        Warns:
            OutlierWarning: for a column of X that one value ruins; see :class:`OutlierWarning`.
        """
        self._check_parameters()
        check_callback(callback)
        rows, labels = self._validated(X, y, reset=True)
        std = self._as_std(X_std, rows)
        rows, labels, std, weight, unit = counted(sample_weight, None, rows, labels, std)
        evaluation = None
        if eval_set is not None:
            with named("eval_set"):
                rows_left, labels_left = self._validated(*as_pair(eval_set), reset=False)
                unknown = np.setdiff1d(labels_left, labels)
                if len(unknown):
                    raise ValueError(f"y: got labels {unknown}, needed those of the table")
            evaluation = rows_left, labels_left
        known, numbers = np.unique(labels, return_inverse=True)
        counts = np.bincount(numbers, weight)
        indicators = columns_to_indicate(rows)
        self._start_classes(rows.shape[1], known.tolist(), for_table=True)
        if isinstance(self.class_weight, str):  # balanced
            weights = counts.sum() / (len(known) * counts)
            self._weight_of = dict(zip(known.tolist(), weights.tolist(), strict=True))
        self._classes_are_given = False
        self._counts = dict(zip(known.tolist(), counts.tolist(), strict=True))
        self._weight_unit = unit
        self._take_units_of_table(rows, indicators, weight)
        warn_of_outliers(rows, self._columns_in_words())
        if evaluation is not None:
            evaluation = evaluation[0], self._numbers(evaluation[1].tolist())
        numbers = self._numbers(labels.tolist())
        table = self._table(rows, std, numbers, evaluation, callback, weight)
        length: Length[Any] = table.whole()
        with table.progress:
            if self._are_many() and self.early_stopping and evaluation is None:
                length = replace(
                    length, n_epochs=self.max_epochs, least_gain=LEAST_GAIN_OF_MANY_CLASSES
                )
            elif self._chooses_length(len(rows)) and len(self.classes_) > 1:
                length = self._chosen_length(table)
            self._learn_table(table, length)
        return self

    def _chosen_length(self, table: TableTraining) -> Length[Any]:
        """How long to train, by rows left out; they decide what "auto" is, too."""
        likelihoods = [self._likelihood]
        if self.likelihood == "auto" and len(self.classes_) > 2:
            likelihoods.append(OneVsRest(len(self._labels)))
            table.other_kinds = [self._network_maker(likelihood=likelihoods[1])]
        judge = LabelJudge(
            *table.judged_inputs(),
            table.judged_targets(),
            len(self.nets_),
            table.encoding,
            table.judged_weights(),
        )
        length = table.length(judge, self.nets_[0].seed)
        assert length.verdict is not None
        self._likelihood = length.verdict.law or likelihoods[length.kind]
        table.make_network = self._network_maker(likelihood=self._likelihood)
        return length

    @all_or_nothing
    def partial_fit(
        self,
        X: Any,
        y: Any,
        classes: ArrayLike | None = None,
        X_std: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
    ) -> TagiClassifier:
        """Learn more rows, in their order, once.

        The first call starts the estimator, unless it has been fitted. Batches and units are those
        of :meth:`TagiRegressor.partial_fit`.

        Args:
            X, y, X_std: as for :meth:`fit`.
            sample_weight: as for :meth:`TagiRegressor.partial_fit`.
            classes: all labels that there will be. Without them, labels may appear later, and the
                networks grow; with them, others are an error.

        Returns, Raises: as :meth:`fit`; ValueError also for ``classes`` unlike those given before.
        """
        self._check_parameters()
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
            self._refuse_balanced()
            self._start_classes(rows.shape[1], [] if given is None else given.tolist())
            self._classes_are_given = given is not None
        rows, labels, std, weight, _ = counted(sample_weight, self._weight_unit, rows, labels, std)
        batch_size = self._batch_size(0)
        for start in range(0, len(rows), batch_size):
            part = slice(start, start + batch_size)
            self._learn(
                rows[part],
                labels[part].tolist(),
                None if std is None else std[part],
                None if weight is None else weight[part],
            )
        return self

    def learn_one(self, x: Mapping[Any, Any], y: Hashable) -> None:
        """Learn one row of a stream, as River's models do.

        Args:
            x: features by name, as for :meth:`TagiRegressor.learn_one`.
            y: the label; one that was not there before is a new class.

        Raises:
            TypeError, ValueError: for anything but a dict of numbers, for NaN and None as a label,
                and for one that is not among the ``classes`` given to :meth:`partial_fit`. The
                estimator is then as it was before.
        """
        stream = self._stream
        if stream is not None and type(x) is dict and x.keys() <= stream.keys:
            number = self._number_of.get(y)
            if number is not None:
                if stream.rows_left == 1:
                    self._learn_by_stream(x, number)
                    return
                stream.learn(x, number)
                stream.rows_left -= 1
                self._note_drifts()
                return
        self._learn_row(x, y)

    @all_or_nothing
    def _learn_row(self, x: Mapping[Any, Any], y: Any) -> None:
        """:meth:`learn_one` without the core's stream, which it begins where it can."""
        if is_missing(y):
            raise ValueError(f"y: got {y!r}, needed a label")
        label = y.item() if isinstance(y, np.generic) else y
        if not self.__sklearn_is_fitted__():
            keys = first_keys(x)
            self._refuse_balanced()
            self._start_classes(len(keys), [], keys)
            self._classes_are_given = False
        elif self._classes_are_given and label not in self._labels:
            raise ValueError(f"y: got {y!r}, needed one of the classes, {self.classes_}")
        self._learn(self._row_of(x, learn=True), [label], None, None)
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
            float64 (n_rows, n_classes), in the order of ``classes_``; rows sum to 1. With a
            ``class_weight``, those of data in which the classes are so much more frequent.
        """
        check_is_fitted(self)
        return self._weighted(self._probabilities(*self._inputs_to_predict(X, X_std)))

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
            of_labels: NDArray[Any] = self._stream.predict_proba(x, len(self._labels))
            if self._weight_of:
                weights = [self._weight_of.get(label, 1.0) for label in self._labels]
                of_labels = _reweighted(of_labels.astype(np.float64), np.array(weights))
            return dict(zip(self._labels, of_labels.tolist(), strict=True))
        row = self._x_scaler.inputs(self._row_of(x, learn=False))
        probabilities = self._weighted(self._probabilities(*row))[0]
        labels = (self._labels[number] for number in self._columns)
        return dict(zip(labels, probabilities.tolist(), strict=True))

    def predict_one(self, x: Mapping[Any, Any]) -> Any:
        """The most probable label for a row of a stream; None before the first label."""
        probabilities = self.predict_proba_one(x)
        return max(probabilities, key=probabilities.__getitem__) if probabilities else None

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

    def _batch_size(self, n_rows: int) -> int:
        """With many classes, whose last layer is large, updates are fewer."""
        if self.batch_size == "auto" and n_rows > 0 and self._are_many():
            return max(MANY_CLASSES_BATCH_SIZE, super()._batch_size(n_rows))
        return super()._batch_size(n_rows)

    def _hidden_widths(self, for_table: bool = False) -> list[int]:
        return super()._hidden_widths(for_table and not self._are_many())

    def _are_many(self) -> bool:
        return len(self._labels) > MOST_CLASSES_TO_VALIDATE

    def _network_arguments(self) -> dict[str, Any]:
        return {"likelihood": self._likelihood}

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
        self._labels = labels + [_NO_LABEL] * (2 - len(labels))
        self._likelihood = self._first_likelihood()
        self._counts = {}
        self._name_classes()
        given = self.class_weight if isinstance(self.class_weight, Mapping) else {}
        self._weight_of = {label: float(weight) for label, weight in given.items()}
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
        """The networks' classes of labels, -1 for a label that is unknown."""
        return np.array([self._number_of.get(label, -1) for label in labels], np.int64)

    def _probabilities(self, x: Float32, x_var: Float32 | None) -> Array:
        """Of ``classes_``, for standardized inputs."""
        probabilities = _ensemble.predict_proba(self.nets_, x, x_var, self._encoding)
        probabilities = probabilities[:, self._columns]
        if len(self._columns) < len(self._labels):  # what is left of a class that does not exist
            total = probabilities.sum(axis=1, keepdims=True)
            tiny = np.finfo(np.float64).tiny
            probabilities = (probabilities + tiny) / (total + tiny * len(self._columns))
        if self._novelty is not None:
            unknown = self._novelty.chance_to_exceed(x)
            probabilities += unknown * (self._shares() - probabilities)
        return probabilities

    def _log_likelihoods(self, rows: Array, targets: NDArray[Any]) -> Array:
        columns = {label: column for column, label in enumerate(self.classes_.tolist())}
        unknown = [label for label in dict.fromkeys(targets.tolist()) if label not in columns]
        if unknown:
            raise ValueError(f"y: got labels {unknown}, needed those of classes_, {self.classes_}")
        probabilities = self._weighted(self._probabilities(*self._x_scaler.inputs(rows)))
        of_label = probabilities[np.arange(len(rows)), [columns[y] for y in targets.tolist()]]
        return np.asarray(np.log(np.maximum(of_label, LEAST_PROBABILITY)))

    def _shares(self) -> Array:
        """Of ``classes_`` in the last fit, with one row more of each."""
        counts = np.array([self._counts.get(label, 0) + 1.0 for label in self.classes_.tolist()])
        return np.asarray(counts / counts.sum())

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

    def _weighted(self, probabilities: Array) -> Array:
        """Probabilities of ``classes_`` by ``class_weight_``."""
        return _reweighted(probabilities, self.class_weight_) if self._weight_of else probabilities

    def _learn(self, X: Array, labels: list[Any], std: Array | None, weight: Array | None) -> None:
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
            numbers = self._numbers(labels)
            _ensemble.update(self.nets_, x, numbers, x_var, weight, self._encoding)
            if self._novelty is not None:
                self._novelty = self._novelty.with_rows(x, None, weight)
            self._log.add(probabilities, expected)

        self._learn_batch(X, std, weight, update)
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
        return {
            "labels": labels,
            "classes_are_given": self._classes_are_given,
            "counts": [self._counts.get(label, 0) for label in known],
            "class_weight": _files.describe_weights(self._weight_of),
        }

    def _read_targets(self, learned: Any, tensors: _files.Tensors) -> None:
        known = list(_files.read_labels("labels", learned.items("labels")))
        self._labels = known + [_NO_LABEL] * (2 - len(known))
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


def _reweighted(probabilities: Array, weights: Array) -> Array:
    """Probabilities (..., classes) times weights, made to add up to 1 again."""
    tiny = np.finfo(np.float64).tiny  # where all are 0
    weighted = probabilities * (weights / weights.max()) + tiny
    return np.asarray(weighted / weighted.sum(axis=-1, keepdims=True))
