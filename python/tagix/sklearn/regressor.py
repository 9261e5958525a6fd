"""Regression with error bars, on tables and streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted

from tagix._arrays import as_flag
from tagix._core import Forgetting
from tagix._training import FitCallback
from tagix.sklearn import _importances, _river
from tagix.sklearn._compatibility import validate_rows
from tagix.sklearn._importances import VarianceParts
from tagix.sklearn._judges import RegressionJudge, moved_in
from tagix.sklearn._law import TailedLaw
from tagix.sklearn._missing import columns_to_indicate
from tagix.sklearn._outliers import warn_of_outliers
from tagix.sklearn._prequential import RegressionLog
from tagix.sklearn._recipe import RECIPE
from tagix.sklearn._regressor_laws import RegressorLaws
from tagix.sklearn._regressor_streams import RegressorStreams
from tagix.sklearn._sample_weights import counted
from tagix.sklearn._scaling import Moments, Scaler, moments_with
from tagix.sklearn._table_training import Length, TableTraining
from tagix.sklearn._undo import all_or_nothing

Array = NDArray[np.float64]


class PredictedVar(NamedTuple):
    """The two parts of predicted variances, in the units of y squared.

    Both are float64 (n_rows,), or (n_rows, n_outputs) for several outputs. They add up to the
    square of the standard deviation that :meth:`TagiRegressor.predict` gives.
    """

    epistemic: Array
    """The part that more data could remove: the variance of the mean."""
    aleatoric: Array
    """The part that no data can remove: the noise of a target, as estimated by the networks."""


class TagiRegressor(RegressorMixin, RegressorLaws, RegressorStreams):
    """Regression with calibrated error bars.

    A few small Bayesian networks that differ only by their seeds are trained by closed-form
    updates; together they predict a mean and a variance for each row. X and y are scaled inside,
    and the noise of y is inferred with the weights. Held-out rows choose the length of training; in
    the end all rows are learned. The held-out rows also determine the law of targets about
    predictions: Student's t, whose scale and degrees of freedom are fitted to them. The defaults
    are one recipe for all tables.

    NaN in X is a missing value; the rest of its row gives its mean and variance. If a column of the
    table of :meth:`fit` has missing values, an additional input tells the networks where they are.
    In streams a missing value has the mean and the variance of the rows so far. Targets that have
    never varied, as in a table of one row, are predicted as they were, with a standard deviation of
    |y| / (n_rows + 1), or 1 / (n_rows + 1) if they are 0.

    Before anything has been learned, methods that predict raise
    :class:`sklearn.exceptions.NotFittedError`, except :meth:`predict_one`, as River expects.
    :meth:`prior` gives an estimator that predicts without having learned anything.

    Args:
        hidden: widths of the hidden layers, or "auto".
        noise: "heteroscedastic", noise that depends on X; "homoscedastic", noise that is equal
            everywhere; or "auto", which is "heteroscedastic". All of them are inferred.
        n_estimators: networks in the mixture. The time to learn a stream is proportional to it.
        max_epochs: maximum number of passes over the rows in :meth:`fit`, which has a budget of
            updates.
        batch_size: rows of an update; "auto": 16, more in :meth:`fit` with many rows.
        early_stopping: train only as long as it helps. In tables of 15 rows or more, networks first
            learn with the whole budget and with .3, .12 and .06 of it. Each time they learn all
            rows except a held-out part, and predict that part. The final networks learn all rows
            with the best budget, and predict with the law fitted to the held-out rows. If false,
            the whole budget is used, and predictions are Gaussians with the networks' own
            variances.
        forgetting: a :class:`tagix.Forgetting`, for streams whose law changes; it also tests for
            sudden changes, which ``prequential_log_`` lists. None: every row counts forever.
            :meth:`fit` forgets nothing, because its rows have no order.
        novelty: whether rows unlike those of :meth:`fit`, between and beyond them, get additional
            epistemic variance. It comes from the Gaussian process of the same prior, which keeps
            the covariances that networks of independent weights lose (docs/uncertainty.md). Rows of
            :meth:`partial_fit` count as known from then on. :meth:`learn_one` ends novelty, and
            streams that were never fitted have none.
        random_state: an int, a numpy RandomState or None, for the seeds of the networks.
        fast: take an eighth of the time in :meth:`fit`, with half of the updates, one held-out part
            of the table, and two networks. On tables with little noise, errors are a few percent
            larger.
        n_jobs: networks that :meth:`fit` trains in parallel threads, -1 for one per processor; None
            is 1. The results are the same to the bit.
        device: where the networks are, "cpu" or "cuda".
        precision: as for :class:`tagix.nn.Sequential`.
        verbose: whether fit shows a progress bar, one for all networks.

    Attributes:
        nets_ : the networks (:class:`tagix.nn.Sequential`); ``net_`` is the first.
        histories_ : the results of each epoch of the last fit, for each network
            (:class:`tagix.History`, in units of standardized y); ``history_`` is the first.
        n_iter_ : epochs of the last fit.
        n_features_in_ : columns of X.
        feature_names_in_ : their names, if X has names that are strings.
        input_names_ : (n_inputs,), names of the networks' inputs: the columns of X, or what they
            become.
        x_mean_, x_scale_ : (n_inputs,), mean and scale by which the inputs are standardized.
        y_mean_, y_scale_ : (n_outputs,), the same for y; extreme targets count as they were
            learned.
        prequential_log_ : how good predictions of a stream were, each made before its row was
            learned (:class:`RegressionLog`).

    Example:
        >>> model = TagiRegressor().fit(X, y)
        >>> mean, std = model.predict(X_new, return_std=True)
        >>> low, high = model.predict_interval(X_new, level=0.9).T
    """

    def __init__(
        self,
        hidden: str | Sequence[int] = "auto",
        *,
        noise: str = "auto",
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
        self.noise = noise
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
        _river.register_if_imported(regressor=TagiRegressor)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _more_tags(self) -> dict[str, Any]:
        """The same before scikit-learn 1.6."""
        return {"multioutput": True}

    @property
    def prequential_log_(self) -> RegressionLog:
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
    ) -> TagiRegressor:
        """Learn a table from scratch.

        Args:
            X: rows, (n_rows, n_features); NaN is a missing value. In a DataFrame of pandas or
                polars, text is categories, and dates and times become numbers: ``input_names_`` has
                the names.
            y: targets, (n_rows,) or (n_rows, n_outputs).
            X_std: standard deviations of uncertain X, of its shape and in its units.
            sample_weight: (n_rows,), numbers of at least 0: a row of weight 2 counts as two rows
                with the same target, a row of weight 0 not at all. The noise of what a row says
                about the mean is divided by its weight. Weights are relative: their mean counts
                as 1.
            eval_set: (X, y) of rows that are not learned. ``histories_`` records how well they are
                predicted, and if there are 15 or more, ``early_stopping`` uses them.
            callback: a function of an :class:`tagix.EpochRecord`, or a :class:`tagix.Callback`,
                called in the epochs of the final networks; returning true ends the training of the
                network. With ``n_jobs`` it is called from several threads.

        Returns:
            The estimator.

        Raises:
            ValueError, TypeError: if X is not a table of numbers or shapes do not fit, for
                infinity, NaN in y, and invalid parameters of the estimator. After any exception,
                including KeyboardInterrupt, the estimator is unchanged.

        Warns:
            OutlierWarning: for a column that one value ruins; see :class:`OutlierWarning`.
        """
        rows, targets, std, weight, unit = self._rows_to_fit(X, y, X_std, sample_weight, callback)
        evaluation = self._evaluation(eval_set, targets)
        indicators = columns_to_indicate(rows)
        self._start_regression(rows.shape[1], targets.shape[1], for_table=True)
        self._weight_unit = unit
        self._take_units_of_table(rows, indicators, weight)
        self._y_moments = moments_with(self._y_moments, targets, "y", weight, is_all=True)
        self._y_scaler = self._y_moments.scaler()
        warn_of_outliers(rows, self._columns_in_words())
        names = ["y"] if self._y_is_vector else [f"y[:, {k}]" for k in range(targets.shape[1])]
        warn_of_outliers(targets, names)
        if not self._y_scaler.varies.any():
            self._count_table(len(rows))
            return self
        scaled = evaluation and (evaluation[0], self._y_scaler.targets(evaluation[1]))
        table = self._table(rows, std, self._y_scaler.targets(targets), scaled, callback, weight)
        length: Length[TailedLaw] = table.whole()
        with table.progress:
            if self._chooses_length(len(rows)):
                table, length = self._choose(table, targets, evaluation)
            self._learn_table(table, length)
        if length.verdict:
            self._law, self._residuals = length.verdict.law, length.verdict.residuals
        return self

    def _choose(
        self,
        table: TableTraining,
        targets: Array,
        evaluation: tuple[Array, NDArray[Any]] | None,
    ) -> tuple[TableTraining, Length[TailedLaw]]:
        """The table that networks should learn, and how long.

        Where some targets are far out, they are tried as they are, and moved in: which predicts
        rows left out better, targets as they are, is learned.
        """
        judged = targets
        if evaluation is not None and table.judges_by_evaluation:
            judged = np.vstack([targets, evaluation[1]])
        choices = [(self._y_moments, table, self._length(table, judged, self._y_scaler))]
        moved = moved_in(targets)
        if moved is not None:
            moments = Moments.of_nothing(targets.shape[1])
            moments = moments_with(moments, moved, "y", table.weight, is_all=True)
            scaler = moments.scaler()
            other = replace(table, y=scaler.targets(moved))
            if evaluation is not None and table.evaluation is not None:
                other.evaluation = replace(table.evaluation, y=scaler.targets(evaluation[1]))
            choices.append((moments, other, self._length(other, judged, scaler)))

        def loss(choice: tuple[Moments, TableTraining, Length[TailedLaw]]) -> float:
            """In the units of the targets."""
            moments, _, length = choice
            assert length.verdict is not None
            return length.verdict.loss + float(np.log(moments.scaler().scale).mean())

        self._y_moments, table, length = min(choices, key=loss)
        self._y_scaler = self._y_moments.scaler()
        return table, length

    def _length(self, table: TableTraining, y: Array, scaler: Scaler) -> Length[TailedLaw]:
        """How long to learn a table, by the likelihood of targets (rows, outputs)."""
        judge = RegressionJudge(
            *table.judged_inputs(),
            (y - scaler.mean) / scaler.scale,
            scaler.mean,
            scaler.scale,
            len(self.nets_),
            scaler.varies,
            table.encoding,
            table.judged_weights(),
        )
        return table.length(judge, self.net_.seed)

    @all_or_nothing
    def partial_fit(
        self,
        X: Any,
        y: Any,
        X_std: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
    ) -> TagiRegressor:
        """Learn more rows once, in their order.

        The first call starts the estimator, unless it has been fitted. Rows are learned in batches
        of ``batch_size``, beginning with the first row of the call; several calls with whole
        batches give the same result as one call. The units of X and y follow the stream. The first
        16 rows define their own units. Later, whenever the number of rows reaches a power of two,
        the networks are re-expressed in the units of all rows so far, which does not change their
        predictions.

        Args, Returns, Raises: as :meth:`fit`. The unit of ``sample_weight`` is the mean weight of
        the last :meth:`fit`, or 1 without a fit. Rows of weight 0 are ignored, and
        ``prequential_log_`` counts all other rows alike.
        """
        self._check_parameters()
        first = not self.__sklearn_is_fitted__()
        rows, targets = self._validated(X, y, reset=first)
        std = self._as_std(X_std, rows)
        if first:
            self._start_regression(rows.shape[1], targets.shape[1])
        else:
            self._require_outputs(targets)
        rows, targets, std, weight, _ = counted(
            sample_weight, self._weight_unit, rows, targets, std
        )
        self._learn_in_batches(rows, targets, std, weight)
        return self

    def prior(self, X: Any) -> TagiRegressor:
        """An estimator with these parameters that predicts without having learned anything.

        Its networks predict for rows like X before they have seen any row: one target, whose mean
        is 0 and whose standard deviation is about 1. Only the columns of X matter, not its values.

        Returns:
            A new estimator. Every method that predicts works, and ``partial_fit`` learns from
            there.

        Raises:
            ValueError, TypeError: as :meth:`fit`.
        """
        prior: TagiRegressor = clone(self)
        rows = validate_rows(prior, X, reset=True)
        prior._y_is_vector = True
        prior._start_regression(rows.shape[1], 1)
        return prior

    def predict(
        self,
        X: Any,
        return_std: bool = False,
        X_std: ArrayLike | None = None,
        *,
        return_cov: bool = False,
    ) -> Any:
        """Means of the targets, and, with ``return_std``, standard deviations, noise included.

        Args:
            X: rows, (n_rows, n_features); NaN is a missing value.
            return_std: whether to return standard deviations, too.
            X_std: standard deviations of X, as in :meth:`fit`.
            return_cov: whether to return, for several outputs, the covariances of the targets of
                each row: the standard deviations combined with the correlation of errors on
                held-out rows of :meth:`fit`. Without held-out rows, noise counts as independent.

        Returns:
            float64 (n_rows,), or (n_rows, n_outputs) for several outputs; with ``return_std`` a
            pair of means and standard deviations. With ``return_cov`` a pair of means and
            covariances, (n_rows, n_outputs, n_outputs), in the units of y squared.

        Raises:
            NotFittedError: before anything was learned.
            ValueError, TypeError: for a table unlike that of :meth:`fit`; ValueError for
                ``return_cov`` with ``return_std``, or of targets without columns.
        """
        if as_flag("return_cov", return_cov):
            if return_std:
                raise ValueError("return_cov: got True with return_std, needed one of them")
            return self._predict_cov(X, X_std)
        prediction = self._predict(X, X_std)
        return (prediction.mean, np.sqrt(prediction.var)) if return_std else prediction.mean

    def predict_var(self, X: Any, X_std: ArrayLike | None = None) -> PredictedVar:
        """Variances of the targets, split into epistemic variance and noise.

        Args, Raises: as :meth:`predict`.

        Returns:
            ``epistemic`` and ``aleatoric``. Missing and uncertain inputs count as epistemic.
        """
        prediction = self._predict(X, X_std)
        return PredictedVar(prediction.epistemic, prediction.aleatoric)

    def attribute_variance(self, X: Any, X_std: ArrayLike | None = None) -> VarianceParts:
        """Split the variance of each row into the parts of columns of X, networks, novelty and
        noise.

        The parts add up to the variance that :meth:`predict_var` gives. The variance from missing
        or uncertain columns is split in proportion to what each column brings while the others are
        at their means; for a linear mean this is slope^2 X_std^2. The joint effect of columns is
        split in the same proportion. A column counts with all inputs that it becomes. For a single
        network, :meth:`tagix.nn.Sequential.attribute_variance` gives the parts by layer.

        Args, Raises: as :meth:`predict`.

        Returns:
            ``inputs``, ``networks``, ``novelty``, ``noise``, and ``var``, their total, in the units
            of y squared: float64 (n_rows,), or (n_rows, n_outputs) for several outputs; ``inputs``
            (n_rows, n_columns) or (n_rows, n_outputs, n_columns). For a target that has never
            varied, ``networks`` is the whole variance.
        """
        return _importances.attribute_variance(self, X, X_std)
