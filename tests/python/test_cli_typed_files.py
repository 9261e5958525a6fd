"""Files whose columns have types: Parquet, Arrow and Excel."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pytest

for package in ("typer", "rich", "sklearn", "polars", "fastexcel", "xlsxwriter"):
    pytest.importorskip(package, reason="needs the extras cli and sklearn")

import polars as pl  # noqa: E402
from houses import DAYS, HOUSES, N_ROWS, NAMES, values  # noqa: E402

from tagix.cli import columns  # noqa: E402
from tagix.cli.table_files import read_table  # noqa: E402


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "xlsx"])
def test_files_of_other_kinds(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"houses.{suffix}"
    frame = HOUSES.with_columns(
        pl.Series("sold", DAYS, dtype=pl.Datetime("us")),
        pl.Series("garden", [row % 2 == 0 for row in range(N_ROWS)]),
        pl.Series("city", [("Rome", "Paris", None)[row % 3] for row in range(N_ROWS)]),
    )
    if suffix == "parquet":
        frame.write_parquet(path)
    elif suffix == "arrow":
        frame.write_ipc(path)
    else:
        frame.write_excel(path)
    table = read_table(path)
    got = values(table)
    np.testing.assert_allclose(got.select(NAMES).to_numpy(), HOUSES.to_numpy(), rtol=1e-14)
    for name in ("sold", "garden", "city"):
        assert got[name].to_list() == frame[name].to_list(), name
    assert table.where(0) == ("row 2" if suffix == "xlsx" else "row 1") and table.notes == []
    broken = tmp_path / f"broken.{suffix}"
    broken.write_bytes(b"PAR1 or PK, but no more than that")
    with pytest.raises(ValueError, match=rf"broken.{suffix}: got a file that is not readable as"):
        read_table(broken)


def test_typed_columns(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    rome = datetime.timezone(datetime.timedelta(hours=1))
    frame = pl.DataFrame(
        {
            "count": pl.Series([1, None], dtype=pl.Int16),
            "gap": [float("nan"), 2.5],
            "name": pl.Series(["a", "b"], dtype=pl.Categorical),
            "day": [datetime.date(2024, 3, 31), None],
            "moment": pl.Series(
                [datetime.datetime(2024, 3, 31, 12, tzinfo=rome), None],
                dtype=pl.Datetime("ms", "UTC"),
            ),
            "clock": [datetime.time(14, 30), None],
            "lasts": [datetime.timedelta(hours=1), None],
            "nothing": pl.Series([None, None], dtype=pl.Null),
            "text": ["1,234", "0.5"],
            "list": [[1, 2], [3]],
        }
    )
    frame.write_parquet(path)
    table = read_table(path)
    conventions = columns.conventions(table)
    kinds, problems = columns.guess_kinds(table, table.names, conventions)
    assert list(problems) == ["list"] and "List(Int64)" in problems["list"].words
    got = columns.read_columns(table, kinds, conventions)
    noon = datetime.datetime(2024, 3, 31, 11)
    day = datetime.datetime(2024, 3, 31)
    assert got.row(0) == (1.0, None, "a", day, noon, datetime.time(14, 30), 3600.0, None, 1234.0)
    assert got.row(1) == (None, 2.5, "b", None, None, None, None, None, 0.5)
    forced, problems = columns.guess_kinds(table, ["count"], conventions, ["count"])
    assert columns.read_columns(table, forced, conventions)["count"].to_list() == ["1", None]
    with pytest.raises(ValueError, match=r"row 1, column 'day'.*needed a number"):
        columns.read_columns(table, {"day": "number"}, conventions)


def test_an_index_of_pandas(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    pl.DataFrame({"a": [1.5, 2.5], "__index_level_0__": [7, 3]}).write_parquet(path)
    table = read_table(path)
    assert table.names == ["a"] and table.frame.columns == ["a", "__index_level_0__"]


def test_the_first_of_several_sheets(tmp_path: Path) -> None:
    import xlsxwriter

    path = tmp_path / "book.xlsx"
    with xlsxwriter.Workbook(path) as book:
        HOUSES.write_excel(book, worksheet="houses")
        HOUSES.head(2).write_excel(book, worksheet="other")
    table = read_table(path)
    assert len(table) == N_ROWS and "first of 2 sheets, 'houses'" in table.notes[0]
    with xlsxwriter.Workbook(path) as book:
        book.add_worksheet()
    with pytest.raises(ValueError, match=r"book\.xlsx: got no rows"):
        read_table(path)
