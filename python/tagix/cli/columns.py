"""The kinds of columns of a table, and their values as a typed polars frame.

A kind is "number", "boolean", "category", "date" or "time". The first file decides the kind of a
column, and the model's file keeps it, so that later files are read the same way.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tagix._table_format import Conventions
from tagix.cli import cells as of_text
from tagix.cli.table import MOST_NAMES, Table

if TYPE_CHECKING:
    import polars as pl

MOST_CATEGORIES = 20
"""Different values up to which text becomes categories, if each occurs twice on average."""
LARGEST = 1e150  # squares of larger numbers overflow
MISTAKES = 0.1
"""The share of bad cells up to which a column counts as numbers or dates with mistakes."""

_NEEDED = {
    "number": "a number",
    "boolean": "true or false",
    "date": "a date in the form of the others",
    "time": "a time of day",
}


class Problem(NamedTuple):
    """Why a column cannot be used, in words that follow its name.

    Attributes:
        words: what it holds, with an example and its place.
        has_labels: whether its cells could be taken as categories instead.
        cell: a cell that is neither number nor date in a column of these.
    """

    words: str
    has_labels: bool = True
    cell: str | None = None


def conventions(table: Table, before: Conventions | None = None) -> Conventions:
    """Conventions that columns of text show without doubt, and else those of an earlier file.

    A note is added to the table for each convention that stays in doubt.
    """
    before = before or Conventions()
    decimals, orders = set(), set()
    open_numbers: list[tuple[str, str]] = []
    open_dates: list[tuple[str, str]] = []
    for name in table.names:
        column = table.frame[name]
        if not _is_text(column):
            continue
        present = table.cells(name).drop_nulls()
        if not len(present):
            continue
        marks = _decimals(present)
        if len(marks) == 1:
            decimals.update(marks)
        elif marks:
            open_numbers.append((name, present.filter(present.str.contains(r"\d[.,]\d"))[0]))
        if present.str.contains(r"^\d{1,2}[-/]\d{1,2}[-/]\d").all():
            possible = [
                order for order in (True, False) if not of_text.dates(present, order).null_count()
            ]
            if len(possible) == 1:
                orders.update(possible)
            elif possible:
                open_dates.append((name, present[0]))
    decimal = _settle(decimals, before.decimal)
    if decimal is None and open_numbers:
        with_comma = any("," in cell for _, cell in open_numbers)
        decimal = "," if with_comma and table.delimiter == ";" else "."
        for name, cell in open_numbers:
            if "," in cell:
                value = of_text.numbers(
                    table.cells(name).filter(table.cells(name) == cell), decimal
                )
                table.notes.append(
                    f"{table.path}: in column {name!r}, {cell!r} is read as {value[0]:g}"
                )
    day_first = _settle(orders, before.day_first)
    if day_first is None and open_dates:
        day_first = decimal == ","
        order = "day/month/year" if day_first else "month/day/year"
        for name, cell in open_dates:
            table.notes.append(f"{table.path}: in column {name!r}, {cell!r} is read as {order}")
    return Conventions(decimal, day_first)


def _settle(votes: set[Any], before: Any) -> Any:
    return next(iter(votes)) if len(votes) == 1 else before


def _decimals(present: pl.Series) -> set[str]:
    """The decimal marks by which all cells are numbers; none where they give the same."""
    if not of_text.plain_numbers(present).null_count():
        points = present.filter(present.str.contains(".", literal=True))
        if not len(points):
            return set()
        present = points
        found = {"."}
        if points.str.contains(r"^[+-]?[1-9]\d{0,2}(\.\d{3})+$").all():
            found.add(",")
        return found
    values = {mark: of_text.numbers(present, mark) for mark in ".,"}
    found = {mark for mark in values if not values[mark].null_count()}
    return set() if len(found) == 2 and values["."].equals(values[","]) else found


def guess_kinds(
    table: Table, names: Sequence[str], conventions: Conventions, categories: Collection[str] = ()
) -> tuple[dict[str, str], dict[str, Problem]]:
    """Kinds of columns, and the problems of those that have none, each by the column's name.

    Columns in ``categories`` are categories, whatever their cells are.
    """
    kinds: dict[str, str] = {}
    problems: dict[str, Problem] = {}
    for name in names:
        guess = _guess(table, name, conventions, name in categories)
        if isinstance(guess, Problem):
            problems[name] = guess
        else:
            kinds[name] = guess
    return kinds, problems


def _guess(table: Table, name: str, conventions: Conventions, as_category: bool) -> str | Problem:
    import polars as pl

    dtype = table.frame[name].dtype
    if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        return Problem(f"holds {dtype}", has_labels=False)
    if as_category or dtype in (pl.Categorical, pl.Enum):
        return "category"
    if dtype == pl.String:
        return _guess_text(table, name, conventions)
    if dtype in (pl.Date, pl.Datetime):
        return "date"
    return "boolean" if dtype == pl.Boolean else "time" if dtype == pl.Time else "number"


def _guess_text(table: Table, name: str, conventions: Conventions) -> str | Problem:
    present = table.cells(name)
    n_cells = len(present) - present.null_count()
    if not n_cells:
        return "number"  # of which there is none yet
    n_different = present.drop_nulls().n_unique()
    few = n_different <= MOST_CATEGORIES and 2 * n_different <= n_cells
    readings = {"number": _numbers(present, conventions)}
    if readings["number"].null_count() == present.null_count():
        if of_text.is_code(present):
            codes = present.str.contains(of_text.CODE)
            return "category" if few else Problem(f"holds codes ({_first(table, present, codes)})")
        mixed = _mixed_units(present)
        return Problem(mixed) if mixed else "number"
    for kind in ("boolean", "date", "time"):
        readings[kind] = _values(present, kind, conventions)
        if readings[kind].null_count() == present.null_count():
            return kind
    for kind in ("number", "date"):
        wrong = present.is_not_null() & readings[kind].is_null()
        n_wrong = int(wrong.sum())
        # Where there are few different cells, those that come again and again are not mistakes.
        repeated = n_wrong > 2 * present.filter(wrong).n_unique()
        if n_wrong <= (MISTAKES if few else 0.5) * n_cells and not (few and repeated):
            found = _first(table, present, wrong)
            cell = str(present.filter(wrong)[0])
            return Problem(f"has {found}, where it needs {_NEEDED[kind]}", cell=cell)
    if few:
        return "category"
    cell = _first(table, present, present.is_not_null())
    return Problem(f"holds text ({cell}; {n_different} of {n_cells} cells differ)")


def _marks(present: pl.Series) -> list[str]:
    """The currencies of numbers, and the percent sign."""
    if of_text.plain_numbers(present).null_count() == present.null_count():
        return []
    return of_text.marks(present)


def _mixed_units(present: pl.Series) -> str:
    """What is wrong with a column whose numbers are in different units; else nothing."""
    marks = _marks(present)
    if len(marks) > 1:
        return f"mixes {' and '.join(map(repr, marks))}"
    if marks == ["%"]:
        without = present.drop_nulls()
        without = without.filter(~without.str.contains("%"))
        if len(without) and (of_text.plain_numbers(without) != 0).any():
            return f"mixes numbers with and without a percent sign ({without[0]!r})"
    return ""


def marks_of(table: Table, names: Collection[str]) -> dict[str, str]:
    """The currency, or the percent sign, of those columns of text that have one."""
    found = {name: _marks(table.cells(name)) for name in names if _is_text(table.frame[name])}
    return {name: marks[0] for name, marks in found.items() if marks}


def require_marks(table: Table, names: Collection[str], marks: Mapping[str, str]) -> None:
    """Raise ValueError for columns in other units than an earlier file, which had these ``marks``.

    A currency may be left out, and added; a percent sign may be left out.
    """
    for name, mark in marks_of(table, names).items():
        before = marks.get(name)
        if mark != before and (before is not None or mark == "%"):
            needed = "nothing" if before is None else repr(before)
            raise ValueError(
                f"{table.path}: column {name!r} has numbers with {mark!r}, needed them with "
                f"{needed}, as in the table that the model was fitted to"
            )


def _first(table: Table, present: pl.Series, which: pl.Series) -> str:
    row = which.fill_null(False).arg_true()[0]
    return f"{present[row]!r:.60} on {table.where(row)}"


def refuse(table: Table, problems: Mapping[str, Problem], targets: Collection[str] = ()) -> None:
    """Raise ValueError with all problems, if there are any, in one line that says what to do."""
    if problems:
        listed = "; ".join(
            f"{name!r} {problem.words}: {_way_out(name, problem, name in targets)}"
            for name, problem in list(problems.items())[:MOST_NAMES]
        )
        if len(problems) > MOST_NAMES:
            listed += f"; and {len(problems) - MOST_NAMES} more"
        count = "1 column" if len(problems) == 1 else f"{len(problems)} columns"
        raise ValueError(f"{table.path}: {count} cannot be used: {listed}")


def _way_out(name: str, problem: Problem, is_target: bool) -> str:
    quoted = shlex.quote(name)
    if is_target:
        ways = ["a target is numbers" + (", or labels by --classify" if problem.has_labels else "")]
    else:
        ways = [f"--drop {quoted} leaves it out"]
        if problem.has_labels:
            ways.append(f"--categories {quoted} takes it as categories")
    if problem.cell is not None:
        ways.append(f"--missing {shlex.quote(problem.cell)} takes such a cell as missing")
    return ", ".join(ways)


def read_columns(table: Table, kinds: Mapping[str, str], conventions: Conventions) -> pl.DataFrame:
    """Columns by kind: Float64, Boolean, Categorical, Datetime and Time, null where one is missing.

    Raises ValueError, with the place of the cell, for one that is not of its column's kind.
    """
    import polars as pl

    table.require(list(kinds))
    frame = pl.DataFrame(
        {name: read_column(table, name, kind, conventions) for name, kind in kinds.items()}
    )
    times = [name for name, kind in kinds.items() if kind == "time"]
    return frame.with_columns((pl.col(times) * 3.6e12).round().cast(pl.Int64).cast(pl.Time))


def read_column(table: Table, name: str, kind: str, conventions: Conventions) -> pl.Series:
    """One column of :func:`read_columns`; of times of day, the hours since midnight."""
    import polars as pl

    column = table.frame[name]
    if _is_text(column):
        present = table.cells(name)
        values = _values(present, kind, conventions)
    else:
        present = column
        if column.dtype in (pl.Float32, pl.Float64):
            present = column.fill_nan(None)
        values = _converted(present, kind)
    if kind == "number" and _is_text(column) and values.null_count() > present.null_count():
        flags = of_text.booleans(present)  # of what was 0 and 1 in the first file
        if flags.null_count() == present.null_count():
            values = of_text.converted(flags, pl.Float64)
    wrong = present.is_not_null() & values.is_null()
    if kind in ("number", "time"):
        wrong |= (values.abs() > LARGEST).fill_null(False)
    if wrong.any():
        row = wrong.arg_true()[0]
        needed = _NEEDED[kind]
        if values[row] is not None:
            needed = f"a finite number below {LARGEST:g}"
        raise ValueError(
            f"{table.path}, {table.where(row)}, column {name!r}: got {present[row]!r:.60}, needed "
            f"{needed}, or nothing"
        )
    if kind == "category":
        values = values.cast(pl.Categorical)  # of text, an estimator might ask for fewer
    return values.alias(name)


def counts_rows(table: Table, name: str) -> bool:
    """Whether the cells of a column are 0, 1, 2, ... or 1, 2, 3, ..., of 20 rows at least."""
    import polars as pl

    column = table.cells(name) if _is_text(table.frame[name]) else table.frame[name]
    if len(column) < 20 or column[0] not in (0, 1, "0", "1"):
        return False
    numbers = of_text.converted(column, pl.Float64)
    return bool((numbers.diff().slice(1) == 1).all()) and not numbers.null_count()


def _values(present: pl.Series, kind: str, conventions: Conventions) -> pl.Series:
    """Cells of text by a kind, null where they are not of it."""
    if kind == "number":
        return _numbers(present, conventions)
    if kind == "boolean":
        return _booleans(present)
    if kind == "date":
        return of_text.dates(present, bool(conventions.day_first))
    if kind == "time":
        return of_text.hours(present)
    return present


def _numbers(present: pl.Series, conventions: Conventions) -> pl.Series:
    """By the decimal mark that fits this column, and by the file's where both do or neither."""
    decimal = conventions.decimal or "."
    cells = present.drop_nulls()
    if decimal == "." or not cells.str.contains(".", literal=True).any():
        plain = of_text.plain_numbers(present)
        if plain.null_count() == present.null_count():
            return plain
    values = of_text.numbers(present, decimal)
    if values.null_count() == present.null_count():
        return values
    other = of_text.numbers(present, "," if decimal == "." else ".")
    return other if other.null_count() < values.null_count() else values


