"""Names of the columns of a file: repeated, missing and superfluous ones."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tagix._text import is_number
from tagix.cli.cells import present
from tagix.cli.table import Table

if TYPE_CHECKING:
    import polars as pl

# Names that pandas writes for an index without a name.
_UNNAMED = re.compile(r"|Unnamed: \d+|__index_level_\d+__")


def named_table(
    path: Path,
    raw_names: Sequence[str],
    frame: pl.DataFrame,
    lines: NDArray[np.int64] | None = None,
) -> Table:
    """A table with distinct names of columns, and a note for each name that differs from the
    file's.

    Args:
        path: of the file.
        raw_names: as the file has them, one for each column, or one less.
        frame: the rows, in columns of any names.
        lines: the line of each row, (n_rows,), where the file has lines.

    Raises ValueError where all names are numbers.
    """
    import polars as pl

    names = [" ".join(name.split()) for name in raw_names]
    names[:1] = [name.removeprefix("#").lstrip() for name in names[:1]]
    if frame.width and all(is_number(name) for name in names if name) and any(names):
        raise ValueError(
            f"{path}: got numbers alone in the first line ({next(filter(None, names))!r} first), "
            "needed names of columns"
        )
    if len(names) == frame.width - 1:
        # Delimiters that end the lines of rows make an empty column; R writes the names of rows
        # first, under no name.
        ends_empty = not len(_cells(frame.to_series(-1)).drop_nulls())
        names = [*names, ""] if ends_empty else ["", *names]
    if lines is not None:
        frame, lines = _without_empty_end(frame, lines)
    kept: dict[str, pl.Series] = {}
    notes: list[str] = []
    index = None
    for place, (name, column) in enumerate(zip(names, frame.get_columns(), strict=True)):
        unnamed = _UNNAMED.fullmatch(name) is not None
        if unnamed and not len(_cells(column).drop_nulls()):
            continue
        of_index = place == 0 or name.startswith("__index_level_")
        if unnamed and index is None and of_index and _names_rows(column):
            index = name
            notes.append(f"{path}: left out column {place + 1}, which has no name and numbers rows")
        elif not name:
            name = _unused(f"column_{place + 1}", [*names, *kept])
            notes.append(f"{path}: column {place + 1} has no name, read as {name!r}")
        elif name in kept:
            others = (f"{name}_{number}" for number in itertools.count(2))
            renamed = next(other for other in others if other not in (*names, *kept))
            notes.append(f"{path}: column {place + 1} is another {name!r}, read as {renamed!r}")
            name = renamed
        kept[name] = column
    return Table(path, pl.DataFrame(kept), index, lines, notes=notes)


def _without_empty_end(
    frame: pl.DataFrame, lines: NDArray[np.int64]
) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """Without the rows of delimiters alone that spreadsheets write below a table."""
    import polars as pl

    end = frame.height
    while end and not any((cell or "").strip() for cell in frame.row(end - 1)):
        end -= 1
    if end == frame.height or frame.width < 2:
        return frame, lines
    return pl.DataFrame(frame.slice(0, end)), lines[:end]


def _cells(column: pl.Series) -> pl.Series:
    import polars as pl

    return present(column) if column.dtype == pl.String else column


def _names_rows(column: pl.Series) -> bool:
    """Whether cells are whole numbers or words, and all of them differ."""
    import polars as pl

    cells = _cells(column)
    if cells.null_count() or cells.n_unique() < len(cells):
        return False
    if cells.dtype != pl.String:
        return bool(cells.dtype.is_integer())
    numbers = cells.cast(pl.Float64, strict=False).drop_nulls()
    return not len(numbers) or (len(numbers) == len(cells) and bool((numbers % 1 == 0).all()))


def _unused(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name += "_"
    return name
