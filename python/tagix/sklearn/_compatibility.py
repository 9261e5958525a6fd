"""Differences between releases of scikit-learn, and checks of rows by scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array, check_X_y
from sklearn.utils.validation import check_is_fitted

from tagix.sklearn._columns import NUMBER, Column, ColumnEncoder
from tagix.sklearn._explanations import (
    nan_for_missing,
    refuse_not_finite,
    refuse_other_than_numbers,
    without_narwhals,
)
from tagix.sklearn._frames import columns_of
from tagix.sklearn._targets import targets_of
from tagix.sklearn._values import Values

try:
    from sklearn.utils.validation import validate_data

    _FINITE = "ensure_all_finite"
    _NAMES_ALONE = {"skip_check_array": True}
except ImportError:  # before 1.6
    _FINITE = "force_all_finite"
    _NAMES_ALONE = {"cast_to_ndarray": False}

    def validate_data(estimator: Any, *args: Any, **kwargs: Any) -> Any:
        """The method of estimators that the function has replaced."""
        return estimator._validate_data(*args, **kwargs)


def validate_rows(estimator: Any, X: Any, *, reset: bool, allow_nan: bool = True) -> Any:
    """X as float64 (rows, inputs); sets or checks the estimator's features and their names.

    The inputs are the columns. If a DataFrame has columns other than numbers, the estimator's
    ``_encoder`` makes the inputs; ``reset`` sets the encoder, too.
    """
    return _validated(estimator, (X,), reset, _rows_as_numbers(allow_nan))


def validate_rows_and_targets(
    estimator: Any, X: Any, y: Any, *, reset: bool, allow_nan: bool = True, **for_targets: Any
) -> Any:
    """As :func:`validate_rows`, with finite targets y of as many rows."""
    y = targets_of(y, numeric=for_targets.get("y_numeric", False))
    return _validated(estimator, (X, y), reset, _rows_as_numbers(allow_nan) | for_targets)


def as_rows(X: Any, name: str = "X") -> Any:
    """X as float64 (rows, features), NaN allowed, whatever an estimator knows of features."""
    checks = _rows_as_numbers(allow_nan=True)
    return _or_explained(name, X, checks, lambda X: check_array(X, input_name=name, **checks))


def _rows_as_numbers(allow_nan: bool) -> dict[str, Any]:
    return {"dtype": np.float64, _FINITE: "allow-nan" if allow_nan else True}


def _validated(estimator: Any, data: tuple[Any, ...], reset: bool, checks: dict[str, Any]) -> Any:
    """X, or X and y, of ``data`` as arrays."""
    X, *y = data
    table = columns_of("X", X)
    encoder = None if reset else estimator._encoder
    if table is not None and not table:
        raise ValueError("X: got a DataFrame without columns, needed at least one")
    if table is not None and (
        encoder is not None or not all(values.is_plain for values in table.values())
    ):
        return _encoded(estimator, data, table, reset, checks)
    if encoder is not None:
        raise TypeError(
            f"X: got a value of type {type(X).__name__}, needed a DataFrame like the one that the "
            "estimator was fitted to, which had columns of categories, dates or times"
            f"{without_narwhals()}"
        )
    result = _or_explained(
        "X", X, checks, lambda X: validate_data(estimator, X, *y, reset=reset, **checks)
    )
    if reset:
        estimator._encoder = None
    return result


def _encoded(
    estimator: Any,
    data: tuple[Any, ...],
    table: dict[Any, Values],
    reset: bool,
    checks: dict[str, Any],
) -> Any:
    """:func:`_validated` for a DataFrame of other things than numbers, or such an estimator."""
    X, *y = data
    if reset:
        encoder = ColumnEncoder.of(table)
    else:
        validate_data(estimator, X, reset=False, **_NAMES_ALONE)
        encoder = estimator._encoder or ColumnEncoder((Column(NUMBER),) * len(table))
    check_them = check_X_y if y else check_array
    rows = encoder.transform(table)
    names = [
        name
        for name, column in zip(table, encoder.columns, strict=True)
        for _ in range(column.n_inputs)
    ]
    result = _or_explained(
        "X",
        rows,
        checks,
        lambda rows: check_them(rows, *y, estimator=estimator, **checks),
        names,
    )
    if reset:
        validate_data(estimator, X, reset=True, **_NAMES_ALONE)
        estimator._encoder = encoder if encoder.is_needed else None
    return result


def _or_explained(
    name: str,
    X: Any,
    checks: dict[str, Any],
    check: Callable[[Any], Any],
    names: Sequence[Any] | None = None,
) -> Any:
    """``check(X)``; where it fails by what X holds, the error says in which columns.

    ``names`` are those of the columns, if X does not know them.
    """
    if isinstance(X, np.ndarray) and X.dtype.kind in "Mm":  # numpy would take them as integers
        refuse_other_than_numbers(name, X)
    try:
        return check(X)
    except (TypeError, ValueError):
        refuse_other_than_numbers(name, X)
        refuse_not_finite(name, X, names, allow_nan=checks[_FINITE] == "allow-nan")
        rows = nan_for_missing(X)
        if rows is X:
            raise
    return check(rows)


def input_names(estimator: Any) -> NDArray[Any]:
    """Names of the inputs of a fitted estimator's networks, (n_inputs,); see ``input_names_``."""
    check_is_fitted(estimator)
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        names = [f"x{place}" for place in range(estimator.n_features_in_)]
    if estimator._encoder is not None:
        names = estimator._encoder.input_names(list(names))
    return np.array(names, dtype=object)
