"""Columns of DataFrames as inputs of networks: numbers, dates, times, and one-hot categories.

Kinds follow from the values, so pandas, polars and all other libraries of narwhals are treated
alike.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tagix._text import is_number
from tagix.sklearn._values import (
    Values,
    described,
    is_missing,
    labels_of,
    names_of_values,
    numbers_of,
)

if TYPE_CHECKING:
    from tagix.io import Record

Array = NDArray[np.float64]

NUMBER, CATEGORY, DATETIME, DURATION, TIME = KINDS = (
    "number",
    "category",
    "datetime",
    "duration",
    "time",
)

MOST_CATEGORIES = 1000
"""Of a column, each of which is an input."""
MOST_DISTINCT_TEXTS = 20
"""Texts that are categories with any number of rows; more have to occur twice on average."""

CYCLES = {"year": 365.2425, "week": 7.0, "day": 1.0}
"""Periods in days after which a dependence on dates may repeat."""
LEAST_ROWS_OF_CYCLES = 300
"""In a smaller table, inputs without meaning cost more than useful ones gain."""

_DAY = np.timedelta64(1, "D")
_EPOCH = np.datetime64(0, "D")

_KIND_OF = {
    "booleans": NUMBER,
    "numbers": NUMBER,
    "text": CATEGORY,
    "datetimes": DATETIME,
    "dates": DATETIME,
    "times": TIME,
    "durations": DURATION,
}
# What a column may hold that is to become inputs of a kind.
_TAKEN: dict[str, frozenset[str]] = {
    kind: frozenset(name for name, other in _KIND_OF.items() if other == kind) for kind in KINDS
}
_TAKEN[CATEGORY] |= {"booleans", "numbers"}  # labels that are numbers


@dataclass(frozen=True)
class Column:
    """What a column of a table becomes.

    Attributes:
        kind: one of ``KINDS``.
        categories: the values of a category, sorted, each of which is an input; None comes last if
            values were missing. Empty for other kinds.
        cycles: for dates and times, the members of ``CYCLES`` whose sine and cosine are inputs,
            too.
    """

    kind: str
    categories: tuple[str | None, ...] = ()
    cycles: tuple[str, ...] = ()

    @property
    def n_inputs(self) -> int:
        """How many inputs it has."""
        return len(self.suffixes())

    def suffixes(self) -> list[str]:
        """Suffixes of the column's name in the names of its inputs."""
        if self.kind == CATEGORY:
            return [f"_{category}" for category in self.categories]
        return ["", *(f"_{part}_{cycle}" for cycle in self.cycles for part in ("sin", "cos"))]

    def encode(self, values: NDArray[Any]) -> Array:
        """Values as (rows, n_inputs), NaN for a missing value or an unknown category.

        Raises ValueError, without the column's name, for values of another kind.
        """
        found = names_of_values(values)
        if not found <= _TAKEN[self.kind]:
            raise ValueError(f"got {described(values)}, needed {_NEEDED[self.kind]}")
        if self.kind == CATEGORY:
            return self._one_hot(values)
        if not found:
            return np.full((len(values), self.n_inputs), np.nan)
        inputs = [_CONVERSIONS[self.kind](values)]
        for cycle in self.cycles:
            phase = 2.0 * np.pi * inputs[0] / CYCLES[cycle]
            inputs += [np.sin(phase), np.cos(phase)]
        return np.column_stack(inputs)

    def _one_hot(self, values: NDArray[Any]) -> Array:
        position = {category: place for place, category in enumerate(self.categories)}
        places = np.array([position.get(label, -1) for label in labels_of(values)], np.intp)
        known = np.flatnonzero(places >= 0)
        inputs = np.full((len(values), len(self.categories)), np.nan)
        inputs[known] = 0.0
        inputs[known, places[known]] = 1.0
        return inputs


_NEEDED = {
    NUMBER: "numbers, as when the estimator was fitted",
    CATEGORY: "categories, as when the estimator was fitted",
    DATETIME: "dates, as when the estimator was fitted",
    DURATION: "durations, as when the estimator was fitted",
    TIME: "times of day, as when the estimator was fitted",
}


