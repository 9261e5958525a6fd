"""What ``tagix fit`` makes of files: the same houses, written in all the ways that people use."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for package in ("typer", "rich", "sklearn", "polars", "fastexcel", "xlsxwriter"):
    pytest.importorskip(package, reason="needs the extras cli and sklearn")

import polars as pl  # noqa: E402

from tagix._table_format import Conventions  # noqa: E402
from tagix.cli import columns  # noqa: E402
from tagix.cli.table import Table  # noqa: E402
from tagix.cli.table_files import read_table  # noqa: E402

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
    return f"{value:.2f}"


def comma(value: float) -> str:
    return plain(value).replace(".", ",")


def english(value: float) -> str:
    return f"{value:,.2f}"


def german(value: float) -> str:
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


# By what is special about them, texts or bytes that hold the same houses.
SPELLINGS: dict[str, str | bytes] = {
    "plain": text(),
    "semicolon": text(delimiter=";"),
    "tab": text(delimiter="\t"),
    "pipe": text(delimiter="|"),
    "aligned by spaces": text(delimiter=" ").replace(" ", "   "),
    "decimal comma": text(comma, str, comma, delimiter=";"),
    "decimal comma and tab": text(comma, str, comma, delimiter="\t"),
    "decimal comma in quotes": text(comma, str, comma),
    "dollars": text(price=lambda price: f"${english(price)}"),
    "dollars before a space": text(price=lambda price: f"USD {english(price)}"),
    "euros": text(comma, str, lambda price: f"{german(price)} €", delimiter=";"),
    "euros as a code": text(german, str, lambda price: f"{german(price)} EUR", delimiter=";"),
    "thousands": text(english, str, english),
    "thousands with points": text(german, str, german, delimiter=";"),
    "thousands with spaces": text(
        price=lambda price: english(price).replace(",", "\N{NO-BREAK SPACE}")
    ),
    "thousands with narrow spaces": text(
        comma, str, lambda price: german(price).replace(".", "\N{NARROW NO-BREAK SPACE}")
    ),
    "thousands with apostrophes": text(price=lambda price: english(price).replace(",", "'")),
    "percent": text(lambda area: f"{plain(area)}%", str, lambda price: f"{plain(price)} %"),
    "scientific": text(lambda area: f"{area:.4E}", str, lambda price: f"{price:.12e}"),
    "plus": text(lambda area: f"+{area}"),
    "mark of UTF-8": text().encode("utf-8-sig"),
    "UTF-16": text().encode("utf-16"),
    "UTF-16 without a mark": text().encode("utf-16-le"),
    "UTF-32": text().encode("utf-32"),
    "gzip": gzip.compress(text().encode()),
    "CRLF": text(end="\r\n"),
    "CR": text(end="\r"),
    "no end of the last line": text().rstrip(),
    "empty lines": "\n\n" + text().replace("\n", "\n\n"),
    "empty rows at the end": text() + ",,\n,,\n",
    "all in quotes": "\n".join(
        ",".join(f'"{cell}"' for cell in line.split(",")) for line in text().splitlines()
    ),
    "quotes after spaces": '"'
    + text(delimiter="\t").replace("\t", '", "').replace("\n", '"\n"')[:-1],
    "spaces around": text(names=[" area ", "rooms  ", " price"]).replace(",", " , "),
    "no-break spaces around": text().replace(",", "\N{NO-BREAK SPACE},"),
    "delimiters at the ends": text(end=",\n"),
    "delimiters at the ends of rows": text(end=",\n").replace(",\n", "\n", 1),
    "empty columns": text(names=[*NAMES, "", ""]).replace("\n", ",,\n").replace(",,,,", ",,", 1),
    "index": text(names=["", *NAMES], first=str),
    "index from 1": text(names=["Unnamed: 0", *NAMES], first=lambda row: row + 1),
    "shuffled index": text(names=["", *NAMES], first=lambda row: (row * 7) % N_ROWS),
    "names of rows as R writes them": text(first=lambda row: f"house {row}"),
    "what Excel is told": "sep=;\n" + text(delimiter=";"),
    "comments": "# houses\n# of the town, all of them\n" + text(),
    "names as numpy writes them": "# " + text(),
}


def read(path: Path, content: str | bytes) -> Table:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path)


def values(table: Table) -> pl.DataFrame:
    """All columns, read as they would be for a fit."""
    conventions = columns.conventions(table)
    kinds, problems = columns.guess_kinds(table, table.names, conventions)
    assert not problems
    return columns.read_columns(table, kinds, conventions)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_same_houses_however_they_are_written(spelling: str, tmp_path: Path) -> None:
    table = read(tmp_path / "houses.csv", SPELLINGS[spelling])
    frame = values(table)
    assert frame.columns == NAMES
    np.testing.assert_array_equal(frame.to_numpy(), HOUSES.to_numpy())
    assert table.lines is not None and len(table.lines) == N_ROWS
    if "index" in spelling or "names of rows" in spelling:
        assert len(table.notes) == 1 and "left out column 1" in table.notes[0]
    elif spelling == "UTF-16 without a mark":
        assert table.notes == [f"{table.path}: not UTF-8, read as UTF-16-LE"]
    else:
        assert table.notes == []


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "latin-1", "utf-16"])
def test_names_and_categories_beyond_ascii(encoding: str, tmp_path: Path) -> None:
    # The last one is not a character of Windows-1252.
    city = "K\xf6ln\x81" if encoding == "latin-1" else "K\xf6ln"
    content = "fl\xe4che,ort\n" + f"1.5,{city}\n2.5,Rom\n" * 3
    frame = values(read(tmp_path / "data.csv", content.encode(encoding)))
    assert frame.columns == ["fl\xe4che", "ort"] and frame["ort"].to_list() == [city, "Rom"] * 3


MISSING = ["", "NA", "N/A", "#N/A", "nan", "NaN", "null", "NULL", "None", "<NA>", "?", "-", " "]
MISSING += ["--", "\N{EM DASH}", "#DIV/0!", "NaT", "n/a"]


def test_marks_of_missing_cells(tmp_path: Path) -> None:
    rows = [f"{row}.5,{mark},{mark},{mark}" for row, mark in enumerate(MISSING)]
    full = ["1.5,7,red,2024-01-31"] * 2 * len(MISSING)
    frame = values(read(tmp_path / "data.csv", "\n".join(["a,b,c,d", *rows, *full])))
    kinds = [column.dtype for column in frame.get_columns()]
    assert kinds == [pl.Float64, pl.Float64, pl.Categorical, pl.Datetime("us")]
    for name in "bcd":
        assert frame[name].head(len(rows)).null_count() == len(rows)
        assert frame[name].null_count() == len(rows)
    assert frame.row(-1) == (1.5, 7.0, "red", datetime.datetime(2024, 1, 31))


NUMBERS = {
    "1234.5": [
        ("1,234.5", "1234.5"),
        ("1.234,5", "1234,5"),
        ("1'234.5", "0.5"),
        ("1 234,5", "0,5"),
    ],
    "1234567": [("1,234,567", "1.5"), ("12,34,567", "1.5"), ("1.234.567", "1,5")],
    "-5": [
        ("-5", "1.5"),
        ("\N{MINUS SIGN}5", "1.5"),
        ("(5)", "1.5"),
        ("-$5", "1.5"),
        ("($5)", "1.5"),
    ],
    "0.5": [(".5", "1.5"), (",5", "1,5"), ("50e-2", "1.5"), ("5,0E-1", "1,5")],
    "5": [
        ("5.", "1.5"),
        ("+5", "1.5"),
        ("05", "1.5"),
        ("US$5", "1.5"),
        ("5 kr", "1.5"),
        ("\xa35", "2"),
    ],
    "1234": [("1,234", "1.5"), ("1.234", "1,5"), ("\u20b91,234", "1.5")],
    "1.234": [("1.234", "1.5"), ("1,234", "1,5")],
    "0.123": [("0.123", "12.345"), ("0,123", "12,345")],
}


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_as_people_write_them(number: str, tmp_path: Path) -> None:
    for cell, other in NUMBERS[number]:
        table = read(tmp_path / "data.csv", f"a;b\n{cell};1\n{other};2\n")
        assert values(table)["a"][0] == float(number), (cell, other)


@pytest.mark.parametrize(
    "cell",
    ["1_000", "12 34", "1,23,4.5", "0x10", "1.2.3", "12abc", "--5", "1e", "$", "%", "1,2345.5"],
)
def test_what_only_looks_like_a_number(cell: str, tmp_path: Path) -> None:
    table = read(tmp_path / "data.csv", f"a;b\n{cell};1\n" + "1.5;2\n7.25;1\n" * 9)
    kinds, problems = columns.guess_kinds(table, table.names, columns.conventions(table))
    assert kinds == {"b": "number"}
    assert problems["a"].words == f"has {cell!r} on line 2, where it needs a number"


def test_other_columns_tell_what_a_comma_is(tmp_path: Path) -> None:
    def first(content: str, *, note: str | None = None) -> tuple[float, ...]:
        table = read(tmp_path / "data.csv", content)
        frame = values(table)
        assert [line.partition(": ")[2] for line in table.notes] == ([note] if note else [])
        return frame.row(0)

    assert first('a,b\n"1,234",0.5\n"2,345",1.5\n') == (1234, 0.5)
    assert first('a,b\n"1,234","0,5"\n"2,345","1,5"\n') == (1.234, 0.5)
    assert first("a;b\n1.234;0,5\n2.345;1,5\n") == (1234, 0.5)
    assert first("a;b\n1.234;5\n2.345;15\n") == (1.234, 5)
    # What stays open is said.
    note = "in column 'a', '1,234' is read as "
    assert first('a,b\n"1,234",5\n"2,345",15\n', note=note + "1234") == (1234, 5)
    assert first("a;b\n1,234;5\n2,345;15\n", note=note + "1.234") == (1.234, 5)
    # An earlier file settles it.
    table = read(tmp_path / "data.csv", "a;b\n1.234;5\n")
    conventions = columns.conventions(table, Conventions(decimal=","))
    frame = columns.read_columns(table, {"a": "number"}, conventions)
    assert frame.row(0) == (1234,) and table.notes == []


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


def kinds_of(tmp_path: Path, cells: list[Any], name: str = "x") -> tuple[str | None, str]:
    """The kind of a column, or the words of its problem."""
    rows = [f"{cell};{row}" for row, cell in enumerate(cells)]
    table = read(tmp_path / "data.csv", "\n".join([f"{name};y", *rows]))
    kinds, problems = columns.guess_kinds(table, [name], columns.conventions(table))
    return kinds.get(name), problems[name].words if problems else ""


def test_kinds_of_text(tmp_path: Path) -> None:
    assert kinds_of(tmp_path, ["yes", "No", "YES", ""]) == ("boolean", "")
    assert kinds_of(tmp_path, ["True", "False"]) == ("boolean", "")
    assert kinds_of(tmp_path, ["t", "f", "?"]) == ("boolean", "")
    assert kinds_of(tmp_path, ["WAHR", "FALSCH"]) == ("boolean", "")
    assert kinds_of(tmp_path, ["red", "green", "blue"] * 2) == ("category", "")
    assert kinds_of(tmp_path, [f"c{row % 20}" for row in range(40)]) == ("category", "")
    assert kinds_of(tmp_path, ["", "NA", "?"]) == ("number", "")  # of which there is none yet
    assert kinds_of(tmp_path, ["1", "2", "3", "4+"] * 8) == ("category", "")
    assert kinds_of(tmp_path, [f"{month:02}" for month in range(1, 13)]) == ("number", "")
    assert kinds_of(tmp_path, ["00501", "10001", "94105"] * 3) == ("category", "")
    assert kinds_of(tmp_path, ["0012.50", "0003.25"]) == ("number", "")


def test_columns_that_are_of_no_use_as_they_are(tmp_path: Path) -> None:
    def problem(cells: list[Any]) -> str:
        kind, words = kinds_of(tmp_path, cells)
        assert kind is None
        return words

    assert problem([f"A{row:03}" for row in range(40)]) == (
        "holds text ('A000' on line 2; 40 of 40 cells differ)"
    )
    assert problem([f"c{row % 21}" for row in range(84)]) == (
        "holds text ('c0' on line 2; 21 of 84 cells differ)"
    )
    assert problem(["a", "b", "a"]) == "holds text ('a' on line 2; 2 of 3 cells differ)"
    numbers: list[Any] = [f"{row}.5" for row in range(40)]
    mistake = [*numbers[:7], "12,3abc", *numbers[7:]]
    assert problem(mistake) == "has '12,3abc' on line 9, where it needs a number"
    few = ["1", "2", "3"] * 20 + ["2x"]
    assert problem(few) == "has '2x' on line 62, where it needs a number"
    dates = [f"2024-01-{day:02}" for day in range(1, 29)]
    assert problem([*dates, "3/4/2024"]) == (
        "has '3/4/2024' on line 30, where it needs a date in the form of the others"
    )
    assert problem([*dates, "2024-02-30"]).startswith("has '2024-02-30' on line 30")
    assert problem([f"{row:05}" for row in range(7, 40)]) == "holds codes ('00007' on line 2)"
    ids = [str(10**17 + row) for row in range(30)]
    assert problem(ids) == f"holds codes ({ids[0]!r} on line 2)"
    assert problem(["$5", "7 \N{EURO SIGN}"] * 5) == "mixes 'EUR' and 'USD'"
    assert kinds_of(tmp_path, ["$5", "USD 7", "US$8", "9"]) == ("number", "")
    assert problem(["5%", "7", "0"]) == "mixes numbers with and without a percent sign ('7')"


def test_names_that_are_missing_or_come_twice(tmp_path: Path) -> None:
    table = read(tmp_path / "data.csv", "a,,a,a_2,a\n1,x,3,4,5\n2,x,4,5,6\n")
    assert table.names == ["a", "column_2", "a_3", "a_2", "a_4"]
    assert [note.partition(": ")[2] for note in table.notes] == [
        "column 2 has no name, read as 'column_2'",
        "column 3 is another 'a', read as 'a_3'",
        "column 5 is another 'a', read as 'a_4'",
    ]
    assert table.frame.row(0) == ("1", "x", "3", "4", "5")
    table = read(tmp_path / "data.csv", '"area\n(m\xb2)", "b, c"\n1,2\n')
    assert table.names == ["area (m\xb2)", "b, c"] and table.where(0) == "line 3"


REFUSED: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", ": got no text"),
    "blank": (" \n \n", ": got no text"),
    "names alone": ("a,b,y\n", ": got no rows"),
    "numbers for names": ("1,2,3\n4,5,6\n", ": got numbers alone in the first line ('1' first)"),
    "few cells": (
        "a,b,y\n1,2,3\n\n1,2\n",
        ", line 4: got 2 cells, needed 3",
    ),
    "many cells": (
        "a,b,y\n1,2,3\n1,2,3,4\n",
        ", line 3: got 4 cells, needed 3",
    ),
    "few cells in quotes": (
        'a,b,y\n1,"2\n3",3\n\n1,2\n',
        ", line 5: got 2 cells, needed 3",
    ),
    "open quotes": ('a,b,y\n1,2,3\n1,"2,3\n4,5,6\n', ", line 3: got quotes that do not end"),
    "text behind quotes": ('a,b,y\n1,"2"3,4\n', ", line 2: "),
    "bytes": (bytes(range(256)), ": got bytes that are not text"),
    "broken gzip": (gzip.compress(text().encode())[:-9], ": got a damaged gzip file"),
    "broken UTF-8": (b"\xef\xbb\xbfa,y\n\xff,1\n", ": got bytes that are not UTF-8"),
    "broken UTF-16": (b"\xff\xfea\x00\x00", ": got bytes that are not UTF-16"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_are_refused(name: str, tmp_path: Path) -> None:
    content, message = REFUSED[name]
    path = tmp_path / "data.csv"
    with pytest.raises(ValueError) as error:
        read(path, content)
    assert str(error.value).startswith(f"{path}{message}") and "\n" not in str(error.value)


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


def test_infinity_and_numbers_beyond_float64_are_refused_with_their_place(tmp_path: Path) -> None:
    for cell in ("inf", "-Infinity", "1e400", "3e305"):
        table = read(tmp_path / "data.csv", f"a,y\n1,2\n{cell},3\n")
        with pytest.raises(ValueError, match=rf"line 3, column 'a': got '{cell}', needed a finite"):
            values(table)


def test_errors_of_wide_tables_stay_short(tmp_path: Path) -> None:
    names = [f"column {place}" for place in range(100)]
    rows = [",".join(f"word {place} {row}" for place in range(100)) for row in range(3)]
    table = read(tmp_path / "data.csv", "\n".join([",".join(names), *rows]))
    with pytest.raises(ValueError) as error:
        table.require(["colum 7"])
    start, _, end = str(error.value).partition("'column 7'")
    assert start == f"{table.path}: got 100 columns, of which "
    assert end.endswith(" come near, needed the column 'colum 7'") and len(end) < 80
    _, problems = columns.guess_kinds(table, table.names, Conventions())
    with pytest.raises(ValueError, match=r"100 columns cannot be used: .*; and 80 more$") as error:
        columns.refuse(table, problems)
    assert str(error.value).count("--drop") == 20


def test_many_columns_and_chunks_of_rows(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    wide = pl.DataFrame(generator.normal(size=(12, 400)))
    table = read(tmp_path / "wide.csv", wide.write_csv())
    np.testing.assert_array_equal(values(table).to_numpy(), wide.to_numpy())
    # More rows than are taken at a time, with quotes and without.
    tall = pl.DataFrame({"a": np.arange(45_001.0), "b": generator.normal(size=45_001)})
    for style in ("necessary", "always"):
        table = read(tmp_path / "tall.csv", tall.write_csv(quote_style=style))
        assert values(table).equals(tall)
        assert table.lines is not None and table.lines[-1] == 45_002


@pytest.mark.parametrize("seed", range(30))
def test_random_tables_in_random_dialects(seed: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(seed)

    def one_of(*choices: Any) -> Any:
        return choices[generator.integers(len(choices))]

    n_rows = int(generator.integers(8, 60))
    delimiter, decimal = one_of(
        (",", "."), (",", ","), (";", ","), (";", "."), ("\t", ","), ("|", ".")
    )
    words = ["red", "dark green", '5"', "a,b;c|d", "two\nlines", "\xfc", "it's"]
    truth: dict[str, list[Any]] = {
        "first": [],
        "b, c": [],
        "(m\xb2);": [],
        'the "word"': [],
        "day": [],
    }
    rows = []
    for row in range(n_rows):
        number = float(np.round(generator.normal() * 10.0 ** generator.integers(-2, 6), 3))
        scaled = float(f"{generator.normal() * 10.0 ** generator.integers(-20, 20):.6e}")
        count, word = int(generator.integers(-(10**9), 10**9)), words[row % 4]
        moment = DAYS[0] + datetime.timedelta(minutes=int(generator.integers(10**6)))
        cells = [
            f"{number:.3f}".replace(".", decimal),
            str(count),
            f"{scaled:.6e}".replace(".", decimal),
        ]
        cells += [word, moment.isoformat(one_of(" ", "T"))]
        wanted: list[Any] = [number, float(count), scaled, word, moment]
        if row and generator.random() < 0.3:
            place = generator.integers(5)
            cells[place], wanted[place] = one_of("", "NA", "-", " "), None
        rows.append(cells)
        for values_of, value in zip(truth.values(), wanted, strict=True):
            values_of.append(value)
    buffer = io.StringIO()
    writer = csv.writer(
        buffer,
        delimiter=delimiter,
        lineterminator=one_of("\n", "\r\n"),
        quoting=one_of(csv.QUOTE_MINIMAL, csv.QUOTE_ALL),
    )
    writer.writerows([truth, *rows])
    content = buffer.getvalue().encode(one_of("utf-8", "utf-8-sig", "utf-16", "cp1252"))
    frame = values(read(tmp_path / "data.csv", content))
    assert frame.columns == list(truth)
    for name, column in truth.items():
        assert frame[name].to_list() == column, name
