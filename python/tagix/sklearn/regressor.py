"""Regression with error bars, on tables and streams."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin, clone
from sklearn.utils import check_random_state

from tagix._arrays import as_choice, as_count, as_number
from tagix._core import Forgetting, Heteroscedastic, Homoscedastic
from tagix._rescaling import rescale
from tagix.sklearn import _ensemble, _files, _river
from tagix.sklearn._base import Float32, TabularEstimator, first_keys, moments_with
from tagix.sklearn._compatibility import validate_rows, validate_rows_and_targets
from tagix.sklearn._ensemble import Mixture
from tagix.sklearn._judges import RegressionJudge, moved_in
from tagix.sklearn._law import TailedLaw
from tagix.sklearn._prequential import RegressionLog
from tagix.sklearn._recipe import RECIPE
from tagix.sklearn._scaling import Moments, Scaler
from tagix.sklearn._table_training import Length, TableTraining

Array = NDArray[np.float64]


class TagiRegressor(RegressorMixin, TabularEstimator):
    """Regression with calibrated error bars.

    A few small Bayesian networks, which differ by their seeds alone, are trained by closed-form
    updates; together they predict a mean and a variance for each row. X and y are scaled inside,
    the noise of y is inferred with the weights, and the length of training is chosen by rows left
    out for a while. These rows also tell how targets lie about predictions: as Student's t, whose
    scale and degrees of freedom are fitted to them. The defaults are one recipe for all tables.

    NaN in X is a missing value, of which the network is told the training data's mean and
    variance. Before any fit, predictions are the prior's, for targets of mean 0 and a standard
    deviation of about 1.

    Args:
        hidden: widths of the hidden layers, or "auto".
        noise: "heteroscedastic", noise that depends on X, "homoscedastic", the same everywhere, or
            "auto", the former; both are inferred.
        n_estimators: networks in the mixture. A stream is learned as many times faster with fewer.
        max_epochs: at most so many passes over the rows in :meth:`fit`, which has a budget of
            updates. A random walk that keeps the weights uncertain becomes smaller until there is
            none.
        batch_size: rows of an update; "auto": 16, more in :meth:`fit` with many rows.
        early_stopping: train only as long as it helps. In tables of 15 rows or more, networks first
            learn with the whole budget, a quarter and a sixteenth of it, each time all rows but a
            part, which they predict; the networks that are kept learn all rows with the best
            budget, and predict by the law of those rows. Without, it is the whole budget, and
            predictions are Gaussians, of the networks' own variances.
        forgetting: a :class:`tagix.Forgetting`, for streams whose law changes; it also tests for
            sudden changes, which ``prequential_log_`` lists. None: every row counts for ever. In
            :meth:`fit`, whose rows have no order, nothing is forgotten.
        random_state: an int, a numpy RandomState or None, for the seeds of the networks.
        device: where the networks are, "cpu" or "cuda".
        precision: as for :class:`tagix.nn.Sequential`.
        verbose: whether fit shows a progress bar.

    Attributes:
        nets_ : the networks (:class:`tagix.nn.Sequential`); ``net_`` is the first.
        histories_ : what each epoch of the last fit gave, for each network (:class:`tagix.History`,
            in units of standardized y); ``history_`` is the first.
        n_iter_ : epochs of the last fit.
        n_features_in_ : columns of X.
        feature_names_in_ : their names, where X had names that are strings.
        x_mean_, x_scale_ : (n_features,), the units that the networks see X in.
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
        random_state: Any = None,
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
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.verbose = verbose
        _river.register_if_imported(regressor=TagiRegressor)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.allow_nan = True
        tags.target_tags.multi_output = True
        return tags

    def _more_tags(self) -> dict[str, Any]:
        """The same before scikit-learn 1.6."""
        return {"requires_fit": False, "allow_nan": True, "multioutput": True}

    @property
    def y_mean_(self) -> Array:
        """What is taken from y, (n_outputs,)."""
        return self._y_scaler.mean

    @property
    def y_scale_(self) -> Array:
        """What y is divided by then, (n_outputs,)."""
        return self._y_scaler.scale

    @property
    def prequential_log_(self) -> RegressionLog:
        """What predictions of a stream were worth, each made before its row was learned."""
        self._take_in_stream()
        return self._log

    def fit(self, X: Any, y: Any, X_std: ArrayLike | None = None) -> TagiRegressor:
        """Learn a table from scratch.

        Args:
            X: rows, (n_rows, n_features); NaN is a missing value.
            y: targets, (n_rows,) or (n_rows, n_outputs).
            X_std: standard deviations of X, of its shape and in its units, where it is uncertain.

        Returns:
            The estimator.

        Raises:
            ValueError, TypeError: for what is no table of numbers, wrong shapes, infinity, NaN in
                y, and parameters of the estimator that make no sense.
        """
        rows, targets = self._validated(X, y, reset=True)
        std = self._as_std(X_std, rows)
        self._start_regression(rows.shape[1], targets.shape[1], for_table=True)
        self._x_moments = moments_with(self._x_moments, rows, "X")
        self._y_moments = moments_with(self._y_moments, targets, "y")
        self._x_scaler, self._y_scaler = self._x_moments.scaler(), self._y_moments.scaler()
        table = self._table(rows, std, self._y_scaler.targets(targets))
        length: Length[TailedLaw] = table.whole()
        if self._chooses_length(len(rows)):
            table, length = self._choose(table, targets)
        self._learn_table(table, length)
        self._law = length.verdict.law if length.verdict else None
        return self

    def _choose(
        self, table: TableTraining, targets: Array
    ) -> tuple[TableTraining, Length[TailedLaw]]:
        """The table that networks should learn, and how long.

        Where some targets are far out, they are tried as they are, and moved in: which predicts
        rows left out better, targets as they are, is learned.
        """
        choices = [(self._y_moments, table, self._length(table, targets, self._y_scaler))]
        moved = moved_in(targets)
        if moved is not None:
            moments = moments_with(Moments.of_nothing(targets.shape[1]), moved, "y")
            scaler = moments.scaler()
            other = replace(table, y=scaler.targets(moved))
            choices.append((moments, other, self._length(other, targets, scaler)))

        def loss(choice: tuple[Moments, TableTraining, Length[TailedLaw]]) -> float:
            """In the units of the targets."""
            moments, _, length = choice
            assert length.verdict is not None
            return length.verdict.loss + float(np.log(moments.scaler().scale).mean())

        self._y_moments, table, length = min(choices, key=loss)
        self._y_scaler = self._y_moments.scaler()
        return table, length

    def partial_fit(self, X: Any, y: Any, X_std: ArrayLike | None = None) -> TagiRegressor:
        """Learn more rows, in their order, once.

        The first call starts the estimator, unless it has been fitted. Rows are learned in batches
        of ``batch_size`` from the first of the call on; the same rows in pieces of whole batches
        give the same result. The units of X and y follow the stream: those of the first 16 rows
        come from themselves, and whenever the number of rows reaches a power of two, the networks
        are re-expressed in the units of all rows so far, which does not change what they predict.

        Args, Returns, Raises: as :meth:`fit`.
        """
        first = not self.__sklearn_is_fitted__()
        rows, targets = self._validated(X, y, reset=first)
        std = self._as_std(X_std, rows)
        if first:
            self._start_regression(rows.shape[1], targets.shape[1])
        elif targets.shape[1] != len(self.y_mean_):
            raise ValueError(f"y: got {targets.shape[1]} outputs, needed {len(self.y_mean_)}")
        batch_size = self._batch_size(0)
        for start in range(0, len(rows), batch_size):
            part = slice(start, start + batch_size)
            self._learn(rows[part], targets[part], None if std is None else std[part])
        return self

    def learn_one(self, x: Mapping[Any, Any], y: Any) -> None:
        """Learn one row of a stream, as River's models do.

        Args:
            x: features by name. What a row lacks is missing; features that appear later get inputs
                of their own, with the prior's weights.
            y: the target, or a sequence of them for several outputs.

        Raises:
            TypeError, ValueError: for what is no dict of numbers, and a target that is not finite.
        """
        stream = self._stream
        if (
            stream is not None
            and type(x) is dict
            and isinstance(y, (float, int))
            and y - y == 0  # finite
            and x.keys() <= stream.keys
        ):
            stream.learn(x, y)
            self._note_drifts()
            return
        targets = np.atleast_2d(np.asarray(y, dtype=np.float64))
        if not np.isfinite(targets).all():
            raise ValueError(f"y: got {y!r}, needed finite numbers")
        if not self.__sklearn_is_fitted__():
            keys = first_keys(x)
            self._y_is_vector = np.ndim(y) == 0
            self._start_regression(len(keys), targets.shape[1], keys)
        elif targets.shape[1] != len(self.y_mean_):
            raise ValueError(f"y: got {targets.shape[1]} outputs, needed {len(self.y_mean_)}")
        self._learn(self._row_of(x, learn=True), targets, None)
        self._begin_stream()

    def predict(self, X: Any, return_std: bool = False, X_std: ArrayLike | None = None) -> Any:
        """Means of the targets, and, with ``return_std``, standard deviations, noise included.

        Args:
            X: rows, (n_rows, n_features); NaN is a missing value.
            return_std: whether to give standard deviations, too.
            X_std: standard deviations of X, as in :meth:`fit`.

        Returns:
            float64 (n_rows,), or (n_rows, n_outputs) after a fit to such y; a pair of them with
            ``return_std``. Before any fit, the prior's prediction for one output.
        """
        prediction = self._predict(X, X_std)
        return (prediction.mean, np.sqrt(prediction.var)) if return_std else prediction.mean

    def predict_interval(self, X: Any, level: float = 0.9, X_std: ArrayLike | None = None) -> Array:
        """Central intervals that hold a target with probability ``level``.

        Returns:
            float64 (n_rows, 2), lower and upper bounds; (n_rows, n_outputs, 2) for such y.

        Raises ValueError unless 0 < level < 1; else as :meth:`predict`.
        """
        share = as_number("level", level)
        if not 0.0 < share < 1.0:
            raise ValueError(f"level: got {level!r}, needed a number between 0 and 1")
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
        model = self._or_prior(X)
        x, x_var = model._inputs_to_predict(X, X_std)
        samples = np.empty((count, len(x), model._n_outputs()))
        mixture = _ensemble.predict(model.nets_, x, x_var)
        moments = model._in_units(mixture)
        tiny = np.finfo(np.float64).tiny
        # What the law makes of standard deviations, those of functions and those of noise.
        of_function = np.sqrt(moments.epistemic / np.maximum(mixture.epistemic, tiny))
        of_noise = np.sqrt(moments.aleatoric / np.maximum(mixture.aleatoric, tiny))
        of_function, of_noise = of_function / model.y_scale_, of_noise / model.y_scale_
        for sample in samples:
            inputs = x
            if x_var is not None:
                noise = generator.standard_normal(x.shape)
                inputs = (x + np.sqrt(x_var) * noise).astype(np.float32)
            member = model.nets_[generator.integers(len(model.nets_))]
            function = _ensemble.predict(
                [member.draw(int(generator.integers(2**62)))], inputs, None
            )
            noise = generator.standard_normal(function.mean.shape)
            if model._law is not None:
                noise *= model._law.tails(generator, len(x))
            sample[:] = mixture.mean + of_function * (function.mean - mixture.mean)
            sample += of_noise * np.sqrt(function.aleatoric) * noise
        samples = samples * model.y_scale_ + model.y_mean_
        return np.asarray(np.moveaxis(samples[..., 0] if model._y_is_vector else samples, 0, -1))

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
        mixture = model._in_units(_ensemble.predict(model.nets_, *inputs))
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

    def _start_regression(
        self,
        n_features: int,
        n_outputs: int,
        keys: list[Any] | None = None,
        for_table: bool = False,
    ) -> None:
        self._y_moments = Moments.of_nothing(n_outputs)
        self._y_scaler = Scaler.identity(n_outputs)
        self._law = None
        self._log = RegressionLog()
        self._start(n_features, keys, for_table)

    def _length(self, table: TableTraining, y: Array, scaler: Scaler) -> Length[TailedLaw]:
        """How long to learn a table, by the likelihood of targets (rows, outputs)."""
        standardized = (y - scaler.mean) / scaler.scale
        judge = RegressionJudge(
            table.x, table.x_var, standardized, scaler.mean, scaler.scale, len(self.nets_)
        )
        return table.length(judge, self.net_.seed)

    def _learn(self, X: Array, y: Array, std: Array | None) -> None:
        """Learn a batch of a stream, and log what was expected of it."""
        moments = moments_with(self._y_moments, y, "y")
        counts = self._settled  # in units that do not come from these rows
        if not counts:
            self._y_scaler = moments.scaler()

        def update(x: Float32, x_var: Float32 | None) -> None:
            before = _ensemble.update(self.nets_, x, self._y_scaler.targets(y), x_var)
            self._y_moments = moments
            if counts:
                before = self._in_units(before)
                self._log.add(y, before.mean, before.var, self._law)

        self._learn_batch(X, std, update)
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
        scaler = self._y_moments.scaler()
        for net in self.nets_:
            rescale(net, targets=self._y_scaler.units_towards(scaler))
        self._y_scaler = scaler

    def _describe_targets(self, tensors: _files.Tensors) -> dict[str, Any]:
        _files.put_units(tensors, "y", self._y_scaler, self._y_moments)
        if self._law is not None:
            tensors["law"] = self._law.array()
        return {"y_is_vector": self._y_is_vector, "has_law": self._law is not None}

    def _read_targets(self, learned: Any, tensors: _files.Tensors) -> None:
        n_outputs = tensors["y"].shape[-1] if "y" in tensors and tensors["y"].ndim else 0
        self._y_scaler, self._y_moments = _files.take_units(tensors, "y", n_outputs)
        self._law = None
        if learned.flag("has_law"):
            shape = (n_outputs, TailedLaw.n_numbers())
            self._law = TailedLaw.of_array(_files.take_array(tensors, "law", shape))
        self._y_is_vector = learned.flag("y_is_vector")
        if self._y_is_vector and n_outputs != 1:
            raise ValueError(f"y: got {n_outputs} outputs, needed 1 for targets without columns")
        self._log = RegressionLog()

    def _or_prior(self, X: Any) -> TagiRegressor:
        """The estimator, or one that has learned nothing for rows as wide as X."""
        if self.__sklearn_is_fitted__():
            return self
        prior: TagiRegressor = clone(self)
        rows = validate_rows(prior, X, reset=True)
        prior._y_is_vector = True
        prior._start_regression(rows.shape[1], 1)
        return prior

    def _predict(self, X: Any, X_std: Any) -> Mixture:
        """Moments of targets in their own units, the first dimension of which are rows."""
        model = self._or_prior(X)
        mixture = _ensemble.predict(model.nets_, *model._inputs_to_predict(X, X_std))
        mixture = model._in_units(mixture)
        return Mixture(*(part[:, 0] for part in mixture)) if model._y_is_vector else mixture

    def _in_units(self, mixture: Mixture) -> Mixture:
        """Moments of targets in their own units, by their law."""
        scale = self.y_scale_
        mean = mixture.mean * scale + self.y_mean_
        parts = [part * scale**2 for part in mixture[1:]]
        if self._law is None:
            return Mixture(mean, *parts)
        epistemic, aleatoric, of_inputs = parts
        # What is not known of inputs is no matter of the law. Of the rest, both parts are in
        # proportion: rows left out tell of their sum alone.
        own = epistemic - of_inputs + aleatoric
        change = self._law.var(mean, own) / own
        epistemic = (epistemic - of_inputs) * change + of_inputs
        return Mixture(mean, epistemic, aleatoric * change, of_inputs)
