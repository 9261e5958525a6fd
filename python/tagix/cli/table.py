"""A table from a file: a polars frame whose cells are text or typed as the file has them.

What the text of cells means, :mod:`tagix.cli.columns` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tagix._text import is_number
from tagix.cli.cells import converted, evaluated, plain_numbers, present

if TYPE_CHECKING:
    import polars as pl

MOST_NAMES = 20
"""Columns that an error lists."""


@dataclass(frozen=True)
class Table:
    """What a file holds.

    Attributes:
        path: of the file, for messages.
        frame: all columns under distinct names; columns of text as the file has them.
        index: the column without a name that numbers or names the rows, which is not a feature.
        lines: the line of each row in a file of text, or its row in a sheet, (n_rows,); None for
            other files, whose rows count from 1.
        unit: what the places of rows are called, "line" or "row".
        delimiter: between the cells of a file of text.
        notes: what a user should know about how the file was read, a line each.
    """

    path: Path
    frame: pl.DataFrame
    index: str | None = None
    lines: NDArray[np.int64] | None = None
    unit: str = "row"
    delimiter: str = ","
    notes: list[str] = field(default_factory=list)
    _cells: dict[str, pl.Series] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return self.frame.height

    @property
    def names(self) -> list[str]:
        """The names of the columns, without that of the index."""
        return [name for name in self.frame.columns if name != self.index]

    def cells(self, name: str) -> pl.Series:
        """A column of text as :func:`tagix.cli.cells.present` gives it."""
        if name not in self._cells:
            self._cells[name] = present(self.frame[name])
        return self._cells[name]

    def require(self, names: Sequence[str], what: str = "column") -> None:
        """Raise ValueError with all names that no column has."""
        shown = self.names
        known = set(shown)
        lacking = [name for name in names if name not in known]
        if not lacking:
            return
        if len(shown) > MOST_NAMES:
            similar = [close for name in lacking for close in get_close_matches(name, shown, 2)]
            like = f", of which {', '.join(map(repr, similar))} come near" if similar else ""
            got = f"{len(shown)} columns{like}"
        else:
            got = f"the columns {', '.join(map(repr, shown)) or 'none'}"
        hint = ""
        if sum(map(is_number, shown)) * 2 >= len(shown):
            hint = "; the first line must hold the names of the columns"
        raise ValueError(
            f"{self.path}: got {got}, needed the {what}{'s' * (len(lacking) > 1)} "
            f"{', '.join(map(repr, lacking))}{hint}"
        )

    def without(self, names: Sequence[str]) -> Table:
        """The table without some columns, with the same notes. ValueError if it lacks them."""
        self.require([name for name in names if name != self.index])
        return replace(self, frame=self.frame.drop(names))

    def with_missing(self, marks: Sequence[str]) -> Table:
        """The table, with the same notes, in which additional cells count as missing.

        Args:
            marks: cells, in any case; those that are numbers, in any spelling.
        """
        import polars as pl

        if not marks:
            return self
        words = [mark.strip().lower() for mark in marks]
        numbers = pl.Series(
            values=[float(mark) for mark in marks if is_number(mark)], dtype=pl.Float64
        )
        columns = []
        for column in self.frame.get_columns():
            if column.dtype == pl.String:
                cells = self.cells(column.name)
                values = plain_numbers(cells)
                missing = cells.str.to_lowercase().is_in(words) | values.is_in(numbers)
            elif column.dtype.is_numeric():
                missing = converted(column, pl.Float64).is_in(numbers)
            else:
                columns.append(column)
                continue
            kept = evaluated(pl.when(missing.fill_null(False)).then(None).otherwise(column))
            columns.append(kept.alias(column.name))
        return replace(self, frame=pl.DataFrame(columns))

    def where(self, row: int) -> str:
        """The place of a row for messages, such as "line 7"."""
        return f"{self.unit} {row + 1 if self.lines is None else self.lines[row]}"
