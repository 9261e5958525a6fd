"""DataFrames and Series, of pandas, polars and what else narwhals reads, as arrays of numpy."""

from __future__ import annotations

import importlib
import numbers
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagix.sklearn._columns import (
    Values,
    is_missing,
    name_of_value,
    names_of_values,
    numbers_of,
)

Array = NDArray[np.float64]


def _narwhals() -> ModuleType | None:
    """narwhals, or None where it is not installed."""
    try:
        return importlib.import_module("narwhals")
    except ModuleNotFoundError:
        return None


def columns_of(X: Any) -> dict[Any, Values] | None:
    """A DataFrame's columns by name; None for what is no DataFrame, or without narwhals.

    So it is for names that are not unique, too, as of which there is no telling columns apart.

    Raises TypeError for a table that has not been read yet.
    """
    if isinstance(X, (np.ndarray, list, tuple)):
        return None
    nw = _narwhals()
    if nw is None:
        return None
    if nw.dependencies.is_polars_lazyframe(X):
        raise TypeError("X: got a LazyFrame, needed its rows: X.collect()")
    if not nw.dependencies.is_into_dataframe(X):
        return None
    try:
        frame = nw.from_native(X, eager_only=True)
    except nw.exceptions.DuplicateError:
        return None
    return {series.name: values_of(series) for series in frame.iter_columns()}


def values_of(series: Any) -> Values:
    """The values of a Series of narwhals."""
    nw = _narwhals()
    assert nw is not None
    try:
        array = series.to_numpy()
    except Exception:  # of a type that numpy does not have
        array = _objects(series.to_list())
    if array.ndim != 1:  # of structures
        array = _objects(series.to_list())
    return Values(array, isinstance(series.dtype, (nw.Categorical, nw.Enum)))


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def are_plain(columns: dict[Any, Values]) -> bool:
    """Whether all columns are of numbers that numpy has, so that scikit-learn takes them alike."""
    return all(
        values.array.dtype.kind in "fiub" and not values.is_categorical
        for values in columns.values()
    )


def refuse_other_than_numbers(name: str, X: Any) -> None:
    """Raise for the first value of an array-like that is no number; return where there is none.

    To be asked where numpy did not take it, as it takes time. TypeError for values of another type,
    ValueError for text that does not read as a number, and for rows of different lengths.
    """
    try:
        array = np.asarray(X, dtype=object)
    except ValueError:  # arrays of different shapes
        raise ValueError(f"{name}: got rows of different lengths, needed a table") from None
    if array.ndim == 1 and any(isinstance(row, (list, tuple, np.ndarray)) for row in array):
        lengths = sorted({np.size(row) for row in array})
        raise ValueError(
            f"{name}: got rows of different lengths ({', '.join(map(str, lengths[:5]))}), needed a "
            "table"
        )
    if array.ndim != 2:
        return
    names = list(getattr(X, "columns", range(array.shape[1])))
    for column, column_name in enumerate(names):
        for row, value in enumerate(array[:, column].tolist()):
            _require_number(name, value, f"row {row} of column {column_name!r}")


def _require_number(name: str, value: Any, place: str) -> None:
    found = name_of_value(value)
    if is_missing(value) or found in ("numbers", "booleans"):
        return
    if found == "text":
        try:
            float(value)
        except ValueError:
            raise ValueError(
                f"{name}: got text, {value!r:.40} in {place}, needed numbers: in a DataFrame of "
                f"pandas or polars, columns of text are categories{_without_narwhals()}"
            ) from None
        return
    if isinstance(value, numbers.Complex):
        return  # which scikit-learn says
    raise TypeError(
        f"{name}: got {found}, {value!r:.40} in {place}; an array for this argument must be of "
        f"numbers, or strings that read as a number{_way_out(found)}"
    )


def _way_out(found: str) -> str:
    if found in ("dates", "datetimes", "times", "durations"):
        return (
            ": in a DataFrame of pandas or polars, columns of dates and times are taken"
            + _without_narwhals()
        )
    return ""


