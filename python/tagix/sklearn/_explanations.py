"""Errors that say why an array is not a table of numbers, with the argument, the row and the
column.

numpy and scikit-learn say less. The search takes time, so it runs only after they have failed.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from tagix.sklearn._frames import narwhals
from tagix.sklearn._values import is_missing, name_of_value, numbers_of, shown


def refuse_other_than_numbers(name: str, X: Any) -> None:
    """Raise for the first value of an array-like that is not a number; return if there is none.

    TypeError for values of another type; ValueError for text that is not a number, for rows of
    different lengths, and for anything else that is not a table of numbers.
    """
    if hasattr(X, "toarray"):  # a sparse matrix, of which scikit-learn says what to do
        return
    try:
        array = np.asarray(X, dtype=object)
    except ValueError:  # arrays of different shapes
        raise ValueError(f"{name}: got rows of different lengths, needed a table") from None
    if array.ndim == 0 and not isinstance(X, (numbers.Number, np.ndarray)):
        raise TypeError(f"{name}: got {shown(X)}, needed a table of numbers, (rows, columns)")
    if array.ndim == 1:
        lengths = sorted({np.size(row) for row in array})
        if len(lengths) > 1:
            raise ValueError(
                f"{name}: got rows of different lengths ({', '.join(map(str, lengths[:5]))}), "
                "needed a table"
            )
        for row, value in enumerate(array.tolist()):
            _require_number(name, value, f"row {row}")
    if array.ndim == 2:
        names = list(getattr(X, "columns", range(array.shape[1])))
        for column, column_name in enumerate(names):
            for row, value in enumerate(array[:, column].tolist()):
                _require_number(name, value, f"row {row} of column {column_name!r}")


def refuse_not_finite(
    name: str, X: Any, names: Sequence[Any] | None = None, *, allow_nan: bool
) -> None:
    """ValueError for infinity in a table of numbers, and NaN unless allowed; names the columns."""
    try:
        rows = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError):
        return
    if rows.ndim != 2:
        return
    columns = list(getattr(X, "columns", range(rows.shape[1])) if names is None else names)
    for found, wrong, way_out in (
        ("infinity", np.isinf(rows), "NaN stands for a missing value"),
        ("NaN", np.isnan(rows), "leave out the rows without, or fill them in"),
    ):
        if wrong.any() and not (found == "NaN" and allow_nan):
            places = np.flatnonzero(wrong.any(axis=0))
            where = list(dict.fromkeys(columns[place] for place in places))
            raise ValueError(
                f"Input {name} contains {found} in {_columns_named(where)}, needed finite numbers: "
                f"{way_out}"
            )


def _columns_named(names: Sequence[Any]) -> str:
    shown = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")
    return f"column{'s' * (len(names) > 1)} {shown}"


def _require_number(name: str, value: Any, place: str) -> None:
    found = name_of_value(value)
    if is_missing(value) or found in ("numbers", "booleans"):
        return
    if found == "text":
        try:
            float(value)
        except ValueError:
            raise ValueError(
                f"{name}: got text, {shown(value)} in {place}, needed numbers: in a DataFrame of "
                f"pandas or polars, columns of text are categories{without_narwhals()}"
            ) from None
        return
    if isinstance(value, numbers.Complex):
        return  # which scikit-learn says
    raise TypeError(
        f"{name}: got {found}, {shown(value)} in {place}; an array for this argument must be of "
        f"numbers, or strings that read as a number{_way_out(found)}"
    )


def _way_out(found: str) -> str:
    if found in ("dates", "datetimes", "times", "durations"):
        return (
            ": in a DataFrame of pandas or polars, columns of dates and times are taken"
            + without_narwhals()
        )
    return ""


def without_narwhals() -> str:
    """What to install for DataFrames, where that is not there."""
    return "" if narwhals() else ' (needs narwhals: pip install "tagix[sklearn]")'


def nan_for_missing(X: Any) -> Any:
    """An array of numbers with NaN for pandas' NA, of which numpy makes none; else X itself."""
    if isinstance(X, (np.ndarray, list, tuple)):
        array = np.asarray(X, dtype=object)
        if array.ndim == 2 and any(type(v).__name__ == "NAType" for v in array.ravel().tolist()):
            return numbers_of(array.ravel()).reshape(array.shape)
    return X
