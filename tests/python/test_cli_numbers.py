"""Numbers as people write them in files."""

from __future__ import annotations

from pathlib import Path

import pytest

for package in ("typer", "rich", "sklearn", "polars", "fastexcel", "xlsxwriter"):
    pytest.importorskip(package, reason="needs the extras cli and sklearn")


from houses import read, values  # noqa: E402

from tagix._table_format import Conventions  # noqa: E402
from tagix.cli import columns  # noqa: E402

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


def test_infinity_and_numbers_beyond_float64_are_refused_with_their_place(tmp_path: Path) -> None:
    for cell in ("inf", "-Infinity", "1e400", "3e305"):
        table = read(tmp_path / "data.csv", f"a,y\n1,2\n{cell},3\n")
        with pytest.raises(ValueError, match=rf"line 3, column 'a': got '{cell}', needed a finite"):
            values(table)