def _without_narwhals() -> str:
    return "" if _narwhals() else ' (needs narwhals: pip install "tagix[sklearn]")'


def targets_of(y: Any, *, numeric: bool) -> Any:
    """Targets as an array of numbers (``numeric``) or of labels; what scikit-learn refuses stays.

    Raises TypeError for targets of another kind, and ValueError for missing ones.
    """
    if y is None:
        return None
    table = columns_of(y)
    if table is not None:
        columns = [
            _target(f"y: column {name!r}", values.array, numeric) for name, values in table.items()
        ]
        return np.column_stack(columns) if columns else np.empty((len(y), 0))
    nw = _narwhals()
    if nw is not None and nw.dependencies.is_into_series(y):
        return _target("y", values_of(nw.from_native(y, series_only=True)).array, numeric)
    try:
        array = np.asarray(y)
    except ValueError:
        raise ValueError("y: got rows of different lengths, needed a target for each row") from None
    if array.dtype.kind in "OMm" or (array.dtype.kind == "U" and not isinstance(y, np.ndarray)):
        # numpy makes text of all values of a list that has any.
        array = np.asarray(y, dtype=object) if array.dtype.kind == "U" else array
        return _target("y", array, numeric)
    if array.dtype.kind in "fU":
        return _target("y", array, numeric)
    return y


def _target(name: str, array: NDArray[Any], numeric: bool) -> NDArray[Any]:
    """An array of numbers, or labels of one kind."""
    _refuse_missing(name, array, numeric)
    flat = array.ravel()
    found = names_of_values(flat)
    if numeric:
        return _numeric_target(name, flat, found).reshape(array.shape)
    if len(found) > 1 and not found <= {"numbers", "booleans"}:
        raise TypeError(
            f"{name}: got {' and '.join(sorted(found))}, needed labels of one kind: "
            "[str(label) for label in y] makes text of all"
        )
    if not found <= {"numbers", "booleans", "text"}:
        raise TypeError(
            f"{name}: got {next(iter(found))} ({flat[0]!r:.40} first), needed labels that are "
            "text, numbers or booleans: [str(label) for label in y] makes text of them"
        )
    if array.dtype.kind == "O" and found and "text" not in found:
        return np.array(array.tolist())
    return array


def _numeric_target(name: str, flat: NDArray[Any], found: set[str]) -> Array:
    if found <= {"numbers", "booleans"}:
        return numbers_of(flat)
    if found == {"text"}:
        try:
            return flat.astype(np.float64)
        except ValueError:
            pass
    example = next(
        value for value in flat.tolist() if name_of_value(value) not in ("numbers", "booleans")
    )
    raise TypeError(
        f"{name}: got {' and '.join(sorted(found))} ({example!r:.40}), needed "
        f"numbers{_way_to_numbers(found)}"
    )


def _way_to_numbers(found: set[str]) -> str:
    if found & {"dates", "datetimes"}:
        return ", such as the days since the first: (y - y.min()) / numpy.timedelta64(1, 'D')"
    if "durations" in found:
        return ", such as the days: y / numpy.timedelta64(1, 'D')"
    if "text" in found:
        return (
            ": pandas.to_numeric(y) or y.cast(polars.Float64); for classes there is TagiClassifier"
        )
    return ""


def _refuse_missing(name: str, array: NDArray[Any], numeric: bool) -> None:
    kind = array.dtype.kind
    if kind == "f":
        missing = np.isnan(array)
    elif kind in "Mm":
        missing = np.isnat(array)
    elif kind == "O":
        missing = np.array([is_missing(value) for value in array.ravel()], dtype=bool)
    else:
        return
    if missing.any():
        rows = missing.reshape(len(array), -1).any(axis=1)
        needed = "a number" if numeric else "a label"
        raise ValueError(
            f"{name} contains NaN, None or another missing value in {rows.sum()} of {len(rows)} "
            f"rows, the first of them row {rows.argmax()}; needed {needed} in every row: leave "
            "these rows out, of X, too"
        )
