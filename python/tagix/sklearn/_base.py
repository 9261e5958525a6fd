"""What the estimators for tables share: units, networks, uncertain inputs and streams."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from tagix import _core, nn
from tagix._arrays import MOST, as_choice, as_count, as_flag
from tagix._core import Forgetting
from tagix._rescaling import rescale
from tagix._table_format import TableFormat
from tagix._training import FitCallback, History
from tagix._weights import as_weights
from tagix.sklearn import _files, _importances, _novelty
from tagix.sklearn._columns import ColumnEncoder
from tagix.sklearn._compatibility import as_rows, input_names, validate_rows
from tagix.sklearn._core_stream import CoreStream, can_stream
from tagix.sklearn._encoding import Encoding
from tagix.sklearn._encoding import n_inputs as n_inputs_of
from tagix.sklearn._growth import wider
from tagix.sklearn._importances import Importances
from tagix.sklearn._missing import MOST_COLUMNS, Links, TableScaler
from tagix.sklearn._novelty import Novelty
from tagix.sklearn._prequential import PrequentialLog
from tagix.sklearn._recipe import RECIPE
from tagix.sklearn._scaling import LARGEST_MEAN, OVERFLOW, Moments, Scaler, have_one_unit
from tagix.sklearn._side_by_side import Progress, SideBySide
from tagix.sklearn._table_training import Evaluation, Length, NetworkMaker, TableTraining
from tagix.sklearn._undo import all_or_nothing
from tagix.sklearn._values import feature_number

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]

# So many rows of a stream give units that a network can be re-expressed in. Before, the units
# follow every batch, and the network, which has hardly learned, stays as it is.
SETTLED_ROWS = 16

# What networks in a file may have found beyond what its log says: in one that was saved, nothing.
MOST_UNNOTED_DRIFTS = 1000


class TabularEstimator(BaseEstimator):
    """Networks that see rows of numbers in standardized units; for what targets are, see the rest.

    A derived class has the parameters of :class:`TagiRegressor` but ``noise``, and gives what here
    raises NotImplementedError. It learns tables by :meth:`_train`, and batches of a stream by
    :meth:`_learn_batch`.
    """

    _supervised = True  # for River's pipelines

    hidden: str | Sequence[int]
    n_estimators: int
    max_epochs: int
    batch_size: str | int
    early_stopping: bool
    forgetting: Forgetting | None
    novelty: bool
    random_state: Any
    fast: bool
    n_jobs: int | None
    device: str
    precision: str
    verbose: int | bool

    nets_: list[nn.Sequential]
    histories_: list[History]
    n_features_in_: int
    feature_names_in_: NDArray[Any]
    _x_moments: Moments
    _x_scaler: Scaler
    _n_rows: int
    _settled: bool
    _drifts_in_fit: int
    _weight_unit: float
    _feature_keys: list[Any] | None
    _log: PrequentialLog
    _encoder: ColumnEncoder | None = None
    _encoding: Encoding | None = None
    """What networks see of standardized rows of a table; None in streams: the rows."""
    _novelty: Novelty | None = None
    _stream: CoreStream | None = None
    _table_format: TableFormat | None = None

    def _n_outputs(self) -> int:
        """Outputs of a network."""
        raise NotImplementedError

    def _network_arguments(self) -> dict[str, Any]:
        """What a network is made with for its targets: noise or likelihood."""
        raise NotImplementedError

    def _learn_novelty(self, x: Float32, y: NDArray[Any], weight: Array | None) -> Novelty:
        """What the rows of a fit say of others, once networks have learned them."""
        raise NotImplementedError

    def _validated(self, X: Any, y: Any, *, reset: bool) -> tuple[Array, NDArray[Any]]:
        """X as float64 (rows, inputs), and targets, numbers (rows, outputs) or labels (rows,)."""
        raise NotImplementedError

    def _log_likelihoods(self, rows: Array, targets: NDArray[Any]) -> Array:
        """Log densities or log probabilities of targets, of what :meth:`_validated` gave."""
        raise NotImplementedError

    def _n_novelty_outputs(self) -> int:
        """Columns of what :class:`Novelty` says of a row."""
        raise NotImplementedError

    @property
    def net_(self) -> nn.Sequential:
        """The first of the networks."""
        check_is_fitted(self)
        return self.nets_[0]

    @property
    def history_(self) -> History:
        """What each epoch of the last fit of the first network gave."""
        check_is_fitted(self)
        return self.histories_[0]

    @property
    def n_iter_(self) -> int:
        """Epochs of the last fit, those of the network that took most."""
        check_is_fitted(self)
        return max(len(history.train_mse) for history in self.histories_)

    @property
    def input_names_(self) -> NDArray[Any]:
        """Names of what the networks see, (n_inputs,): the columns of X, or what they become.

        A column of categories becomes an input for each of them, ``column_category``; every other
        one is an input of its name, ``x0``, ``x1``, ... where X had no names.
        """
        return input_names(self)

    @property
    def x_mean_(self) -> Array:
        """What is taken from each input, (n_inputs,)."""
        check_is_fitted(self)
        return self._x_scaler.mean

    @property
    def x_scale_(self) -> Array:
        """What each input is divided by then, (n_inputs,)."""
        check_is_fitted(self)
        return self._x_scaler.scale

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "nets_")

    def _check_parameters(self) -> None:
        """ValueError or TypeError, with its name, for a parameter that makes no sense."""
        as_count("n_estimators", self.n_estimators, least=1)
        as_count("max_epochs", self.max_epochs, least=1)
        as_flag("early_stopping", self.early_stopping)
        as_flag("novelty", self.novelty)
        as_flag("fast", self.fast)
        self._hidden_widths()
        if self.batch_size != "auto":
            as_count("batch_size", self.batch_size, least=1)
        if self.n_jobs is not None and as_count("n_jobs", self.n_jobs, least=-MOST) == 0:
            raise ValueError("n_jobs: got 0, needed a number of threads, -1 or None")

    def _hidden_widths(self, for_table: bool = False) -> list[int]:
        if isinstance(self.hidden, str):
            as_choice("hidden", self.hidden, ("auto",))
            return list(RECIPE.hidden if for_table else RECIPE.stream_hidden)
        if not isinstance(self.hidden, (Sequence, np.ndarray)):
            raise TypeError(f'hidden: got {self.hidden!r}, needed "auto" or a sequence of widths')
        return [as_count("hidden", width, least=1) for width in self.hidden]

    def _batch_size(self, n_rows: int) -> int:
        """Rows of an update; in streams, ``n_rows`` is 0 and does not matter."""
        if self.batch_size == "auto":
            return RECIPE.batch_size(n_rows)
        return as_count("batch_size", self.batch_size, least=1)

    def _make_networks(self, n_features: int, for_table: bool) -> list[nn.Sequential]:
        self._check_parameters()
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        n_nets = self.n_estimators
        if self.fast and for_table:
            n_nets = min(n_nets, RECIPE.fast_n_estimators)
        seeds = [_core.derive_seed(seed, member) for member in range(n_nets)]
        return self._networks_of_seeds(n_features, seeds, for_table)

    def _networks_of_seeds(
        self, n_features: int, seeds: list[int], for_table: bool
    ) -> list[nn.Sequential]:
        hidden = self._hidden_widths(for_table)
        share = RECIPE.share if for_table else RECIPE.stream_share
        nets = []
        for member, seed in enumerate(seeds):
            encoding = self._encoding and self._encoding.of_member(member)
            n_inputs = n_features + (encoding.n_added if encoding else 0)
            nets.append(self._make_network(n_inputs, hidden, seed, self.forgetting, share))
        return nets

    def _make_network(
        self,
        n_inputs: int,
        hidden: list[int],
        seed: int,
        forgetting: Forgetting | None,
        share: float,
        **others: Any,
    ) -> nn.Sequential:
        """A network of the prior; ``others`` go before :meth:`_network_arguments`."""
        return nn.Sequential(
            *RECIPE.layers(n_inputs, hidden, self._n_outputs()),
            seed=seed,
            device=self.device,
            precision=self.precision,
            forgetting=forgetting,
            rule=_core.Information(share=share),
            **self._network_arguments() | others,
        )

    def _network_maker(self, **others: Any) -> NetworkMaker:
        """What makes the networks of a table; ``others`` as for :meth:`_make_network`."""
        hidden = self._hidden_widths(for_table=True)
        return lambda n_inputs, seed: self._make_network(
            n_inputs, hidden, seed, None, RECIPE.share, **others
        )

    def _start(
        self,
        n_features: int,
        keys: list[Any] | None = None,
        for_table: bool = False,
    ) -> None:
        """Networks and units that have seen nothing; ``keys`` name features of dicts.

        The networks of a table are made with its units: :meth:`_take_units_of_table`.
        """
        self._stream = None
        self._novelty = None
        self._encoding = None
        if not for_table:
            self._make_all_networks(n_features, for_table=False)
        self._x_moments = Moments.of_nothing(n_features)
        self._x_scaler = Scaler.identity(n_features)
        self._n_rows = 0
        self._settled = False
        self._drifts_in_fit = 0
        self._weight_unit = 1.0
        self._table_format = None
        if keys is None:
            names = getattr(self, "feature_names_in_", None)
            self._feature_keys = None if names is None else names.tolist()
        else:
            self.n_features_in_ = n_features
            self._name_features(keys)

    def _take_units_of_table(
        self, X: Array, indicators: NDArray[np.int64], weight: Array | None
    ) -> None:
        """Units of X and what links its columns, of all rows that there are."""
        self._x_moments = moments_with(self._x_moments, X, "X", weight)
        scaler = self._x_moments.scaler()
        one_unit = have_one_unit(X)
        if one_unit:
            scaler = scaler.of_one_unit()
        links = Links.of(X, scaler, weight) if 1 < X.shape[1] <= MOST_COLUMNS else None
        self._x_scaler = TableScaler(scaler.mean, scaler.scale, scaler.varies, links, indicators)
        x, _ = self._x_scaler.inputs(X)
        # Indicators stay as they are.
        of_indicators = np.ones((len(X), len(indicators)), dtype=bool)
        if one_unit:
            encoding = Encoding.of_one_unit(x, np.append(~of_indicators[0], scaler.varies))
        else:
            encoding = Encoding.of(x, np.hstack([of_indicators, np.isnan(X)]), weight)
        self._encoding = replace(encoding, is_mixed=self.n_estimators > 1)
        self._make_all_networks(x.shape[1], for_table=True)

    def _make_all_networks(self, n_columns: int, *, for_table: bool) -> None:
        self.nets_ = self._make_networks(n_columns, for_table)
        self.histories_ = [History() for _ in self.nets_]

    def _n_indicators(self) -> int:
        """Inputs of the networks that come before those of the columns."""
        return len(self._x_scaler.indicators) if isinstance(self._x_scaler, TableScaler) else 0

    def _as_std(self, X_std: Any, X: Array) -> Array | None:
        """Standard deviations of X, float64 of its shape, 0 where X is missing."""
        if X_std is None:
            return None
        std: Array = as_rows(X_std, "X_std")
        if self._encoder is not None:
            std = self._encoder.spread(std)
        if std.shape != X.shape:
            raise ValueError(f"X_std: got shape {std.shape}, needed that of X, {X.shape}")
        std = np.where(np.isnan(X), 0.0, std)
        if np.isnan(std).any() or (std < 0).any():
            raise ValueError(
                "X_std: got NaN or negative numbers, needed a standard deviation for every number "
                "of X that is there"
            )
        return std

    def _table(
        self,
        X: Array,
        std: Array | None,
        y: NDArray[Any],
        evaluation: tuple[Array, NDArray[Any]] | None,
        callback: FitCallback | None,
        weight: Array | None,
    ) -> TableTraining:
        """A table in the units of ``_x_scaler``, for networks to learn.

        ``evaluation`` are rows and targets, as networks take them, that are not learned.
        """
        x, x_var = self._x_scaler.inputs(X, std)
        assert self._encoding is not None
        return TableTraining(
            x,
            x_var,
            y,
            self._encoding,
            self._network_maker(),
            batch_size=self._batch_size(len(x)),
            max_epochs=self.max_epochs,
            progress=Progress(type(self).__name__, bool(self.verbose)),
            side_by_side=SideBySide(self.n_jobs),
            callback=callback,
            evaluation=None
            if evaluation is None
            else Evaluation(*self._x_scaler.inputs(evaluation[0]), evaluation[1]),
            weight=weight,
            fast=self.fast,
        )

    def _count_table(self, n_rows: int) -> None:
        """Note that these are the rows so far, in the units of all of which the networks are."""
        self._n_rows, self._settled = n_rows, True
        self._drifts_in_fit = self._n_drifts()

    def _chooses_length(self, n_rows: int) -> bool:
        """Whether rows are left out for a while, to see how long it is best to train."""
        return self.early_stopping and n_rows >= RECIPE.least_rows

    def _learn_table(self, table: TableTraining, length: Length[Any]) -> None:
        self._encoding = length.encoding
        seeds = [net.seed for net in self.nets_]
        self.nets_ = self._networks_of_seeds(table.x.shape[1], seeds, for_table=True)
        self.histories_ = table.fit(self.nets_, length)
        self._count_table(len(table.x))
        if self.novelty:
            part = _novelty.sample(len(table.x))
            weight = None if table.weight is None else table.weight[part]
            self._novelty = self._learn_novelty(table.x[part], table.y[part], weight)
        verdict = length.verdict
        if verdict is not None and verdict.loss >= verdict.constant_loss:
            warnings.warn(
                "fit: rows left out were predicted no better than by a constant (mean negative "
                f"log-likelihood {verdict.loss:.3g}, of a constant {verdict.constant_loss:.3g}): "
                "X may say nothing about y, or the rows be too few",
                ConvergenceWarning,
                stacklevel=4,  # whoever called the decorated fit
            )

    def _columns_in_words(self) -> list[str]:
        """What messages call the columns of X, each input of the networks by itself."""
        if hasattr(self, "feature_names_in_") or self._encoder is not None:
            return [f"X, column {name!r}" for name in self.input_names_.tolist()]
        return [f"X[:, {column}]" for column in range(self.n_features_in_)]

    def _inputs_to_predict(self, X: Any, X_std: Any) -> tuple[Float32, Float32 | None]:
        rows = validate_rows(self, X, reset=False)
        return self._x_scaler.inputs(rows, self._as_std(X_std, rows))

    def network_inputs(
        self, X: Any, X_std: ArrayLike | None = None, *, member: int = 0
    ) -> tuple[Float32, Float32 | None]:
        """What one of the networks in ``nets_`` sees of rows.

        Args:
            X: rows, (n_rows, n_features).
            X_std: standard deviations of X, as in ``fit``.
            member: the network's number.

        Returns:
            Means, float32 (n_rows, n_inputs), and variances of that shape, or None where all is
            known: indicators of missing values, the columns, standardized and after ``fit`` by
            their scores, and their ramps, if the network sees any (docs/estimators.md).

        Raises:
            NotFittedError: before anything was learned.
            ValueError, TypeError: for a table unlike that of ``fit``, and unless ``member`` is an
                integer from 0 to less than the number of networks.
        """
        check_is_fitted(self)
        number = as_count("member", member, least=0)
        if number >= len(self.nets_):
            raise ValueError(f"member: got {member}, needed less than {len(self.nets_)}")
        x, x_var = self._inputs_to_predict(X, X_std)
        if self._encoding is None:
            return x, x_var
        return self._encoding.of_member(number).moments(x, x_var)

    def permutation_importance(
        self, X: Any, y: Any, *, n_repeats: int = 5, random_state: Any = None
    ) -> Importances:
        """What each column is worth: what predictions lose where its values change rows.

        By how much the mean log-likelihood of targets falls where the values of one column are
        permuted among the rows, the others staying as they are: of numbers the log density of
        ``log_prob``, the mean over outputs, of labels the log of ``predict_proba``, which counts as
        1e-4 at least. With rows that were not learned it is what the column is worth for others; 0
        is nothing, and what is below 0 is chance. Columns that say the same share what they are
        worth, in ways that differ from fit to fit. A column counts with all inputs that it becomes.
        It takes a prediction of X for each column and repeat.

        Args:
            X: rows, (n_rows, n_columns), as in ``fit``.
            y: their targets or labels.
            n_repeats: permutations of each column.
            random_state: an int, a numpy RandomState or None, for the permutations.

        Returns:
            Mean and standard deviation over repeats, float64 (n_columns,), in nats a target, in the
            order of the columns, which is that of ``feature_names_in_``.

        Raises:
            NotFittedError: before anything was learned.
            ValueError, TypeError: for a table unlike that of ``fit``, targets that are not as many
                or not of that kind, labels that are not among ``classes_``, and for an
                ``n_repeats`` that is not an integer of at least 1.
        """
        return _importances.permutation_importance(self, X, y, n_repeats, random_state)

    def _learn_batch(
        self, X: Array, std: Array | None, weight: Array | None, update: Callable[..., None]
    ) -> None:
        """Learn rows of a stream by ``update(x, x_var)``, and let the units of X follow them.

        Until the units are settled they are those of all rows so far, these included, and the
        networks stay as they are. Later, rows are learned in the units of the rows before them, and
        where the number of rows reaches a power of two, the networks are re-expressed in new ones.
        """
        self._end_stream()
        moments = moments_with(self._x_moments, X, "X", weight)
        if not self._settled:
            self._x_scaler = moments.scaler()
        update(*self._x_scaler.inputs(X, std))
        self._x_moments = moments
        before, self._n_rows = self._n_rows, self._n_rows + len(X)
        if not self._settled:
            self._settled = self._n_rows >= SETTLED_ROWS
        elif self._n_rows.bit_length() > before.bit_length():
            self._take_over_units()

    def _take_over_units(self) -> None:
        """The moments so far become the units, in which the networks are re-expressed."""
        scaler = self._x_moments.scaler()
        n_indicators = self._n_indicators()  # which have no units
        if self._encoding is not None:
            scaler = scaler.but(self._x_scaler, self._encoding.encoded - n_indicators)
        old, new = self._x_scaler.input_units_towards(scaler)
        units = old.behind(n_indicators), new.behind(n_indicators)
        for net in self.nets_:
            of_net = units
            if self._encoding is not None:
                encoding = self._encoding.of_net(net, len(units[0].mean))
                of_net = encoding.units(units[0]), encoding.units(units[1])
            rescale(net, inputs=of_net)
        if self._novelty is not None:
            self._novelty = self._novelty.in_units(*units)
        self._x_scaler = self._x_scaler.renewed(scaler)

    def _take_over_units_of_stream(self) -> None:
        """:meth:`_take_over_units` for rows that the core has learned."""
        self._take_in_stream()
        self._take_over_units()
        assert self._stream is not None
        self._stream.set_units(self._units())

    def _units(self) -> list[tuple[Scaler, Moments]]:
        """Those of X and of the target."""
        raise NotImplementedError

    def _sums(self) -> list[float]:
        """The log as the core keeps it: what follows the number of rows in PrequentialSums."""
        raise NotImplementedError

    def _set_sums(self, sums: list[float]) -> None:
        raise NotImplementedError

    def _set_moments(self, inputs: Moments, target: Moments) -> None:
        self._x_moments = inputs

    def _fits_the_core(self) -> bool:
        """Whether the core can learn the rows that are to come."""
        if not self._settled or self._encoder is not None or len(self.nets_) > 1:
            return False
        if self._n_indicators():
            return False
        scalers = [scaler for scaler, _ in self._units()]
        return can_stream(self.nets_[0], self._feature_keys, scalers)

    def _begin_stream(self) -> None:
        """Let the core learn the next rows, if it can."""
        if self._stream is None and self._fits_the_core():
            sums = [float(self._n_rows), *self._sums()]
            names = list(self._feature_keys or [])
            self._stream = CoreStream(self, self.nets_[0], names, self._units(), sums)

    def _take_in_stream(self) -> None:
        """Take over what the core has counted."""
        if self._stream is not None:
            n_rows, *sums = self._stream.sums()
            self._n_rows = int(n_rows)
            self._set_sums(sums)
            self._set_moments(*self._stream.moments())

    @all_or_nothing
    def _learn_by_stream(self, x: dict[str, Any], y: float) -> None:
        """Learn a row in the core after which the networks are re-expressed in new units."""
        assert self._stream is not None
        self._stream.learn(x, y)
        self._note_drifts()

    def _end_stream(self) -> None:
        """Rows come from elsewhere again."""
        self._take_in_stream()
        self._stream = None

    def __getstate__(self) -> Any:
        self._take_in_stream()
        state = dict(super().__getstate__())
        state.pop("_stream", None)
        return state

    def _n_drifts(self) -> int:
        """How many the stream has had, of all networks together."""
        return sum(net.n_drifts for net in self.nets_) - self._drifts_in_fit

    def _note_drifts(self) -> None:
        if self.forgetting is not None and self._n_drifts() > self._log.n_drifts:
            self._take_in_stream()
            self._log.note_drifts(self._n_drifts(), self._n_rows)

    def _row_of(self, x: Mapping[Any, Any], *, learn: bool) -> Array:
        """A dict of features as a row (1, n_features); what it lacks is missing.

        With ``learn``, features that are new get inputs of their own; without, they are left out.
        Raises TypeError for anything but a dict and for a feature that is not a number.
        """
        if not isinstance(x, Mapping):
            raise TypeError(f"x: got a {type(x).__name__}, needed a dict of features")
        if learn:
            self._novelty = None  # a stream of single rows goes where it goes
        if self._encoder is not None:
            return self._encoder.row(x, self._feature_keys, learn=learn)
        values = {}
        for key, value in x.items():
            values[key] = feature_number(key, value)
            if np.isinf(values[key]):
                raise ValueError(
                    f"x[{key!r}]: got {values[key]}, needed a finite number, NaN or None"
                )
        keys = self._feature_keys
        if learn:
            self._end_stream()
        if keys is None:
            if len(values) != self.n_features_in_:
                raise ValueError(
                    f"x: got {len(values)} features, needed {self.n_features_in_}: the estimator "
                    "was fitted to rows without names"
                )
            keys = list(values)
            if learn:
                self._feature_keys = keys
        if learn:
            new = [key for key in values if key not in keys]
            if new:
                self._add_features(new)
                keys = self._feature_keys or []
        return np.array([[values.get(key, float("nan")) for key in keys]])

    def _name_features(self, keys: list[Any]) -> None:
        self._feature_keys = keys
        self._table_format = None  # which was of other features
        if hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        if all(isinstance(key, str) for key in keys):
            self.feature_names_in_ = np.array(keys, dtype=object)

    def _add_features(self, keys: list[Any]) -> None:
        """Inputs for features that were not there before, with the prior's weights."""
        self.nets_ = [wider(net, more_inputs=len(keys)) for net in self.nets_]
        self._x_moments = self._x_moments.with_columns(len(keys))
        self._x_scaler = self._x_scaler.with_columns(len(keys))
        self.n_features_in_ += len(keys)
        self._name_features([*(self._feature_keys or []), *keys])

    def _to_file(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What :func:`tagix.io.save_model` writes: a description, and arrays."""
        parameters = _files.describe_parameters(self.get_params(deep=False))
        tensors: dict[str, NDArray[Any]] = {}
        if not self.__sklearn_is_fitted__():
            return {"parameters": parameters, "learned": None}, tensors
        self._take_in_stream()
        keys = self._feature_keys
        learned = {
            "n_features": self.n_features_in_,
            "feature_keys": None if keys is None else _files.describe_labels("features", keys),
            "columns": _files.describe_columns(self._encoder),
            "table_format": self._table_format and self._table_format.to_description(),
            "has_feature_names": hasattr(self, "feature_names_in_"),
            "n_rows": self._n_rows,
            "settled": self._settled,
            "drifts_in_fit": self._drifts_in_fit,
            "weight_unit": self._weight_unit,
            "log": _files.describe_log(self._log),
            "networks": _files.describe_networks(self.nets_, self.histories_, tensors),
            "novelty": None if self._novelty is None else self._novelty.describe(tensors),
            **self._describe_targets(tensors),
        }
        _files.put_units(tensors, "x", self._x_scaler, self._x_moments)
        learned["indicators"] = _files.put_links(tensors, self._x_scaler)
        encoding = self._encoding
        learned["encoding"] = None if encoding is None else encoding.describe(tensors)
        return {"parameters": parameters, "learned": learned}, tensors

    @classmethod
    def _from_file(
        cls, description: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]], device: str
    ) -> Any:
        """The estimator that :meth:`_to_file` described; ValueError or TypeError for no such."""
        return _files.rebuild(cls, description, tensors, device)

    def _read_learned(self, learned: Any, tensors: _files.Tensors, device: str) -> None:
        self.nets_, self.histories_ = _files.read_networks(
            learned.items("networks"), tensors, device
        )
        n_features = learned.count("n_features", least=1)
        self._encoder = _files.read_columns(learned.take("columns"), n_features)
        n_inputs = n_features if self._encoder is None else self._encoder.n_inputs
        scaler, self._x_moments = _files.take_units(tensors, "x", n_inputs)
        self._x_scaler = _files.take_links(tensors, scaler, learned.take("indicators"))
        n_inputs += self._n_indicators()
        encoding = learned.take("encoding")
        self._encoding = None
        if encoding is not None:
            self._encoding = Encoding.read(_files.read_record(encoding, "encoding"), tensors)
            if self._encoding.n_columns > n_inputs:
                raise ValueError(
                    f"encoding: got {self._encoding.n_columns} columns, needed at most {n_inputs}"
                )
            if (self._encoding.encoded < self._n_indicators()).any():
                raise ValueError("encoding: got a score of an indicator, needed those of columns")
        self.n_features_in_ = n_features
        keys, has_names = learned.take("feature_keys"), learned.flag("has_feature_names")
        self._feature_keys = None
        if keys is not None:
            if not isinstance(keys, list) or len(keys) != n_features:
                raise ValueError(f"feature_keys: got {keys!r:.80}, needed {n_features} names")
            self._name_features(_files.read_labels("feature_keys", keys))
        if hasattr(self, "feature_names_in_") and not has_names:
            del self.feature_names_in_
        self._table_format = _files.read_table_format(learned.take("table_format"), keys)
        self._n_rows, self._settled = learned.count("n_rows"), learned.flag("settled")
        self._drifts_in_fit = learned.count("drifts_in_fit")
        self._weight_unit = learned.number("weight_unit")
        if self._weight_unit <= 0:
            raise ValueError(f"weight_unit: got {self._weight_unit}, needed a number above 0")
        self._read_targets(learned, tensors)
        _files.read_log(learned.record("log"), self._log)
        novelty = learned.take("novelty")
        learned.done()
        unnoted = self._n_drifts() - self._log.n_drifts
        if unnoted > MOST_UNNOTED_DRIFTS:  # each will be an entry of the log
            raise ValueError(f"drifts_in_fit: got {unnoted} drifts more than the log has")
        n_outputs, arguments = self._n_outputs(), self._network_arguments()
        for member, net in enumerate(self.nets_):
            encoding = self._encoding and self._encoding.of_member(member)
            wanted = n_inputs + (encoding.n_added if encoding else 0), n_outputs
            if (n_inputs_of(net), _n_outputs(net)) != wanted:
                raise ValueError(
                    f"networks: got one of {n_inputs_of(net)} inputs and {_n_outputs(net)} "
                    f"outputs, needed {wanted[0]} and {wanted[1]}"
                )
            if any(getattr(net, name) != value for name, value in arguments.items()):
                raise ValueError(f"networks: got one of other {', '.join(arguments)}")
        if novelty is not None:
            record = _files.read_record(novelty, "novelty")
            widths = _widths(self.nets_[0])
            self._novelty = Novelty.read(
                record, tensors, widths, n_inputs, self._n_novelty_outputs()
            )

    def _describe_targets(self, tensors: _files.Tensors) -> dict[str, Any]:
        """What a file says of targets; their arrays go into ``tensors``."""
        raise NotImplementedError

    def _read_targets(self, learned: Any, tensors: _files.Tensors) -> None:
        """Take what :meth:`_describe_targets` said out of a record; makes an empty log."""
        raise NotImplementedError

    def clone(self, new_params: dict[str, Any] | None = None) -> Any:
        """A new estimator with the same parameters, or some others, as River's ensembles need."""
        return clone(self).set_params(**(new_params or {}))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write parameters, networks, units, names and counters to a safetensors file.

        :func:`tagix.load` reads it back. A file of that name is replaced when the new one is
        whole.

        Raises:
            TypeError: for anything but a path.
            OSError: if the file cannot be written; an old one is then as it was.
        """
        from tagix.io import save_model

        save_model(self, path)


def moments_with(
    moments: Moments,
    rows: Array,
    name: str,
    weight: Array | None = None,
    *,
    is_all: bool = False,
) -> Moments:
    """The moments, with some more rows of those weights; those given stay as they are.

    Raises ValueError, with the argument's name, where they overflow, or would with rows that are
    not as large; a column of equal numbers may have any size where it ``is_all`` there is.
    """
    more = Moments(moments.count, moments.mean, moments.squares)
    try:
        more.add(rows, weight)
        if not is_all and (np.abs(more.mean) > LARGEST_MEAN).any():
            raise ValueError(OVERFLOW)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return more


def counted(
    sample_weight: Any, unit: float | None, rows: Array, targets: NDArray[Any], std: Array | None
) -> tuple[Array, NDArray[Any], Array | None, Array | None, float]:
    """Rows, targets and standard deviations without rows of weight 0, weights, and their unit.

    The weights (n_rows,) are in units of ``unit``, or, without it, of their mean. They are None
    where all rows count alike. Raises as :func:`tagix._weights.as_weights`.
    """
    if sample_weight is None:
        return rows, targets, std, None, 1.0 if unit is None else unit
    weight = as_weights("sample_weight", sample_weight, len(rows))
    counts = weight > 0
    weight = weight[counts]
    if unit is None:
        most = float(weight.max())
        unit = most * float(np.mean(weight / most))
    return rows[counts], targets[counts], None if std is None else std[counts], weight / unit, unit


def as_pair(eval_set: Any) -> tuple[Any, Any]:
    """(X, y) of an ``eval_set``; TypeError for anything but a pair."""
    if not isinstance(eval_set, (tuple, list)) or len(eval_set) != 2:
        raise TypeError(f"got a {type(eval_set).__name__}, needed a pair (X, y)")
    return eval_set[0], eval_set[1]


@contextmanager
def named(name: str) -> Iterator[None]:
    """Begin the messages of what is wrong in the block with the name of an argument."""
    try:
        yield
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def first_keys(x: Any) -> list[Any]:
    """The names of features in the first row of a stream; TypeError or ValueError for none."""
    if not isinstance(x, Mapping):
        raise TypeError(f"x: got a {type(x).__name__}, needed a dict of features")
    if not x:
        raise ValueError("x: got no features, needed at least one in the first row")
    return list(x)


def _n_outputs(net: nn.Sequential) -> int:
    """Outputs of a network that ends with a Linear; ValueError for another one."""
    layer = net.layers[-1]
    if not isinstance(layer, nn.Linear):
        raise ValueError(f"networks: got {layer!r} last, needed a Linear")
    return int(layer.config["out_features"])


def _widths(net: nn.Sequential) -> list[int]:
    """Widths of its hidden layers."""
    linear = [layer for layer in net.layers if isinstance(layer, nn.Linear)]
    return [layer.config["out_features"] for layer in linear[:-1]]
