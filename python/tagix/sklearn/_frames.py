"""DataFrames and Series, of pandas, polars and what else narwhals reads, as arrays of numpy."""

from __future__ import annotations

import importlib
import numbers
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagix.sklearn._values import Values, is_missing


def columns_of(name: str, X: Any) -> dict[Any, Values] | None:
    """A DataFrame's columns by name; None for anything else, or where narwhals is not installed.

    Raises, with the name of the argument, TypeError for a table that has not been read yet, and
    ValueError for names of columns that do not differ.
    """
    nw = _reader_of(X)
    if nw is None:
        return None
    if nw.dependencies.is_polars_lazyframe(X):
        raise TypeError(f"{name}: got a LazyFrame, needed its rows: {name}.collect()")
    if not nw.dependencies.is_into_dataframe(X):
        return None
    try:
        frame = nw.from_native(X, eager_only=True)
    except nw.exceptions.DuplicateError:
        names = list(X.columns)
        twice = next(column for column in names if names.count(column) > 1)
        raise ValueError(f"{name}: got two columns {twice!r}, needed names that differ") from None
    return {series.name: _values_of(nw, series) for series in frame.iter_columns()}


def series_of(y: Any) -> NDArray[Any] | None:
    """The values of a Series; None for anything else, or where narwhals is not installed."""
    nw = _reader_of(y)
    if nw is None or not nw.dependencies.is_into_series(y):
        return None
    return _values_of(nw, nw.from_native(y, series_only=True)).array


def narwhals() -> ModuleType | None:
    """The library that reads DataFrames, or None where it is not installed."""
    try:
        return importlib.import_module("narwhals")
    except ModuleNotFoundError:
        return None


def _reader_of(value: Any) -> ModuleType | None:
    """narwhals for what may be a DataFrame or a Series, so that arrays do without."""
    return None if isinstance(value, (np.ndarray, list, tuple)) else narwhals()


def _values_of(nw: ModuleType, series: Any) -> Values:
    try:
        array = series.to_numpy()
    except Exception:  # of a type that numpy does not have
        array = _objects(series.to_list())
    if array.ndim != 1:  # of structures
        array = _objects(series.to_list())
    is_numeric = series.dtype.is_numeric() or series.dtype == nw.Boolean
    is_categorical = isinstance(series.dtype, (nw.Categorical, nw.Enum))
    if is_categorical:  # of pandas, they may be anything, such as the intervals of pandas.cut
        array = _objects([_as_category(value) for value in series.to_list()])
    return Values(array, is_numeric and array.dtype.kind in "fiub", is_categorical)


def _as_category(value: Any) -> Any:
    return value if is_missing(value) or isinstance(value, (str, numbers.Real)) else str(value)


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
