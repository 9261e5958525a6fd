"""Classes with calibrated probabilities, on tables and streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from tagix._core import Forgetting, OneVsRest
from tagix._training import FitCallback
from tagix.sklearn import _river
from tagix.sklearn._classifier_streams import ClassifierStreams
from tagix.sklearn._judges import LabelJudge
from tagix.sklearn._missing import columns_to_indicate
from tagix.sklearn._outliers import warn_of_outliers
from tagix.sklearn._prequential import ClassificationLog
from tagix.sklearn._recipe import RECIPE
from tagix.sklearn._sample_weights import counted
from tagix.sklearn._table_training import Length, TableTraining
from tagix.sklearn._undo import all_or_nothing

Array = NDArray[np.float64]

# In nats an epoch: less ends training.
LEAST_GAIN_OF_MANY_CLASSES = 0.1


class TagiClassifier(ClassifierMixin, ClassifierStreams):
    """Classification with calibrated probabilities.

    A few small Bayesian networks that differ only by their seeds are trained by closed-form
    updates, and their probabilities are averaged. X is scaled inside, and held-out rows choose the
    length of training; in the end all rows are learned. NaN in X is a missing value, as for
    :class:`TagiRegressor`.

    Args:
        hidden: widths of the hidden layers, or "auto".
        likelihood: "softmax", an output for each class (:class:`tagix.Softmax`); "one_vs_rest", a
            regression for each class (:class:`tagix.OneVsRest`), whose link is fitted to held-out
            rows; "hierarchical_softmax", a binary tree of classes
            (:class:`tagix.HierarchicalSoftmax`); "remax", rectified outputs over their sum
            (:class:`tagix.Remax`); or "auto". "auto" is "softmax", or, with 3 to 32 classes,
            "one_vs_rest" if it predicts held-out rows of :meth:`fit` better (docs/classification.md
            has the figures).
        class_weight: how many times more frequent each class is where predictions are wanted than
            in the data: a dict of labels (1 for labels that it lacks), or "balanced", which makes
            all classes of a table equally frequent, n_rows / (n_classes n_rows_of_class).
            Probabilities are multiplied by the weights and normalized. With many rows this equals
            the effect of weights for the rows of each class. Networks and ``prequential_log_`` do
            not depend on it.
        novelty: whether probabilities move towards the shares of the classes in :meth:`fit` for
            rows unlike those of the fit, between and beyond them. They move as far as the Gaussian
            process of :class:`TagiRegressor` cannot tell the classes apart.
        n_estimators, max_epochs, batch_size, early_stopping, forgetting, random_state,
        fast, n_jobs, device, precision, verbose: as for :class:`TagiRegressor`.

    Attributes:
        classes_ : the labels, sorted.
        class_weight_ : (n_classes,), the factor on the probability of each class.
        prequential_log_ : how good predictions of a stream were, each made before its row was
            learned (:class:`ClassificationLog`).
        nets_, net_, histories_, history_, n_iter_, n_features_in_, feature_names_in_,
        input_names_, x_mean_, x_scale_ : as those of :class:`TagiRegressor`.

    Example:
        >>> model = TagiClassifier().fit(X, labels)
        >>> model.predict(X_new), model.predict_proba(X_new)
    """

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
    def prequential_log_(self) -> ClassificationLog:
        """How good predictions of a stream were, each made before its row was learned."""
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
            X, X_std, eval_set, callback: as for :meth:`TagiRegressor.fit`.
            y: labels of any kind, (n_rows,).
            sample_weight: (n_rows,), numbers of at least 0: a row of weight 2 counts as two rows
                with the same label, a row of weight 0 not at all. Weights are relative: their mean
                counts as 1.

        Returns:
            The estimator.

        Raises:
            ValueError, TypeError: as :meth:`TagiRegressor.fit`, and if y are not classes. After any
                exception, including KeyboardInterrupt, the estimator is unchanged.

        Warns:
            OutlierWarning: for a column of X that one value ruins; see :class:`OutlierWarning`.
        """
        rows, labels, std, weight, unit = self._rows_to_fit(X, y, X_std, sample_weight, callback)
        evaluation = self._evaluation(eval_set, labels)
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
        """Learn more rows once, in their order.

        The first call starts the estimator, unless it has been fitted. Batches and units are those
        of :meth:`TagiRegressor.partial_fit`.

        Args:
            X, y, X_std: as for :meth:`fit`.
            sample_weight: as for :meth:`TagiRegressor.partial_fit`.
            classes: all labels that will ever occur. Without this argument new labels may appear
                later, and the networks grow; with it, any other label is an error.

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
        self._learn_in_batches(rows, labels.tolist(), std, weight)
        return self

    def predict(self, X: Any, X_std: ArrayLike | None = None) -> NDArray[Any]:
        """The most probable label of each row, (n_rows,); as :meth:`predict_proba`."""
        probabilities = self.predict_proba(X, X_std)  # raises where there is no class yet
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])

    def predict_proba(self, X: Any, X_std: ArrayLike | None = None) -> Array:
        """The probability of each class.

        Args:
            X, X_std: as for :meth:`TagiRegressor.predict`.

        Returns:
            float64 (n_rows, n_classes), in the order of ``classes_``; rows sum to 1. With a
            ``class_weight`` the probabilities are for data with these class frequencies.
        """
        check_is_fitted(self)
        return self._weighted(self._probabilities(*self._inputs_to_predict(X, X_std)))

    def predict_log_proba(self, X: Any, X_std: ArrayLike | None = None) -> Array:
        """Logarithms of :meth:`predict_proba`; -inf for a probability of 0."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X, X_std)))
