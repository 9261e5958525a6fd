"""Targets of tables: columns of numbers or labels, and the rows that have them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tagix._table_format import Conventions
from tagix.cli import cells, columns
from tagix.cli.messages import counted
from tagix.cli.table import Table

if TYPE_CHECKING:
    import polars as pl


def as_text(column: pl.Series) -> pl.Series:
    """A column as text; booleans as True and False."""
    import polars as pl

    if column.dtype == pl.String:
        return column
    if column.dtype == pl.Boolean:
        return cells.evaluated(
            pl.when(column).then(pl.lit("True")).when(~column).then(pl.lit("False"))
        )
    return cells.converted(column, pl.String)


def labels_of(table: Table, name: str, classes: NDArray[Any] | None = None) -> pl.Series:
    """A column of labels, null where a label is missing: whole numbers as numbers, the rest as
    text.

    ``classes`` are the classes that a model has already learned.
    """
    text = cells.present(as_text(table.frame[name]))
    numbers = cells.plain_numbers(text)
    known = "" if classes is None else classes.dtype.kind
    if classes is None and numbers.null_count() == text.null_count():
        whole = (numbers % 1 == 0).all() and (numbers.abs() < 2**53).all()
        known = "i" if whole and not cells.is_code(text) else ""
    if known not in _KINDS_OF_LABELS:
        return text
    needed, read = _KINDS_OF_LABELS[known]
    labels = read(text)
    wrong = (text.is_not_null() & labels.is_null()).arg_true()
    if len(wrong):
        raise ValueError(
            f"{table.path}, {table.where(wrong[0])}, column {name!r}: got {text[wrong[0]]!r:.60}, "
            f"needed {needed}, as the classes of the model are"
        )
    return labels


def _whole_numbers(text: pl.Series) -> pl.Series:
    import polars as pl

    numbers = cells.plain_numbers(text)
    whole = cells.evaluated(pl.when(numbers % 1 == 0).then(numbers))
    return cells.converted(whole, pl.Int64)


# By the kinds of numpy's dtypes; labels of others are text.
_KINDS_OF_LABELS: dict[str, tuple[str, Callable[[pl.Series], pl.Series]]] = {
    "i": ("a whole number", _whole_numbers),
    "u": ("a whole number", _whole_numbers),
    "f": ("a number", cells.plain_numbers),
    "b": ("true or false", cells.booleans),
}


def numbers_of(table: Table, names: Sequence[str], conventions: Conventions) -> pl.DataFrame:
    """Columns of targets that are numbers, or times of day; ValueError for the first other cell."""
    import polars as pl

    kinds, _ = columns.guess_kinds(table, names, conventions)
    as_numbers = {name: "time" if kinds.get(name) == "time" else "number" for name in names}
    table.require(names, "target")
    return pl.DataFrame(
        [columns.read_column(table, name, kind, conventions) for name, kind in as_numbers.items()]
    )


def with_targets(
    table: Table, rows: pl.DataFrame, targets: pl.DataFrame
) -> tuple[pl.DataFrame, NDArray[Any]]:
    """The rows that have all targets, and these: (n_rows,) of one, (n_rows, n_targets) of more."""
    import polars as pl

    present = targets.select(pl.all_horizontal(pl.all().is_not_null())).to_series()
    n_missing = int((~present).sum())
    if n_missing == len(present):
        raise ValueError(
            f"{table.path}: got no row with a target in {', '.join(map(repr, targets.columns))}"
        )
    if n_missing:
        were = "was" if n_missing == 1 else "were"
        rows_left_out = counted(n_missing, "row")
        table.notes.append(f"{table.path}: {rows_left_out} {were} left out, without a target")
    kept = targets.filter(present)
    y = kept.to_numpy() if kept.width > 1 else kept.to_series().to_numpy()
    return rows.filter(present), np.asarray(y.astype(str) if y.dtype == object else y)
