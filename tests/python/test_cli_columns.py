"""What kind of column a text column becomes, and which columns are of no use as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

for package in ("typer", "rich", "sklearn", "polars", "fastexcel", "xlsxwriter"):
    pytest.importorskip(package, reason="needs the extras cli and sklearn")


from houses import read  # noqa: E402

from tagix.cli import columns  # noqa: E402


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
