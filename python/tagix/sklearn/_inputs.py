"""Rows of X as inputs of an estimator's networks: units, missing values, uncertain inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from tagix._arrays import as_count
from tagix._rescaling import rescale
from tagix.sklearn._columns import ColumnEncoder
from tagix.sklearn._compatibility import as_rows, input_names, validate_rows
from tagix.sklearn._encoding import Encoding
from tagix.sklearn._missing import MOST_COLUMNS, Links, TableScaler
from tagix.sklearn._networks import Networks
from tagix.sklearn._novelty import Novelty
from tagix.sklearn._scaling import Moments, Scaler, have_one_unit, moments_with

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]


class Inputs(Networks):
    """Networks that see rows of X in standardized units.

    Rows of X become inputs in three steps: columns of a DataFrame become numbers by ``_encoder``,
    these are standardized, and what is missing is filled in, by ``_x_scaler``, and ``_encoding``
    says what each network sees of that.
    """

    n_features_in_: int
    feature_names_in_: NDArray[Any]
    _x_moments: Moments
    _x_scaler: Scaler
    _encoder: ColumnEncoder | None = None
    _novelty: Novelty | None = None

    @property
    def input_names_(self) -> NDArray[Any]:
        """Names of the networks' inputs, (n_inputs,): the columns of X, or what they become.

        A column of categories becomes one input for each category, ``column_category``. Every other
        column is one input with its name, or ``x0``, ``x1``, ... if X has no names.
        """
        return input_names(self)

    @property
    def x_mean_(self) -> Array:
        """The offset subtracted from each input, (n_inputs,)."""
        check_is_fitted(self)
        return self._x_scaler.mean

    @property
    def x_scale_(self) -> Array:
        """The divisor of each input after the offset is subtracted, (n_inputs,)."""
        check_is_fitted(self)
        return self._x_scaler.scale

    def network_inputs(
        self, X: Any, X_std: ArrayLike | None = None, *, member: int = 0
    ) -> tuple[Float32, Float32 | None]:
        """The inputs of one of the networks in ``nets_`` for rows of X.

        Args:
            X: rows, (n_rows, n_features).
            X_std: standard deviations of X, as in ``fit``.
            member: the network's number.

        Returns:
            Means, float32 (n_rows, n_inputs), and variances of the same shape, or None if all
            inputs are known. The inputs are indicators of missing values, the standardized columns
            (after ``fit`` their scores), and the ramps of columns, if the network sees any
            (docs/estimators.md).

        Raises:
            NotFittedError: before anything has been learned.
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

    def _columns_in_words(self) -> list[str]:
        """What messages call the columns of X, each input of the networks by itself."""
        if hasattr(self, "feature_names_in_") or self._encoder is not None:
            return [f"X, column {name!r}" for name in self.input_names_.tolist()]
        return [f"X[:, {column}]" for column in range(self.n_features_in_)]

    def _inputs_to_predict(self, X: Any, X_std: Any) -> tuple[Float32, Float32 | None]:
        """Standardized inputs of rows like those learned, and their variances if any are not known.

        Both float32 (n_rows, indicators + columns). Raises ValueError and TypeError for other
        tables.
        """
        rows = validate_rows(self, X, reset=False)
        return self._x_scaler.inputs(rows, self._as_std(X_std, rows))

    def _as_std(self, X_std: Any, X: Array) -> Array | None:
        """Standard deviations of X, float64 of its shape, 0 where X is missing; None for None.

        Raises ValueError for another shape, and for NaN and numbers below 0 where X is there.
        """
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

    def _n_indicators(self) -> int:
        """Inputs of the networks that come before those of the columns."""
        return len(self._x_scaler.indicators) if isinstance(self._x_scaler, TableScaler) else 0

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