def _booleans(present: pl.Series) -> pl.Series:
    """Yes and no, and 1 and 0 where another file has them in their place."""
    return of_text.booleans(present).fill_null(_as_flags(of_text.plain_numbers(present)))


def _as_flags(numbers: pl.Series) -> pl.Series:
    """True for 1, False for 0."""
    import polars as pl

    return of_text.evaluated(pl.when(numbers == 1).then(True).when(numbers == 0).then(False))


def _converted(column: pl.Series, kind: str) -> pl.Series:
    """A typed column by a kind, null where it cannot be."""
    import polars as pl

    dtype = column.dtype
    if kind == "category":
        whole = dtype.is_float() and bool((column % 1 == 0).all())  # as whole numbers with gaps are
        return of_text.converted(
            of_text.converted(column, pl.Int64) if whole else column, pl.String
        )
    if kind == "boolean" and dtype == pl.Boolean:
        return column
    if kind == "date" and dtype in (pl.Date, pl.Datetime):
        if getattr(dtype, "time_zone", None) is not None:
            column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return of_text.converted(column, pl.Datetime("us"))
    if dtype == pl.Time:
        hours = of_text.converted(column.cast(pl.Int64), pl.Float64) / 3.6e12
        return hours if kind == "time" else hours.clear(len(column))
    if dtype == pl.Duration:
        column = column.dt.total_microseconds() / 1e6
    if kind in ("number", "boolean") and not column.dtype.is_temporal():
        numbers = of_text.converted(column, pl.Float64)
        return _as_flags(numbers) if kind == "boolean" else numbers
    return pl.Series(values=[None] * len(column), dtype=pl.Float64)


def _is_text(column: pl.Series) -> bool:
    import polars as pl

    return bool(column.dtype == pl.String)
