"""Dates and times as people write them in files."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pytest

for package in ("typer", "rich", "sklearn", "polars", "fastexcel", "xlsxwriter"):
    pytest.importorskip(package, reason="needs the extras cli and sklearn")


from houses import read, values  # noqa: E402

from tagix._table_format import Conventions  # noqa: E402
from tagix.cli import columns  # noqa: E402

DATES = {
    "ISO": ["2024-03-31", "2024-04-01"],
    "ISO with slashes": ["2024/3/31", "2024/04/01"],
    "German": ["31.03.2024", "1.4.2024"],
    "German, short": ["31.03.24", "01.04.24"],
    "British": ["31/03/2024", "1/4/2024"],
    "British, short": ["31/03/24", "01/04/24"],
    "British with hyphens": ["31-03-2024", "01-04-2024"],
    "American": ["3/31/2024", "04/01/2024"],
    "American, short": ["03/31/24", "4/1/24"],
    "named": ["31 Mar 2024", "1 April 2024"],
    "named with hyphens": ["31-Mar-2024", "01-Apr-2024"],
    "named, short": ["31-Mar-24", "01-Apr-24"],
    "named, American": ["March 31, 2024", "Apr 1, 2024"],
}
CLOCKS = {
    "": (0, 0, 0),
    " 14:30": (14, 30, 0),
    "T14:30:05": (14, 30, 5),
    " 2:30 PM": (14, 30, 0),
    " 12:05 am": (0, 5, 0),
    "T14:30:05Z": (14, 30, 5),
    " 14:30:05+02:00": (12, 30, 5),
    "T14:30-0130": (16, 0, 0),
}


@pytest.mark.parametrize("form", DATES)
def test_dates_in_the_usual_forms(form: str, tmp_path: Path) -> None:
    for clock, (hour, minute, second) in CLOCKS.items():
        first, second_date = DATES[form]
        table = read(
            tmp_path / "data.csv", f"d;y\n{first}{clock};1\n{second_date}{clock};2\n;3\nNaT;4\n"
        )
        expected = [
            datetime.datetime(2024, *day, hour, minute, second) for day in ((3, 31), (4, 1))
        ]
        assert values(table)["d"].to_list() == [*expected, None, None], clock
        assert table.notes == []


def test_months_and_fractions_of_seconds(tmp_path: Path) -> None:
    frame = values(read(tmp_path / "data.csv", "d,t\n2024-03,2024-03-31 10:00:00.25\n2023-11,\n"))
    assert frame["d"].to_list() == [datetime.datetime(2024, 3, 1), datetime.datetime(2023, 11, 1)]
    assert frame["t"][0] == datetime.datetime(2024, 3, 31, 10, 0, 0, 250000)


def test_order_of_day_and_month(tmp_path: Path) -> None:
    # Another column tells it; else it is said; and a decimal comma speaks for days first.
    both = "d;e\n3/4/2024;31/1/2024\n"
    assert values(read(tmp_path / "a.csv", both))["d"][0] == datetime.datetime(2024, 4, 3)
    table = read(tmp_path / "b.csv", "d;y\n3/4/2024;1.5\n")
    assert values(table)["d"][0] == datetime.datetime(2024, 3, 4)
    assert table.notes[0].endswith("in column 'd', '3/4/2024' is read as month/day/year")
    table = read(tmp_path / "c.csv", "d;y\n3/4/2024;1,5\n")
    assert values(table)["d"][0] == datetime.datetime(2024, 4, 3)
    assert table.notes[0].endswith("is read as day/month/year")


def test_times_of_day(tmp_path: Path) -> None:
    table = read(tmp_path / "data.csv", "t,y\n14:30,1\n2:15 am,2\n23:59:30.5,3\n,4\n")
    expected = [
        datetime.time(14, 30),
        datetime.time(2, 15),
        datetime.time(23, 59, 30, 500000),
        None,
    ]
    assert values(table)["t"].to_list() == expected
    hours = columns.read_column(table, "t", "time", Conventions())
    np.testing.assert_allclose(
        hours.to_numpy(), [14.5, 2.25, 23 + 59 / 60 + 30.5 / 3600, np.nan], rtol=1e-12
    )
