"""Houses, the CSV files that they may be in, and what is read from a file."""

from __future__ import annotations

import csv
import datetime
import io
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tagix.cli import columns
from tagix.cli.table import Table
from tagix.cli.table_files import read_table

N_ROWS = 40
_GENERATOR = np.random.default_rng(0)
AREA = np.round(_GENERATOR.uniform(30, 2000, N_ROWS), 1)
ROOMS = _GENERATOR.integers(1, 7, N_ROWS)
PRICE = np.round(_GENERATOR.uniform(2e4, 4e6, N_ROWS), 2)
DAYS = [
    datetime.datetime(2020, 1, 1) + datetime.timedelta(days=int(day))
    for day in _GENERATOR.integers(0, 1500, N_ROWS)
]
HOUSES = pl.DataFrame({"area": AREA, "rooms": ROOMS.astype(float), "price": PRICE})
NAMES = ["area", "rooms", "price"]


def plain(value: float) -> str:
    """1234.50"""
    return f"{value:.2f}"


def comma(value: float) -> str:
    """1234,50"""
    return plain(value).replace(".", ",")


def english(value: float) -> str:
    """1,234.50"""
    return f"{value:,.2f}"


def german(value: float) -> str:
    """1.234,50"""
    return english(value).translate(str.maketrans(",.", ".,"))


def text(
    area: Any = plain,
    rooms: Any = str,
    price: Any = plain,
    *,
    delimiter: str = ",",
    names: list[str] = NAMES,
    end: str = "\n",
    first: Any = None,
    last: Any = None,
) -> str:
    """A CSV file of the houses, with a spelling for each column, and a column before or behind."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=end)
    writer.writerow(names)
    for row, house in enumerate(zip(AREA, ROOMS, PRICE, strict=True)):
        cells = [spell(value) for spell, value in zip((area, rooms, price), house, strict=True)]
        before = [] if first is None else [first(row)]
        writer.writerow(before + cells + ([] if last is None else [last(row)]))
    return buffer.getvalue()


def read(path: Path, content: str | bytes) -> Table:
    """The table that a file of this content holds."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path)


def values(table: Table) -> pl.DataFrame:
    """All columns, read as they would be for a fit."""
    conventions = columns.conventions(table)
    kinds, problems = columns.guess_kinds(table, table.names, conventions)
    assert not problems
    return columns.read_columns(table, kinds, conventions)
