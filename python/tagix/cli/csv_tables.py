"""CSV files as tables of numbers, with errors that name the line, the column and the cell."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

DELIMITERS = ",;\t"
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})  # in any case


@dataclass(frozen=True)
class Table:
    """The text of a CSV file.

    Attributes:
        path: of the file, for errors.
        names: of the columns, from its first line.
        rows: cells of each row, as many as there are names.
        lines: the line of the file on which each row ends, from 1 on.
    """

    path: Path
    names: list[str]
    rows: list[list[str]]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> list[str]:
        """The cells of a column. ValueError where there is none of that name."""
        index = self._index(name)
        return [row[index] for row in self.rows]

    def numbers(self, names: Sequence[str], *, missing: bool) -> NDArray[np.float64]:
        """Columns as float64 (rows, columns), NaN where a cell is missing.

        Args:
            names: of the columns, in the order wanted.
            missing: whether cells may be missing: empty, NA, NaN, null, none or ?.

        Raises:
            ValueError: for columns that are not there, and cells that are no finite numbers.
        """
        indices = [self._index(name) for name in names]
        values = np.empty((len(self.rows), len(names)))
        for row, (cells, line) in enumerate(zip(self.rows, self.lines, strict=True)):
            for place, index in enumerate(indices):
                try:
                    values[row, place] = _number(cells[index], missing)
                except ValueError as error:
                    raise self._error(line, names[place], str(error)) from None
        return values

    def labels(self, name: str) -> list[str]:
        """A column of labels, as text. ValueError for cells that are missing."""
        cells = [cell.strip() for cell in self.column(name)]
        for cell, line in zip(cells, self.lines, strict=True):
            if cell.lower() in MISSING:
                raise self._error(line, name, f"got {cell!r}, needed a label")
        return cells

    def _index(self, name: str) -> int:
        if name not in self.names:
            raise ValueError(
                f"{self.path}: got the columns {', '.join(map(repr, self.names))}, needed {name!r}"
            )
        return self.names.index(name)

    def _error(self, line: int, column: str, message: str) -> ValueError:
        return ValueError(f"{self.path}, line {line}, column {column!r}: {message}")


def _number(cell: str, missing: bool) -> float:
    text = cell.strip()
    if text.lower() in MISSING:
        if missing:
            return math.nan
        raise ValueError(f"got {cell!r}, needed a number")
    try:
        value = float(text) if "_" not in text else math.inf
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        or_empty = " or an empty cell" if missing else ""
        raise ValueError(f"got {cell!r}, needed a finite number{or_empty}")
    return value


def read(path: Path) -> Table:
    """Read a CSV file: names of columns first, then rows; commas, semicolons or tabs between cells.

    Which of the three it is, the first line tells. Empty lines are left out.

    Raises:
        ValueError: for a file that is no text in UTF-8, has no rows or no names of columns, or a
            row with too many or too few cells.
        OSError: if the file cannot be read.
    """
    try:
        # Some programs begin files with a mark, which is no part of the first name.
        with open(path, encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max(DELIMITERS, key=first.count)
            return _parse(path, csv.reader(file, delimiter=delimiter, strict=True))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: got bytes that are no text in UTF-8 ({error})") from error


def _parse(path: Path, reader: Any) -> Table:
    rows: list[list[str]] = []
    lines: list[int] = []
    names: list[str] | None = None
    try:
        for cells in reader:
            if not cells or cells == [""]:
                continue
            if names is None:
                names = _names(path, cells)
                continue
            if len(cells) != len(names):
                raise ValueError(
                    f"{path}, line {reader.line_num}: got {len(cells)} cells, needed {len(names)}, "
                    f"one for each name of the first line"
                )
            rows.append(cells)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
    if names is None or not rows:
        raise ValueError(f"{path}: got no rows, needed a line of names and one of cells at least")
    return Table(path, names, rows, lines)


def _names(path: Path, cells: Sequence[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    for place, name in enumerate(names):
        if not name:
            raise ValueError(f"{path}, line 1: got no name for column {place + 1}, needed one")
        if name in names[:place]:
            raise ValueError(f"{path}, line 1: got two columns {name!r}, needed names that differ")
    if all(_is_number(name) for name in names):
        raise ValueError(
            f"{path}, line 1: got numbers alone ({names[0]!r} first), needed names of columns"
        )
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def write(path: Path | None, names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file; to stdout where ``path`` is None. OSError if it cannot be written."""
    if path is None:
        _write(sys.stdout, names, rows)
    else:
        with open(path, "w", encoding="utf-8", newline="") as file:
            _write(file, names, rows)


def _write(file: IO[str], names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
