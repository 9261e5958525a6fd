"""Single values in columns, targets and dicts: their kind, missing values, and numbers."""

from __future__ import annotations

import datetime
import numbers
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagix._arrays import as_number

Array = NDArray[np.float64]

# What values are called in errors; a datetime is a date, so it comes first.
_NAMES: tuple[tuple[Any, str], ...] = (
    ((bool, np.bool_), "booleans"),
    ((numbers.Real, Decimal), "numbers"),
    (str, "text"),
    ((datetime.datetime, np.datetime64), "datetimes"),
    (datetime.date, "dates"),
    (datetime.time, "times"),
    ((datetime.timedelta, np.timedelta64), "durations"),
)
_NAMES_OF_DTYPES = {
    "b": "booleans",
    **dict.fromkeys("iuf", "numbers"),
    "U": "text",
    "M": "datetimes",
    "m": "durations",
}


@dataclass(frozen=True)
class Values:
    """A column's values.

    Attributes:
        array: of one dimension; of objects where numpy does not have the type.
        is_plain: whether they are numbers or booleans that numpy has, as scikit-learn takes them.
        is_categorical: whether the column's type says that they are categories.
    """

    array: NDArray[Any]
    is_plain: bool = False
    is_categorical: bool = False


def shown(value: Any) -> str:
    """The text of a value for errors: at most 40 characters."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def is_missing(value: Any) -> bool:
    """Whether a value of an array of objects stands for one that is missing."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):  # pandas' NA and NaT
        return True
    if isinstance(value, Decimal):
        return value.is_nan()
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return bool(np.isnat(value))
    return isinstance(value, (float, np.floating)) and bool(value != value)


def name_of_value(value: Any) -> str:
    """The kind of a value, in the plural: numbers, text, dates, or the name of its type."""
    for types, name in _NAMES:
        if isinstance(value, types):
            return name
    return f"values of type {type(value).__name__}"


def names_of_values(values: NDArray[Any]) -> set[str]:
    """The kinds of values in an array, without missing values."""
    if values.dtype.kind == "f" and np.isnan(values).all():
        return set()
    if values.dtype == "datetime64[D]":
        return {"dates"}
    if values.dtype.kind in _NAMES_OF_DTYPES:
        return {_NAMES_OF_DTYPES[values.dtype.kind]}
    if values.dtype.kind != "O":
        return {f"an array of {values.dtype}"}
    examples = {type(value): value for value in values.tolist() if not is_missing(value)}
    return {name_of_value(example) for example in examples.values()}


def described(values: NDArray[Any]) -> str:
    """The kinds of values in an array, with an example of each."""
    if values.dtype.kind != "O":
        found = next(iter(names_of_values(values)))
        example = str(values[0]) if values.dtype.kind in "Mm" else shown(values[0].item())
        return f"{found} ({example})"
    examples: dict[str, Any] = {}
    for value in values.tolist():
        if not is_missing(value):
            examples.setdefault(name_of_value(value), value)
    return " and ".join(f"{name} ({shown(example)})" for name, example in examples.items())


def labels_of(values: NDArray[Any]) -> list[str | None]:
    """Categories as text, None where one is missing.

    Whole numbers are written as such, since a column with missing values may hold them as floats.
    """
    return [None if is_missing(value) else _label(value) for value in values.tolist()]


def _label(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def numbers_of(values: NDArray[Any]) -> Array:
    """Numbers and booleans as float64, NaN where one is missing."""
    if values.dtype.kind != "O":
        return values.astype(np.float64)
    return np.array([_as_float(value) for value in values.tolist()])


def _as_float(value: Any) -> float:
    try:
        return np.nan if is_missing(value) else float(value)
    except OverflowError:  # of an integer
        return np.inf if value > 0 else -np.inf


def feature_number(key: Any, value: Any) -> float:
    """A value of a dict of features as a number, NaN where it is missing; TypeError for others."""
    if is_missing(value):
        return float("nan")
    try:
        return as_number(f"x[{key!r}]", value)
    except TypeError as error:
        raise TypeError(f"{error}{_WAYS_TO_NUMBERS.get(name_of_value(value), '')}") from None


_WAYS_TO_NUMBERS = {
    "text": ": a category as features of 0 and 1, as by river.preprocessing.OneHotEncoder, or as "
    "it is after a fit to a DataFrame",
    **dict.fromkeys(
        ("dates", "datetimes"), ": days since a date, or the date itself after a fit to a DataFrame"
    ),
    **dict.fromkeys(
        ("times", "durations"), ": hours or seconds, or as it is after a fit to a DataFrame"
    ),
}
