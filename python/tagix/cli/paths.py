"""What the path of a table says: stdin, or by its suffix a kind of file."""

from __future__ import annotations

from pathlib import Path

STDIN = Path("-")
PARQUET_SUFFIXES = (".parquet", ".pq")
ARROW_SUFFIXES = (".arrow", ".feather", ".ipc")
EXCEL_SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
