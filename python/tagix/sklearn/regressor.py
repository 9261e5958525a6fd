"""Regression with error bars, on tables and streams."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from tagix._arrays import as_choice, as_count, as_flag, as_number
from tagix._core import Forgetting, Heteroscedastic, Homoscedastic
from tagix._rescaling import rescale
from tagix._training import FitCallback, check_callback
from tagix.sklearn import _ensemble, _files, _importances, _novelty, _river
from tagix.sklearn._base import (
    Float32,
    TabularEstimator,
    as_pair,
    counted,
    first_keys,
    moments_with,
    named,
)
from tagix.sklearn._compatibility import validate_rows, validate_rows_and_targets
from tagix.sklearn._ensemble import Mixture
from tagix.sklearn._importances import VarianceParts
from tagix.sklearn._judges import RegressionJudge, moved_in
from tagix.sklearn._law import TailedLaw, crps, distribution, log_density
from tagix.sklearn._missing import columns_to_indicate
from tagix.sklearn._outliers import warn_of_outliers
from tagix.sklearn._prequential import RegressionLog
from tagix.sklearn._recipe import RECIPE
from tagix.sklearn._residuals import Residuals
from tagix.sklearn._scaling import Moments, Scaler
from tagix.sklearn._table_training import Length, TableTraining
from tagix.sklearn._targets import target_of_row
from tagix.sklearn._undo import all_or_nothing

Array = NDArray[np.float64]


class PredictedVar(NamedTuple):
    """The two parts of predicted variances, in the units of y squared.

    Both float64 (n_rows,), or (n_rows, n_outputs) after a fit to such y; they add up to the square
    of the standard deviation that :meth:`TagiRegressor.predict` gives.
    """

    epistemic: Array
    """What more data could take away: the variance of the mean."""
    aleatoric: Array
    """What no data would: the noise of a target, as far as the networks know it."""


class TagiRegressor(RegressorMixin, TabularEstimator):
    """Regression with calibrated error bars.

    A few small Bayesian networks, which differ by their seeds alone, are trained by closed-form
    updates; together they predict a mean and a variance for each row. X and y are scaled inside,
    the noise of y is inferred with the weights, and the length of training is chosen by rows left
    out for a while. These rows also tell how targets lie about predictions: as Student's t, whose
    scale and degrees of freedom are fitted to them. The defaults are one recipe for all tables.

    NaN in X is a missing value, of which the rest of its row gives mean and variance; where the
    table of :meth:`fit` has such in a column, an input tells the networks that they are missing. In
    streams it has the mean and the variance of the rows so far. Targets that have never varied, as
    in a table of one row, are predicted as they were, with a standard deviation of
    |y| / (n_rows + 1), or 1 / (n_rows + 1) where they are 0.

    Before anything was learned, methods that predict raise
    :class:`sklearn.exceptions.NotFittedError`, but for :meth:`predict_one`, as River expects;
    :meth:`prior` gives an estimator that predicts all the same.

    Args:
        hidden: widths of the hidden layers, or "auto".
        noise: "heteroscedastic", noise that depends on X, "homoscedastic", the same everywhere, or
            "auto", the former; both are inferred.
        n_estimators: networks in the mixture. A stream is learned as many times faster with fewer.
        max_epochs: at most so many passes over the rows in :meth:`fit`, which has a budget of
            updates.
        batch_size: rows of an update; "auto": 16, more in :meth:`fit` with many rows.
        early_stopping: train only as long as it helps. In tables of 15 rows or more, networks first
            learn with the whole budget and with .3, .12 and .06 of it, each time all rows but a
            part, which they predict; the networks that are kept learn all rows with the best
            budget, and predict by the law of those rows. Without, it is the whole budget, and
            predictions are Gaussians, of the networks' own variances.
        forgetting: a :class:`tagix.Forgetting`, for streams whose law changes; it also tests for
            sudden changes, which ``prequential_log_`` lists. None: every row counts for ever. In
            :meth:`fit`, whose rows have no order, nothing is forgotten.
        novelty: whether rows unlike those of :meth:`fit`, between and beyond them, get epistemic
            variance besides: as much as the Gaussian process of the same prior has, which keeps the
            covariances that networks of independent weights lose (docs/uncertainty.md). Rows of
            :meth:`partial_fit` count as known from then on; :meth:`learn_one` ends it, and streams
            that were never fitted have none.
        random_state: an int, a numpy RandomState or None, for the seeds of the networks.
        fast: spend an eighth of the time in :meth:`fit`: half of the updates, one part of the
            table left out, and two networks. Errors are larger by some percent where there is
            little noise.
        n_jobs: networks that :meth:`fit` trains side by side in threads, -1 for as many as there
            are processors; None is 1. It learns the same to the bit.
        device: where the networks are, "cpu" or "cuda".
        precision: as for :class:`tagix.nn.Sequential`.
        verbose: whether fit shows a progress bar, one for all networks.

    Attributes:
        nets_ : the networks (:class:`tagix.nn.Sequential`); ``net_`` is the first.
        histories_ : what each epoch of the last fit gave, for each network (:class:`tagix.History`,
            in units of standardized y); ``history_`` is the first.
        n_iter_ : epochs of the last fit.
        n_features_in_ : columns of X.
        feature_names_in_ : their names, where X had names that are strings.
        input_names_ : (n_inputs,), what the networks see: the columns of X, or what they become.
        x_mean_, x_scale_ : (n_inputs,), the units that the networks see them in.
        y_mean_, y_scale_ : (n_outputs,), those of y; of targets far out, as they were learned.
        prequential_log_ : what predictions of a stream were worth, each made before its row was
            learned (:class:`RegressionLog`).

    Example:
        >>> model = TagiRegressor().fit(X, y)
        >>> mean, std = model.predict(X_new, return_std=True)
        >>> low, high = model.predict_interval(X_new, level=0.9).T
    """

    _log: RegressionLog
    _y_moments: Moments
    _y_scaler: Scaler
    _y_is_vector: bool
    _law: TailedLaw | None = None
    """The law of targets about the networks' mixture; None for its Gaussian."""
    _residuals: Residuals | None = None
    """Errors out of fold, where there is a law."""

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
        tags.input_tags.allow_nan = True
        tags.target_tags.multi_output = True
        return tags

    def _more_tags(self) -> dict[str, Any]:
        """The same before scikit-learn 1.6."""
        return {"allow_nan": True, "multioutput": True}

    @property
    def y_mean_(self) -> Array:
        """What is taken from y, (n_outputs,)."""
        check_is_fitted(self)
        return self._y_scaler.mean

    @property
    def y_scale_(self) -> Array:
        """What y is divided by then, (n_outputs,)."""
        check_is_fitted(self)
        return self._y_scaler.scale

    @property
    def prequential_log_(self) -> RegressionLog:
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
    ) -> TagiRegressor:
        """Learn a table from scratch.

        Args:
            X: rows, (n_rows, n_features); NaN is a missing value. In a DataFrame of pandas or
                polars, text is categories, and dates and times become numbers: ``input_names_`` has
                the names.
            y: targets, (n_rows,) or (n_rows, n_outputs).
            X_std: standard deviations of X, of its shape and in its units, where it is uncertain.
            sample_weight: (n_rows,), numbers of at least 0: a row of weight 2 counts as two with
                the same target, one of 0 not at all: what it says of the mean has a noise divided
                by its weight. Weights are relative: their mean counts as 1.
            eval_set: (X, y) of rows that are not learned. What predictions of them are worth stands
                in ``histories_``, and where they are 15 or more, ``early_stopping`` goes by them.
            callback: a function of an :class:`tagix.EpochRecord`, or a :class:`tagix.Callback`,
                called in the epochs of the networks that are kept; returning true ends the training
                of that network. With ``n_jobs`` it is called from several threads.

        Returns:
            The estimator.

        Raises:
            ValueError, TypeError: if X is not a table of numbers or shapes do not fit, for
                infinity, NaN in y, and parameters of the estimator that make no sense. After any
                exception, KeyboardInterrupt included, the estimator is as it was before.

        Warns:
            OutlierWarning: for a column that one value ruins; see :class:`OutlierWarning`.
        """
        self._check_parameters()
        check_callback(callback)
        rows, targets = self._validated(X, y, reset=True)
        std = self._as_std(X_std, rows)
        rows, targets, std, weight, unit = counted(sample_weight, None, rows, targets, std)
        evaluation = self._as_evaluation(eval_set, targets.shape[1])
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

    @all_or_nothing
    def partial_fit(
        self,
        X: Any,
        y: Any,
        X_std: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
    ) -> TagiRegressor:
        """Learn more rows, in their order, once.

        The first call starts the estimator, unless it has been fitted. Rows are learned in batches
        of ``batch_size`` from the first of the call on; the same rows in pieces of whole batches
        give the same result. The units of X and y follow the stream: those of the first 16 rows
        come from themselves, and whenever the number of rows reaches a power of two, the networks
        are re-expressed in the units of all rows so far, which does not change what they predict.

        Args, Returns, Raises: as :meth:`fit`. The unit of ``sample_weight`` is the mean weight of
        the last :meth:`fit`, and 1 where there was none; rows of weight 0 are not there, and
        ``prequential_log_`` counts all others alike.
        """
        self._check_parameters()
        first = not self.__sklearn_is_fitted__()
        rows, targets = self._validated(X, y, reset=first)
        std = self._as_std(X_std, rows)
        if first:
            self._start_regression(rows.shape[1], targets.shape[1])
        elif targets.shape[1] != self._n_outputs():
            raise ValueError(f"y: got {targets.shape[1]} outputs, needed {self._n_outputs()}")
        rows, targets, std, weight, _ = counted(
            sample_weight, self._weight_unit, rows, targets, std
        )
        batch_size = self._batch_size(0)
        for start in range(0, len(rows), batch_size):
            part = slice(start, start + batch_size)
            self._learn(
                rows[part],
                targets[part],
                None if std is None else std[part],
                None if weight is None else weight[part],
            )
        return self

    def learn_one(self, x: Mapping[Any, Any], y: Any) -> None:
        """Learn one row of a stream, as River's models do.

        Args:
            x: features by name. What a row lacks is missing; features that appear later get inputs
                of their own, with the prior's weights.
            y: the target, or a sequence of them for several outputs.

        Raises:
            TypeError, ValueError: if x is not a dict of numbers, or a target is not finite. The
                estimator is then as it was before.
        """
        stream = self._stream
        if (
            stream is not None
            and type(x) is dict
            and isinstance(y, (float, int))
            and y - y == 0  # finite
            and x.keys() <= stream.keys
        ):
            if stream.rows_left == 1:
                self._learn_by_stream(x, y)
                return
            stream.learn(x, y)
            stream.rows_left -= 1
            self._note_drifts()
            return
        self._learn_row(x, y)

    @all_or_nothing
    def _learn_row(self, x: Mapping[Any, Any], y: Any) -> None:
        """:meth:`learn_one` without the core's stream, which it begins where it can."""
        targets = np.atleast_2d(target_of_row(y))
        if not np.isfinite(targets).all():
            raise ValueError(f"y: got {y!r}, needed finite numbers")
        if not self.__sklearn_is_fitted__():
            keys = first_keys(x)
            self._y_is_vector = np.ndim(y) == 0
            self._start_regression(len(keys), targets.shape[1], keys)
        elif targets.shape[1] != self._n_outputs():
            raise ValueError(f"y: got {targets.shape[1]} outputs, needed {self._n_outputs()}")
        self._learn(self._row_of(x, learn=True), targets, None, None)
        self._begin_stream()

    def prior(self, X: Any) -> TagiRegressor:
        """An estimator with these parameters that has learned nothing, and predicts all the same.

        What networks say of rows like X before they have seen any: of one target, whose mean is 0
        and whose standard deviation is about 1. X has their columns; its values do not matter.

        Returns:
            A new estimator: every method that predicts works, ``partial_fit`` learns from there.

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
            return_std: whether to give standard deviations, too.
            X_std: standard deviations of X, as in :meth:`fit`.
            return_cov: whether to give, of several outputs, the covariances of the targets of each
                row: the standard deviations, with the correlation of the errors of rows that
                :meth:`fit` left out for a while. Where it left none out, noise counts as
                independent.

        Returns:
            float64 (n_rows,), or (n_rows, n_outputs) after a fit to such y; a pair of them with
            ``return_std``. With ``return_cov`` a pair of means and covariances, (n_rows, n_outputs,
            n_outputs), in the units of y squared.

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
        """Variances of the targets, what is not known apart from what is noise.

        Args, Raises: as :meth:`predict`.

        Returns:
            ``epistemic`` and ``aleatoric``. Missing and uncertain inputs count as not known.
        """
        prediction = self._predict(X, X_std)
        return PredictedVar(prediction.epistemic, prediction.aleatoric)

    def attribute_variance(self, X: Any, X_std: ArrayLike | None = None) -> VarianceParts:
        """What the variance of each row comes from: columns of X, networks, novelty, noise.

        The parts add up to the variance that :meth:`predict_var` gives. What comes from columns
        that are missing or uncertain is split over them in proportion to what each brings where the
        others are at their means: of a linear mean slope^2 X_std^2. What columns do together beyond
        that goes to them in the same proportion. A column counts with all inputs that it becomes.
        Of a single network, :meth:`tagix.nn.Sequential.attribute_variance` has the parts by its
        layers.

        Args, Raises: as :meth:`predict`.

        Returns:
            ``inputs``, ``networks``, ``novelty``, ``noise``, and ``var``, their total, in the units
            of y squared: float64 (n_rows,), or (n_rows, n_outputs) after a fit to such y;
            ``inputs`` (n_rows, n_columns) or (n_rows, n_outputs, n_columns). Of a target that has
            never varied, ``networks`` is all.
        """
        return _importances.attribute_variance(self, X, X_std)

    def predict_interval(
        self,
        X: Any,
        level: float = 0.9,
        X_std: ArrayLike | None = None,
        *,
        conformal: bool = False,
    ) -> Array:
        """Central intervals that hold a target with probability ``level``.

        Args:
            X, X_std: as for :meth:`predict`.
            level: between 0 and 1.
            conformal: take the ends from the ranks of the errors that networks made of rows of
                :meth:`fit` which they had not learned, in units of the standard deviations
                predicted, in place of Student's t. Such intervals hold about that share of new rows
                like those of the fit whatever the law, skewed ones too; a little more, as those
                errors are of fewer networks, which had seen fewer rows. They are infinite where
                there were too few rows for ``level``.

        Returns:
            float64 (n_rows, 2), lower and upper bounds; (n_rows, n_outputs, 2) for such y.

        Raises:
            ValueError: unless 0 < level < 1, and with ``conformal`` where :meth:`fit` has left no
                rows out: in a stream that was never fitted, without ``early_stopping``, or with
                fewer than 15 rows.
            NotFittedError, TypeError: as :meth:`predict`.
        """
        share = as_number("level", level)
        if not 0.0 < share < 1.0:
            raise ValueError(f"level: got {level!r}, needed a number between 0 and 1")
        if as_flag("conformal", conformal):
            return self._conformal_interval(X, share, X_std)
        return self.predict_quantiles(X, (0.5 - 0.5 * share, 0.5 + 0.5 * share), X_std)

    def predict_quantiles(
        self, X: Any, quantiles: ArrayLike, X_std: ArrayLike | None = None
    ) -> Array:
        """Quantiles of the targets' predicted laws.

        Args:
            X, X_std: as for :meth:`predict`.
            quantiles: probabilities between 0 and 1, exclusive: (n_quantiles,) or one.

        Returns:
            float64 (n_rows, n_quantiles); (n_rows, n_outputs, n_quantiles) for such y.
        """
        levels = np.atleast_1d(np.asarray(quantiles, dtype=np.float64))
        if levels.ndim != 1 or not ((levels > 0) & (levels < 1)).all():
            raise ValueError(f"quantiles: got {quantiles!r}, needed numbers between 0 and 1")
        prediction = self._predict(X, X_std)
        mean, std = prediction.mean[..., np.newaxis], np.sqrt(prediction.var)[..., np.newaxis]
        if self._law is None:
            reach = np.array([NormalDist().inv_cdf(level) for level in levels])
        else:
            reach = self._law.quantiles(levels)  # (outputs, levels)
            reach = reach[0] if self._y_is_vector else reach
        return np.asarray(mean + std * reach)

    def log_prob(self, X: Any, y: Any, X_std: ArrayLike | None = None) -> Array:
        """Log densities of targets by the laws that are predicted for them.

        These are the laws of :meth:`predict_interval` and :meth:`predict_quantiles`. The mean over
        rows that were not learned is the log-likelihood by which models are compared, in the units
        of y.

        Args:
            X, X_std: as for :meth:`predict`.
            y: targets, (n_rows,), or (n_rows, n_outputs) after a fit to such y.

        Returns:
            float64 natural logarithms, (n_rows,), or (n_rows, n_outputs) for such y, each output
            by itself.

        Raises:
            NotFittedError: before anything was learned.
            ValueError, TypeError: for a table unlike that of :meth:`fit`, another number of
                outputs, and targets that are not finite numbers.
        """
        targets, expected = self._expected(X, y, X_std)
        return self._by_row(log_density(self._law, targets, expected.mean, expected.var))

    def cdf(self, X: Any, y: Any, X_std: ArrayLike | None = None) -> Array:
        """Probabilities of targets below y, by the laws that are predicted for them.

        Of rows that were not learned they are spread evenly between 0 and 1 where the laws are
        right. Args, Returns (but probabilities), Raises: as :meth:`log_prob`.
        """
        reached, _ = self._reached(X, y, X_std)
        return self._by_row(distribution(self._law, reached))

    def crps(self, X: Any, y: Any, X_std: ArrayLike | None = None) -> Array:
        """Continuous ranked probability scores of targets, in the units of y: low is good.

        The integral over t of (F(t) - [y <= t])^2, with F the distribution that is predicted; for
        a law without spread it is the absolute error. Args, Returns, Raises: as :meth:`log_prob`.
        """
        reached, std = self._reached(X, y, X_std)
        return self._by_row(std * crps(self._law, reached))

    def sample_y(
        self,
        X: Any,
        n_samples: int = 1,
        random_state: Any = 0,
        X_std: ArrayLike | None = None,
    ) -> Array:
        """Draw targets as they might be, with what rows have in common.

        For each sample one network is chosen and its weights are drawn from what it believes
        (:meth:`tagix.nn.Sequential.draw`): a function, whose values at all rows belong together.
        Missing and uncertain inputs are drawn, too, and each row has noise of its own, with the
        tails of the law.

        Args:
            X, X_std: as for :meth:`predict`.
            n_samples: how many.
            random_state: an int, a numpy RandomState or None.

        Returns:
            float64 (n_rows, n_samples), or (n_rows, n_outputs, n_samples) for such y.
        """
        count = as_count("n_samples", n_samples, least=1)
        generator = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))
        check_is_fitted(self)
        x, x_var = self._inputs_to_predict(X, X_std)
        samples = np.empty((count, len(x), self._n_outputs()))
        mixture = _ensemble.predict(self.nets_, x, x_var, self._encoding)
        moments = self._in_units(mixture)
        varies, scale = self._y_scaler.varies, self._y_scaler.scale
        tiny = np.finfo(np.float64).tiny
        # What the law makes of standard deviations, those of functions and those of noise; of
        # what never varied there is neither.
        learned = np.where(varies, moments.epistemic, 0.0), np.where(varies, moments.aleatoric, 0.0)
        of_function = np.sqrt(learned[0] / np.maximum(mixture.epistemic, tiny)) / scale
        of_noise = np.sqrt(learned[1] / np.maximum(mixture.aleatoric, tiny)) / scale
        for sample in samples:
            inputs = x
            if x_var is not None:
                noise = generator.standard_normal(x.shape)
                inputs = (x + np.sqrt(x_var) * noise).astype(np.float32)
            member = self.nets_[generator.integers(len(self.nets_))]
            function = _ensemble.predict(
                [member.draw(int(generator.integers(2**62)))], inputs, None, self._encoding
            )
            if self._residuals is None:
                noise = generator.standard_normal(function.mean.shape)
            else:
                noise = self._residuals.draw(generator, len(x))
            if self._law is not None:
                noise *= self._law.tails(generator, len(x))
            sample[:] = mixture.mean + of_function * (function.mean - mixture.mean)
            sample += of_noise * np.sqrt(function.aleatoric) * noise
        if not varies.all():  # what rows have in common is then all there is
            samples[..., ~varies] = generator.standard_normal((count, 1, int((~varies).sum())))
        samples = samples * np.where(varies, scale, self._constant_std()) + self._y_scaler.mean
        if self._novelty is not None:
            samples += self._novelty.draw(x, moments.mean, count, generator)
        return np.asarray(np.moveaxis(samples[..., 0] if self._y_is_vector else samples, 0, -1))

    def predict_one(self, x: Mapping[Any, Any], return_std: bool = False) -> Any:
        """The mean for a row of a stream, and its standard deviation with ``return_std``.

        Features that the estimator does not know are left out, those that the row lacks are
        missing. Before anything was learned it is the prior's, without regard to x.

        Returns:
            A float, or an array (n_outputs,) for several outputs; a pair of them with
            ``return_std``.
        """
        if self._stream is not None and self._stream.has_all_of(x):
            mean, var = self._stream.predict(x)
            return (mean, math.sqrt(var)) if return_std else mean
        model: TagiRegressor = self
        if self.__sklearn_is_fitted__():
            inputs = self._x_scaler.inputs(self._row_of(x, learn=False))
        else:
            model = clone(self)
            keys = first_keys(x)
            model._y_is_vector = True
            model._start_regression(len(keys), 1, keys)
            # The units of x are not known yet: its values say nothing.
            inputs = model._x_scaler.inputs(np.full((1, len(x)), np.nan))
        mixture = model._predict_rows(*inputs)
        mean, std = mixture.mean[0], np.sqrt(mixture.var)[0]
        if model._y_is_vector:
            return (float(mean[0]), float(std[0])) if return_std else float(mean[0])
        return (mean, std) if return_std else mean

    def _check_parameters(self) -> None:
        super()._check_parameters()
        as_choice("noise", self.noise, ("auto", "heteroscedastic", "homoscedastic"))

    def _n_outputs(self) -> int:
        return len(self._y_scaler.mean)

    def _network_arguments(self) -> dict[str, Any]:
        if self.noise == "homoscedastic":
            return {"noise": Homoscedastic(learn=True)}
        return {"noise": Heteroscedastic()}

    def _validated(self, X: Any, y: Any, *, reset: bool) -> tuple[Array, Array]:
        rows, targets = validate_rows_and_targets(
            self, X, y, reset=reset, multi_output=True, y_numeric=True
        )
        targets = np.asarray(targets, dtype=np.float64)
        if reset:
            self._y_is_vector = targets.ndim == 1
        return rows, targets.reshape(len(rows), -1)

    def _as_evaluation(self, eval_set: Any, n_outputs: int) -> Any:
        """Rows and targets of ``eval_set``, (rows, outputs); None for none."""
        if eval_set is None:
            return None
        with named("eval_set"):
            rows, targets = self._validated(*as_pair(eval_set), reset=False)
            if targets.shape[1] != n_outputs:
                raise ValueError(f"y: got {targets.shape[1]} outputs, needed {n_outputs}")
        return rows, targets

    def _start_regression(
        self,
        n_features: int,
        n_outputs: int,
        keys: list[Any] | None = None,
        for_table: bool = False,
    ) -> None:
        self._y_moments = Moments.of_nothing(n_outputs)
        self._y_scaler = Scaler.identity(n_outputs)
        self._law = self._residuals = None
        self._log = RegressionLog()
        self._start(n_features, keys, for_table)

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

    def _learn(self, X: Array, y: Array, std: Array | None, weight: Array | None) -> None:
        """Learn a batch of a stream, and log what was expected of it."""
        moments = moments_with(self._y_moments, y, "y", weight)
        # In units that do not come from these rows.
        counts = self._settled and bool(self._y_scaler.varies.all())
        if not self._settled:
            self._y_scaler = moments.scaler()
        elif not counts:
            scaler = moments.scaler()
            if (scaler.varies & ~self._y_scaler.varies).any():  # for the first time
                self._take_over_target_units(scaler)

        def update(x: Float32, x_var: Float32 | None) -> None:
            scaled = self._y_scaler.targets(y)
            before = _ensemble.update(self.nets_, x, scaled, x_var, weight, self._encoding)
            if self._novelty is not None:
                self._novelty = self._novelty.with_rows(x, y, weight)
            if counts:
                before = self._in_units(before)
                self._log.add(y, before.mean, before.var, self._law)
            self._y_moments = moments

        self._learn_batch(X, std, weight, update)
        self._note_drifts()

    def _units(self) -> list[tuple[Scaler, Moments]]:
        return [(self._x_scaler, self._x_moments), (self._y_scaler, self._y_moments)]

    def _sums(self) -> list[float]:
        log = self._log
        errors = [log.log_likelihood, log.squared_error, log.absolute_error, log.covered]
        return [float(log.n_rows), *errors, 0.0]

    def _set_sums(self, sums: list[float]) -> None:
        log = self._log
        log.n_rows = int(sums[0])
        log.log_likelihood, log.squared_error, log.absolute_error, log.covered = sums[1:5]

    def _set_moments(self, inputs: Moments, target: Moments) -> None:
        super()._set_moments(inputs, target)
        self._y_moments = target

    def _fits_the_core(self) -> bool:
        # The core's predictions are Gaussians.
        return super()._fits_the_core() and self._y_is_vector and self._law is None

    def _take_over_units(self) -> None:
        super()._take_over_units()
        self._take_over_target_units(self._y_moments.scaler())

    def _take_over_target_units(self, scaler: Scaler) -> None:
        for net in self.nets_:
            rescale(net, targets=self._y_scaler.units_towards(scaler))
        self._y_scaler = scaler

    def _describe_targets(self, tensors: _files.Tensors) -> dict[str, Any]:
        _files.put_units(tensors, "y", self._y_scaler, self._y_moments)
        if self._law is not None:
            tensors["law"] = self._law.array()
        if self._residuals is not None:
            self._residuals.describe(tensors)
        return {
            "y_is_vector": self._y_is_vector,
            "has_law": self._law is not None,
            "has_residuals": self._residuals is not None,
        }

    def _read_targets(self, learned: Any, tensors: _files.Tensors) -> None:
        n_outputs = tensors["y"].shape[-1] if "y" in tensors and tensors["y"].ndim else 0
        self._y_scaler, self._y_moments = _files.take_units(tensors, "y", n_outputs)
        self._law = None
        if learned.flag("has_law"):
            shape = (n_outputs, TailedLaw.n_numbers())
            self._law = TailedLaw.of_array(_files.take_array(tensors, "law", shape))
        has_residuals = learned.flag("has_residuals")
        self._residuals = Residuals.read(tensors, n_outputs) if has_residuals else None
        self._y_is_vector = learned.flag("y_is_vector")
        if self._y_is_vector and n_outputs != 1:
            raise ValueError(f"y: got {n_outputs} outputs, needed 1 for targets without columns")
        self._log = RegressionLog()

    def _predict(self, X: Any, X_std: Any) -> Mixture:
        """Moments of targets in their own units, the first dimension of which are rows."""
        check_is_fitted(self)
        mixture = self._predict_rows(*self._inputs_to_predict(X, X_std))
        return Mixture(*(part[:, 0] for part in mixture)) if self._y_is_vector else mixture

    def _predict_rows(self, x: Float32, x_var: Float32 | None) -> Mixture:
        """Of standardized inputs: the networks' mixture, and what is not known of novel rows."""
        mixture = self._in_units(_ensemble.predict(self.nets_, x, x_var, self._encoding))
        if self._novelty is None:
            return mixture
        excess = self._novelty.excess(x, mixture.mean)
        return mixture._replace(epistemic=mixture.epistemic + excess)

    def _expected(self, X: Any, y: Any, X_std: Any) -> tuple[Array, Mixture]:
        """Targets (rows, outputs), and what is predicted of them."""
        check_is_fitted(self)
        rows, targets = self._validated(X, y, reset=False)
        return targets, self._expected_of(rows, targets, self._as_std(X_std, rows))

    def _expected_of(self, rows: Array, targets: Array, std: Array | None) -> Mixture:
        """What is predicted of targets (rows, outputs), which have to be as many as there are."""
        if targets.shape[1] != self._n_outputs():
            raise ValueError(f"y: got {targets.shape[1]} outputs, needed {self._n_outputs()}")
        return self._predict_rows(*self._x_scaler.inputs(rows, std))

    def _log_likelihoods(self, rows: Array, targets: NDArray[Any]) -> Array:
        expected = self._expected_of(rows, targets, None)
        return log_density(self._law, targets, expected.mean, expected.var)

    def _reached(self, X: Any, y: Any, X_std: Any) -> tuple[Array, Array]:
        """How far targets are from their means, in standard deviations, and these."""
        targets, expected = self._expected(X, y, X_std)
        std = np.sqrt(expected.var)
        return (targets - expected.mean) / std, std

    def _by_row(self, values: Array) -> Array:
        """(rows,) of (rows, outputs) after a fit to such y."""
        return values[:, 0] if self._y_is_vector else values

    def _conformal_interval(self, X: Any, level: float, X_std: Any) -> Array:
        check_is_fitted(self)
        if self._residuals is None:
            raise ValueError(
                "conformal: got True, needed a fit that left rows out: of 15 rows or more, with "
                "early_stopping"
            )
        ends = self._residuals.interval(level)  # (outputs, 2)
        if self._y_is_vector:
            ends = ends[0]
        prediction = self._predict(X, X_std)
        mean, std = prediction.mean[..., np.newaxis], np.sqrt(prediction.var)[..., np.newaxis]
        interval = np.asarray(mean + std * ends)
        varies = self._y_scaler.varies
        if not varies.all():  # a constant's errors were all 0, which says nothing of the next
            of_law = self.predict_quantiles(X, (0.5 - 0.5 * level, 0.5 + 0.5 * level), X_std)
            interval[:, ~varies] = of_law[:, ~varies]
        return interval

    def _predict_cov(self, X: Any, X_std: Any) -> tuple[Array, Array]:
        check_is_fitted(self)
        if self._y_is_vector:
            raise ValueError(
                "return_cov: got True, needed a fit to targets (n_rows, n_outputs); of one target, "
                "return_std says all"
            )
        x, x_var = self._inputs_to_predict(X, X_std)
        mixture = self._in_units(_ensemble.predict(self.nets_, x, x_var, self._encoding))
        of_networks, of_inputs = _ensemble.covariance(self.nets_, x, x_var, self._encoding)
        scale = np.where(self._y_scaler.varies, self._y_scaler.scale, 0.0)
        own = mixture.var - mixture.of_inputs
        if self._residuals is None:
            cov = of_networks * scale[:, np.newaxis] * scale
        else:
            std = np.sqrt(own)
            cov = self._residuals.correlation * std[:, :, np.newaxis] * std[:, np.newaxis]
        diagonal = np.arange(len(scale))
        cov[:, diagonal, diagonal] = own
        cov += of_inputs * scale[:, np.newaxis] * scale
        if self._novelty is not None:
            cov[:, diagonal, diagonal] += self._novelty.excess(x, mixture.mean)
        return mixture.mean, cov

    def _learn_novelty(self, x: Float32, y: NDArray[Any], weight: Array | None) -> _novelty.Novelty:
        varies = self._y_scaler.varies  # a constant is known wherever X goes
        y, scale = np.where(varies, y, 0.0), np.where(varies, self._y_scaler.scale, 0.0)
        mean = np.average(y.astype(np.float64), axis=0, weights=weight)
        hidden = self._hidden_widths(for_table=True)
        novelty = _novelty.learn(self.nets_, x, y - mean, hidden, weight, self._encoding)
        return replace(
            novelty,
            amplitude=novelty.amplitude * scale**2,
            sums=novelty.sums * scale,
            centre=self._y_scaler.mean + mean * scale,
        )

    def _n_novelty_outputs(self) -> int:
        return self._n_outputs()

    def _in_units(self, mixture: Mixture) -> Mixture:
        """Moments of targets in their own units, by their law; constants where none varied."""
        scaler = self._y_scaler
        mean = mixture.mean * scaler.scale + scaler.mean
        epistemic, aleatoric, of_inputs = (part * scaler.scale**2 for part in mixture[1:])
        if self._law is not None:
            # What is not known of inputs does not concern the law. Of the rest, both parts are in
            # proportion: rows left out tell of their sum alone.
            own = epistemic - of_inputs + aleatoric
            change = self._law.var(mean, own) / own
            epistemic = (epistemic - of_inputs) * change + of_inputs
            aleatoric = aleatoric * change
        if not scaler.varies.all():
            # So that squares neither overflow nor vanish, whatever the constant.
            limits = np.finfo(np.float64)
            with np.errstate(over="ignore", under="ignore"):
                constant_var = np.clip(self._constant_std() ** 2, limits.tiny, limits.max)
            mean = np.where(scaler.varies, mean, scaler.mean)
            epistemic = np.where(scaler.varies, epistemic, constant_var)
            aleatoric = np.where(scaler.varies, aleatoric, 0.0)
            of_inputs = np.where(scaler.varies, of_inputs, 0.0)
        return Mixture(mean, epistemic, aleatoric, of_inputs)

    def _constant_std(self) -> Array:
        """How far from its constant a target may be that has never varied, (n_outputs,).

        After n equal numbers another one has a probability of about 1 / (n + 1) (Laplace's rule of
        succession); what it would be is not known, and differs, say, by as much as the constant
        from 0, or by 1 from 0 itself: an expected deviation of |constant| / (n + 1).
        """
        magnitude = np.abs(self._y_scaler.mean)
        return np.asarray(np.where(magnitude > 0, magnitude, 1.0) / (self._y_moments.count + 1.0))
