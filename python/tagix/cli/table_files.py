"""Tables in files: CSV in any of the usual dialects, Parquet, Arrow (Feather) and spreadsheets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tagix._optional import import_optional
from tagix.cli.column_names import named_table
from tagix.cli.paths import ARROW_SUFFIXES, EXCEL_SUFFIXES, PARQUET_SUFFIXES
from tagix.cli.table import Table
from tagix.cli.text_files import read_text


def read_table(path: Path) -> Table:
    """Read a file by its suffix; "-" is CSV from stdin, and so is a file of any other suffix.

    The first line of text, and the first row of a spreadsheet, holds the names of the columns.
    Columns that have neither a name nor a cell are left out, and so is a first column without a
    name that counts or names the rows. Repeated and missing names are replaced.

    Raises:
        ValueError: for a file of another kind, without names or rows, or with rows of different
            lengths; one line with the path and, where there is one, the line.
        OSError: if the file cannot be read.
        ImportError: without polars, or fastexcel for a spreadsheet.
    """
    import_optional("polars", extra="cli")
    suffix = path.suffix.lower()
    if suffix in PARQUET_SUFFIXES + ARROW_SUFFIXES:
        table = _read_typed_columns(path, suffix)
    elif suffix in EXCEL_SUFFIXES:
        table = _read_sheet(path)
    else:
        table = read_text(path)
    if not len(table):
        raise ValueError(f"{path}: got no rows, needed at least one beside the names of columns")
    return table


def _read_typed_columns(path: Path, suffix: str) -> Table:
    """Parquet and Arrow, whose columns are typed."""
    import polars as pl

    try:
        if suffix in PARQUET_SUFFIXES:
            frame = pl.read_parquet(path)
        elif path.read_bytes()[:6] == b"ARROW1":
            frame = pl.read_ipc(path)
        else:  # the format of streams
            frame = pl.read_ipc_stream(path)
    except pl.exceptions.PolarsError as error:
        raise _not_readable(path, suffix, error) from error
    return named_table(path, frame.columns, frame)


def _read_sheet(path: Path) -> Table:
    """The first sheet of a spreadsheet, all cells as text."""
    import polars as pl

    fastexcel = import_optional("fastexcel", extra="cli")
    try:
        book = fastexcel.read_excel(path)
        frame = book.load_sheet(0, header_row=None, dtypes="string").to_polars()
    except (fastexcel.FastExcelError, pl.exceptions.PolarsError) as error:
        raise _not_readable(path, path.suffix, error) from error
    if not frame.height:
        return Table(path, frame)
    names = [name or "" for name in frame.row(0)]
    table = named_table(path, names, frame.slice(1), np.arange(2, frame.height + 1))
    if len(book.sheet_names) > 1:
        table.notes.insert(
            0, f"{path}: read the first of {len(book.sheet_names)} sheets, {book.sheet_names[0]!r}"
        )
    return table


def _not_readable(path: Path, suffix: str, error: Exception) -> ValueError:
    reason = str(error).strip().split("\n")[0] or type(error).__name__
    return ValueError(f"{path}: got a file that is not readable as {suffix} ({reason})")
