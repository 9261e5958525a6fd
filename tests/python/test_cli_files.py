"""Text files in all the ways that people write them: the same houses, and what is refused."""

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
from houses import DAYS, HOUSES, N_ROWS, NAMES, comma, english, german, plain, read, text, values  # noqa: E402

from tagix._table_format import Conventions  # noqa: E402
from tagix.cli import columns  # noqa: E402

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
