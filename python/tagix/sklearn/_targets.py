"""Targets as arrays: numbers or labels, out of arrays, Series and DataFrames."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagix._arrays import as_number
from tagix.sklearn._frames import columns_of, series_of
from tagix.sklearn._values import is_missing, name_of_value, names_of_values, numbers_of, shown

Array = NDArray[np.float64]


def targets_of(y: Any, *, numeric: bool) -> Any:
    """Targets as an array of numbers (``numeric``) or of labels; what scikit-learn will refuse
    stays as is.

    Raises TypeError for targets of another kind, and ValueError for missing ones.
    """
    if y is None:
        return None
    table = columns_of("y", y)
    if table is not None:
        columns = [
            _target(f"y: column {name!r}", values.array, numeric) for name, values in table.items()
        ]
        return np.column_stack(columns) if columns else np.empty((len(y), 0))
    series = series_of(y)
    if series is not None:
        return _target("y", series, numeric)
    try:
        array = np.asarray(y)
        if array.dtype.kind == "U" and not isinstance(y, np.ndarray):
            array = np.asarray(y, dtype=object)  # else one text would make text of all
    except ValueError:
        raise ValueError("y: got rows of different lengths, needed a target for each row") from None
    if array.ndim == 0:
        raise TypeError(f"y: got {shown(y)}, needed an array with a target for each row")
    return _target("y", array, numeric)


def target_of_row(y: Any) -> Array:
    """The target of a row, a number or a sequence of numbers, NaN where a number is missing.

    Raises TypeError for anything but a number.
    """
    values = np.asarray(y, dtype=object)
    numbers = [np.nan if is_missing(v) else as_number("y", v) for v in values.ravel().tolist()]
    return np.array(numbers).reshape(values.shape)


def _target(name: str, array: NDArray[Any], numeric: bool) -> NDArray[Any]:
    """An array of numbers, or labels of one kind."""
    if array.dtype.kind in "iubc":  # complex ones scikit-learn refuses
        return array
    _refuse_missing(name, array, numeric)
    if array.dtype.kind == "f":
        return array
    flat = array.ravel()
    found = names_of_values(flat)
    if found <= {"numbers", "booleans"}:
        if not numeric and not any(isinstance(value, Decimal) for value in flat.tolist()):
            return np.array(array.tolist())
        return numbers_of(flat).reshape(array.shape)
    got = f"{name}: got {' and '.join(sorted(found))} ({_first_other_than_numbers(flat)})"
    if numeric:
        try:
            if found == {"text"}:
                return array.astype(np.float64)
        except ValueError:
            pass
        raise TypeError(f"{got}, needed numbers{_way_to_numbers(found)}")
    if found != {"text"}:
        raise TypeError(
            f"{got}, needed labels that are all text, numbers or booleans: "
            "[str(label) for label in y] makes text of them"
        )
    return array


def _first_other_than_numbers(flat: NDArray[Any]) -> str:
    if flat.dtype.kind != "O":
        return str(flat[0])
    others = (v for v in flat.tolist() if name_of_value(v) not in ("numbers", "booleans"))
    return shown(next(others))


def _way_to_numbers(found: set[str]) -> str:
    if found & {"dates", "datetimes"}:
        return ", such as days: numpy.asarray(y, 'datetime64[s]').astype(float) / 86400"
    if "durations" in found:
        return ", such as seconds: numpy.asarray(y, 'timedelta64[s]').astype(float)"
    if "text" in found:
        return ": pandas.to_numeric(y), y.cast(polars.Float64), or a TagiClassifier for classes"
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