@dataclass(frozen=True)
class ColumnEncoder:
    """Encodes the columns of a table; learned from one table and used for all others.

    Numbers and booleans stay numbers. Dates are days since 1970-01-01, in UTC where they have a
    time zone; durations are days, and times of day parts of one. The sine and cosine of their
    position in the year, the week and the day are inputs, too, if the table spans two of these
    cycles and has ``LEAST_ROWS_OF_CYCLES``. A category is one-hot: one input for each value in the
    table, and one for missing values if the table had any. All other missing values are NaN in all
    inputs of their column, and so are categories that the table did not have.
    """

    columns: tuple[Column, ...]

    @classmethod
    def of(cls, table: Mapping[Any, Values]) -> ColumnEncoder:
        """Learn from a table's columns by name.

        Raises a ValueError that names every column that cannot be used, and says why.
        """
        columns, problems = [], {}
        for name, values in table.items():
            try:
                columns.append(_column_of(values))
            except ValueError as error:
                problems[name] = str(error)
        _raise(problems)
        return cls(tuple(columns))

    @property
    def is_needed(self) -> bool:
        """Whether it does more than to take numbers as they are."""
        return any(column.kind != NUMBER for column in self.columns)

    @property
    def n_inputs(self) -> int:
        """How many inputs the columns have together."""
        return sum(column.n_inputs for column in self.columns)

    def transform(self, table: Mapping[Any, Values]) -> Array:
        """The inputs, float64 (rows, n_inputs), of as many columns in the same order.

        Raises a ValueError that names every column with values of another kind.
        """
        inputs, problems = [], {}
        for column, (name, values) in zip(self.columns, table.items(), strict=True):
            try:
                inputs.append(column.encode(values.array))
            except ValueError as error:
                problems[name] = str(error)
        _raise(problems)
        return np.hstack(inputs) if inputs else np.empty((0, 0))

    def spread(self, std: Array) -> Array:
        """Standard deviations of columns, (rows, columns), as those of inputs, (rows, n_inputs).

        Raises ValueError for another number of columns, and where a column that has more than one
        input, such as a category, is uncertain.
        """
        if std.shape[1] != len(self.columns):
            raise ValueError(f"X_std: got {std.shape[1]} columns, needed {len(self.columns)}")
        parts = []
        for place, column in enumerate(self.columns):
            part = std[:, place : place + 1]
            if column.kind == CATEGORY or column.cycles:
                if (part > 0).any():
                    raise ValueError(
                        f"X_std: got standard deviations for column {place}, which becomes "
                        f"{column.n_inputs} inputs, needed 0"
                    )
                part = np.zeros((len(std), column.n_inputs))
            parts.append(part)
        return np.hstack(parts)

    def row(self, x: Mapping[Any, Any], keys: Sequence[Any] | None, *, learn: bool) -> Array:
        """The inputs (1, n_inputs) of a dict of features; features that it lacks are missing.

        ``keys`` name the columns; without it, the features of ``x`` are taken in their order. With
        ``learn``, other features are refused; without, they are ignored.

        Raises a ValueError that names the feature, for values of another kind and infinity.
        """
        if keys is None:
            keys = list(x)
        others = [key for key in x if key not in keys] if learn else []
        if others or len(keys) != len(self.columns):
            raise ValueError(
                f"x: got the features {', '.join(map(repr, others or keys))}, needed those of the "
                f"table that the estimator was fitted to, {len(self.columns)} columns"
            )
        inputs = []
        for key, column in zip(keys, self.columns, strict=True):
            value = np.empty(1, dtype=object)
            value[0] = x.get(key)
            try:
                inputs.append(column.encode(value))
            except ValueError as error:
                raise ValueError(f"x[{key!r}]: {error}") from None
            if np.isinf(inputs[-1]).any():
                raise ValueError(f"x[{key!r}]: got {value[0]}, needed a finite number")
        return np.hstack(inputs)

    def input_names(self, names: Sequence[str]) -> list[str]:
        """Names of the inputs, for those of the columns: of a category ``column_value``."""
        return [
            f"{name}{suffix}"
            for name, column in zip(names, self.columns, strict=True)
            for suffix in column.suffixes()
        ]

    def to_description(self) -> list[dict[str, Any]]:
        """For JSON."""
        return [
            {
                "kind": column.kind,
                "categories": list(column.categories),
                "cycles": list(column.cycles),
            }
            for column in self.columns
        ]

    @classmethod
    def from_description(cls, records: Sequence[Record]) -> ColumnEncoder:
        """What :meth:`to_description` described; ValueError for anything else."""
        columns = []
        for record in records:
            kind = record.text("kind", KINDS)
            categories = record.items("categories", most=MOST_CATEGORIES + 1)
            cycles = record.items("cycles", most=len(CYCLES))
            record.done()
            if not all(isinstance(category, (str, type(None))) for category in categories):
                raise ValueError(f"categories: got {categories!r:.80}, needed strings and null")
            if len(set(categories)) != len(categories) or (kind != CATEGORY and categories):
                raise ValueError(f"categories: got {categories!r:.80}, needed different ones")
            if not all(isinstance(cycle, str) and cycle in CYCLES for cycle in cycles):
                raise ValueError(f"cycles: got {cycles!r:.80}, needed some of {list(CYCLES)}")
            if len(set(cycles)) != len(cycles) or (kind not in (DATETIME, TIME) and cycles):
                raise ValueError(f"cycles: got {cycles!r:.80}, needed different ones, of dates")
            columns.append(Column(kind, tuple(categories), tuple(cycles)))
        return cls(tuple(columns))


def _days_of_datetimes(values: NDArray[Any]) -> Array:
    """Days since 1970-01-01."""
    if values.dtype.kind == "O":
        values = np.array([_naive(value) for value in values.tolist()], dtype="datetime64[us]")
    days: Array = (values - _EPOCH) / _DAY
    return days


def _naive(value: Any) -> Any:
    """A date or a datetime as numpy takes them, in UTC where it has a time zone."""
    if is_missing(value):
        return np.datetime64("NaT")
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        return value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return value


def _days_of_durations(values: NDArray[Any]) -> Array:
    if values.dtype.kind == "O":
        rows = [np.timedelta64("NaT") if is_missing(value) else value for value in values.tolist()]
        values = np.array(rows, dtype="timedelta64[us]")
    days: Array = values / _DAY
    return days


def _days_of_times(values: NDArray[Any]) -> Array:
    """Parts of a day since midnight."""
    return np.array(
        [np.nan if is_missing(value) else _part_of_day(value) for value in values.tolist()]
    )


def _part_of_day(time: datetime.time) -> float:
    seconds = 3600 * time.hour + 60 * time.minute + time.second
    return (seconds + 1e-6 * time.microsecond) / 86400


_CONVERSIONS: dict[str, Callable[[NDArray[Any]], Array]] = {
    NUMBER: numbers_of,
    DATETIME: _days_of_datetimes,
    DURATION: _days_of_durations,
    TIME: _days_of_times,
}


def _column_of(values: Values) -> Column:
    """What a column becomes; ValueError, without its name, for one that is of no use."""
    found = names_of_values(values.array)
    kinds = {_KIND_OF.get(name) for name in found}
    if values.is_categorical:
        kinds = {CATEGORY}
    if len(kinds) > 1 or None in kinds:
        raise ValueError(
            f"got {described(values.array)}, needed numbers, booleans, dates, times, durations, "
            f"or text or a categorical type for categories{_way_out(found)}"
        )
    kind = next(iter(kinds)) if kinds else NUMBER  # where all are missing
    assert kind is not None
    if kind == CATEGORY:
        return Column(CATEGORY, _categories_of(values))
    if kind == TIME:
        return Column(TIME, cycles=("day",))
    if kind == DATETIME:
        return Column(DATETIME, cycles=_cycles_of(_days_of_datetimes(values.array)))
    return Column(kind)


def _categories_of(values: Values) -> tuple[str | None, ...]:
    """Those of a column, sorted, and None, if any is missing; ValueError for too many."""
    labels = labels_of(values.array)
    present = [label for label in labels if label is not None]
    categories = sorted(set(present))
    if len(categories) > MOST_CATEGORIES:
        raise ValueError(
            f"got {len(categories)} categories, needed at most {MOST_CATEGORIES}: drop the column, "
            "or give rare categories a common name"
        )
    name_rows = len(categories) > MOST_DISTINCT_TEXTS and 2 * len(categories) > len(present)
    if name_rows and not values.is_categorical:
        raise ValueError(
            f"got {len(categories)} different texts in {len(present)} rows, which name rows rather "
            f"than tell what they have in common: {_way_out_of_texts(categories)}"
        )
    return (*categories, *([None] if len(present) < len(labels) else []))


def _cycles_of(days: Array) -> tuple[str, ...]:
    """The cycles of which dates see enough to learn what they mean."""
    days = days[~np.isnan(days)]
    if len(days) < LEAST_ROWS_OF_CYCLES:
        return ()
    span = days.max() - days.min()
    has_times = bool((days % 1.0 != 0.0).any())
    return tuple(
        name
        for name, length in CYCLES.items()
        if span >= 2.0 * length and (name != "day" or has_times)
    )


def _way_out(found: set[str]) -> str:
    if {"text", "numbers"} <= found:
        return (
            ": pandas.to_numeric(column, errors='coerce') makes the text missing, "
            "column.astype(str) makes all of it categories"
        )
    return ""


def _way_out_of_texts(texts: list[str]) -> str:
    if all(is_number(text) for text in texts):
        return (
            "convert it to numbers, by pandas.to_numeric(column) or column.cast(polars.Float64), "
            "or drop it"
        )
    return "drop it, or, if these are categories, give the column a categorical type"


def _raise(problems: Mapping[Any, str]) -> None:
    """ValueError if there are problems, with a line for each column."""
    if len(problems) == 1:
        ((name, problem),) = problems.items()
        raise ValueError(f"X: column {name!r}: {problem}")
    if problems:
        lines = [f"\n  {name!r}: {problem}" for name, problem in problems.items()]
        raise ValueError(f"X: {len(problems)} columns are of no use as they are:{''.join(lines)}")
