"""Later tables are read as the first one was, by the format that the model keeps."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for package in ("typer", "rich", "sklearn", "polars"):
    pytest.importorskip(package, reason="needs the extras cli and sklearn")

import polars as pl  # noqa: E402
from command_line import QUICK, fitted_regression, invoke, notes, plane, read_text, write  # noqa: E402

import tagix as tx  # noqa: E402
from tagix._table_format import Conventions, TableFormat  # noqa: E402
from tagix.io import Record  # noqa: E402
from tagix.sklearn import TagiClassifier, TagiRegressor  # noqa: E402

# Some of these tables say nothing about their targets.
pytestmark = pytest.mark.filterwarnings("ignore:fit. rows left out were predicted no better")


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted_regression(tmp_path_factory.mktemp("regression"))


def test_later_files_are_read_as_the_first_one(tmp_path: Path) -> None:
    """Kinds of columns, decimal marks and the order of days and months are kept."""
    rng = np.random.default_rng(0)
    days = rng.integers(1, 13, 60)
    size = rng.uniform(1, 2, 60).round(3)
    rows = [
        (f"{day}/1/2024", f"{value:.3f}".replace(".", ","), ["x", "y", "z"][day % 3], day)
        for day, value in zip(days, size, strict=True)
    ]
    rows[0] = ("13/1/2024", *rows[0][1:])
    rows[1] = (rows[1][0], "1.001,5", *rows[1][2:])
    first = tmp_path / "first.csv"
    first.write_text("\n".join(";".join(map(str, row)) for row in [("d", "s", "c", "y"), *rows]))
    model = tmp_path / "model.safetensors"
    invoke("fit", first, "--target", "y", "--output", model, *QUICK)
    saved: Any = tx.load(model)
    form = saved._table_format
    assert form.kinds == {"d": "date", "s": "number", "c": "category"} and form.targets == ["y"]
    assert form.conventions == Conventions(decimal=",", day_first=True)

    def predictions(text: str) -> list[str]:
        (tmp_path / "new.csv").write_text(text, encoding="utf-8")
        text = invoke("predict", model, tmp_path / "new.csv")
        return text.splitlines()[1].replace("|", ";").split(";")[-6:]

    # The third of February, and a thousand: neither is clear from this file.
    open_one = predictions("d;s;c\n3/2/2024;1.234;x\n")
    assert open_one == predictions("c|s|d\nx|1234,0|2024-02-03\n")
    assert open_one != predictions("d;s;c\n2/3/2024;1.234;x\n")
    assert predictions("d;s;c\n3/2/2024;1,234;x\n") != open_one
    # Whether by learning or not, it stays with the model.
    again: Any = tx.load(model)
    again.save(model)
    assert predictions("d;s;c\n3/2/2024;1.234;x\n") == open_one
    words = invoke(
        "predict", model, write(tmp_path / "bad.csv", "d,s,c", [("1/2/2024", "x", "x")]), code=2
    )
    assert "line 2, column 's': got 'x', needed a number, or nothing" in words
    unknown = tmp_path / "unknown.csv"
    unknown.write_text("d;s;c\n3/2/2024;1.234;x\n3/2/2024;1.234;new\n;;\n3/2/2024;1.234;\n")
    assert notes("predict", model, unknown) == [
        f"tagix: {unknown}: column 'c' has 1 cell with categories that the model does not know, "
        "taken as missing ('new' on line 3)"
    ]
    cells = read_text(invoke("predict", model, unknown).replace(",", ".").replace(";", ","))[1]
    assert len(cells) == 4 and cells[1][3:] == cells[3][3:] != cells[0][3:]


@pytest.mark.parametrize("labels", [[0.0, 1.0], [False, True], ["a", "b"], [3, 7]])
def test_labels_of_a_classifier_fitted_in_python(labels: list[Any], tmp_path: Path) -> None:
    rows = plane(60, 0)[:, :2]
    frame = pl.DataFrame(rows, schema=["a", "b"])
    above = (rows[:, 0] > 5).astype(int)
    estimator = TagiClassifier(n_estimators=1, max_epochs=1, random_state=0)
    estimator.partial_fit(frame, np.array(labels)[above])
    model = tmp_path / "model.safetensors"
    estimator.save(model)
    data = write(tmp_path / "data.csv", "a,b,y", [])
    frame.with_columns(pl.Series("y", np.array(labels)[above])).write_csv(data)
    invoke("update", model, data)
    saved: Any = tx.load(model)
    assert saved.classes_.tolist() == labels
    np.testing.assert_array_equal(
        saved.predict_proba(frame),
        estimator.partial_fit(frame, np.array(labels)[above]).predict_proba(frame),
    )
    assert "needed one of labels" in invoke(
        "update", model, data, "--target", "y", "--target", "a", code=2
    )


def test_cells_that_are_said_to_be_missing(tmp_path: Path) -> None:
    model, data = tmp_path / "model.safetensors", tmp_path / "data.csv"
    rows = [(row % 7, row % 5, row % 3) for row in range(40)]
    gaps: list[Any] = [list(row) for row in rows]
    gaps[3][0], gaps[4][0], gaps[5][1], gaps[6][2] = "-999", "Unknown", -999.0, "-999"
    fit = ("fit", data, "--target", "y", "--output", model, *QUICK)
    write(data, "a,b,y", gaps)
    said = invoke(*fit, code=2)
    assert "'a' has 'Unknown' on line 6" in said and "--missing Unknown takes such a cell" in said
    invoke(*fit, "--missing", "unknown", "--missing", "-999")
    written = read_text(invoke("predict", model, data))[1]
    assert written[3][:3] == ["-999", "3", "0"]  # cells stay as they are
    saved: Any = tx.load(model)
    assert saved._table_format.missing == ["unknown", "-999"]
    empty = [["" if cell in ("-999", "Unknown", -999.0) else cell for cell in row] for row in gaps]
    write(data, "a,b,y", empty)
    assert [row[3:] for row in read_text(invoke("predict", model, data))[1]] == [
        row[3:] for row in written
    ]
    invoke(*fit)
    np.testing.assert_array_equal(saved.x_mean_, tx.load(model).x_mean_)
    np.testing.assert_array_equal(saved.y_mean_, tx.load(model).y_mean_)
    typed = tmp_path / "data.parquet"
    numbers = [[-999 if cell == "" else cell for cell in row] for row in empty]
    pl.DataFrame(numbers, schema=["a", "b", "y"], orient="row").write_parquet(typed)
    invoke("fit", typed, *fit[2:], "--missing", "-999")
    np.testing.assert_array_equal(saved.x_mean_, tx.load(model).x_mean_)


def test_units_stay_those_of_the_first_file(tmp_path: Path) -> None:
    model, data = tmp_path / "model.safetensors", tmp_path / "data.csv"
    rows = [f"{row % 7 + 3}%;{row % 5}.5;${row + 5}" for row in range(30)]
    data.write_text("\n".join(["share;a;y", *rows]))
    invoke("fit", data, "--target", "y", "--output", model, *QUICK)
    saved: Any = tx.load(model)
    assert saved._table_format.marks == {"share": "%", "y": "USD"}

    def update(row: str, code: int = 0) -> str:
        data.write_text(f"share;a;y\n{row}\n")
        return invoke("update", model, data, code=code)

    assert update("4%;2;USD 7") == update("4;2;7") == update("4 %;$2;$7")
    said = "column {} has numbers with {}, needed them with {}, as in the table"
    assert said.format("'y'", "'EUR'", "'USD'") in update("4%;2;7 EUR", 2)
    assert said.format("'a'", "'%'", "nothing") in update("4%;2%;$7", 2)
    assert said.format("'share'", "'GBP'", "'%'") in update("\N{POUND SIGN}4;2;$7", 2)


def test_flags_may_be_written_in_words_later(tmp_path: Path) -> None:
    rows = [(row % 2, row % 7, row) for row in range(30)]
    data = write(tmp_path / "data.csv", "flag,a,y", rows)
    model = tmp_path / "model.safetensors"
    invoke("fit", data, "--target", "y", "--output", model, *QUICK)
    words = write(tmp_path / "words.csv", "flag,a", [(bool(row[0]), row[1]) for row in rows])
    predictions = [
        [row[-6:] for row in read_text(invoke("predict", model, path))[1]] for path in (data, words)
    ]
    assert predictions[0] == predictions[1]
    invoke("fit", words.with_name("data.csv"), "--target", "y", "--output", model, *QUICK)


def test_a_model_fitted_in_python(tmp_path: Path) -> None:
    """It knows names alone, and that all of them are numbers."""
    rows = plane(60, 0)
    frame = pl.DataFrame(rows[:, :2], schema=["a", "b"])
    estimator = TagiRegressor(n_estimators=1, max_epochs=2, random_state=0).fit(frame, rows[:, 2])
    model = tmp_path / "model.safetensors"
    estimator.save(model)
    data = write(tmp_path / "data.csv", "y,b,a", rows[:, [2, 1, 0]])
    cells = np.array(read_text(invoke("predict", model, data))[1], dtype=float)
    np.testing.assert_array_equal(cells[:, 3], estimator.predict(frame))
    assert "learned 'y' of 60 rows more" in invoke("update", model, data)
    frame = pl.DataFrame(
        {
            "flag": [row % 2 == 0 for row in range(60)],
            "city": [["Rome", "Paris"][row % 2] for row in range(60)],
            "day": [datetime.date(2024, 1, 1 + row % 28) for row in range(60)],
            "time": [datetime.time(row % 24, 30) for row in range(60)],
        }
    )
    estimator.fit(frame, rows[:, 2]).save(model)
    frame.write_csv(data)
    cells = read_text(invoke("predict", model, data))[1]
    predicted = np.array([row[4] for row in cells], dtype=float)
    np.testing.assert_array_equal(predicted, estimator.predict(frame))
    estimator.fit(rows[:, :2], rows[:, 2]).save(model)
    assert "rows without names" in invoke("predict", model, data, code=2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"targets": []},
        {"targets": [1]},
        {"kinds": ["number"]},
        {"kinds": ["number", "colour"]},
        {"kinds": ["number", 1]},
        {"kinds": None},
        {"decimal": ";"},
        {"decimal": ""},
        {"decimal": {}},
        {"day_first": 1},
        {"marks": {"a": 1}},
        {"marks": ["%"]},
        {"missing": [-999]},
        {"missing": None},
        {"more": 1},
    ],
)
def test_a_format_that_does_not_fit_its_model_is_refused(
    wrong: dict[str, Any], regression: Path, tmp_path: Path
) -> None:
    kinds = {"a": "number", "b": "category"}
    form = TableFormat(["y"], kinds, Conventions(",", True), {"y": "EUR"}, ["-999"])
    right = form.to_description()
    read = TableFormat.from_description(Record(right, "table_format"), ["a", "b"])
    assert read == form and list(read.kinds) == ["a", "b"]
    with pytest.raises(ValueError):
        TableFormat.from_description(Record(right | wrong, "table_format"), ["a", "b"])
    model: Any = tx.load(regression)
    description, tensors = model._to_file()
    description["learned"]["table_format"] |= wrong
    with pytest.raises(ValueError):
        TagiRegressor._from_file(description, tensors, "cpu")


def test_a_format_is_of_the_features_that_it_was_found_for(regression: Path) -> None:
    model: Any = tx.load(regression)
    assert model._table_format.kinds == {"a": "number", "b": "number"}
    rows = plane(20, 4)
    model.partial_fit(pl.DataFrame(rows[:, :2], schema=["a", "b"]), rows[:, 2])
    assert model._table_format is not None
    model.learn_one({"a": 1.0, "b": 2.0, "c": 3.0}, 4.0)
    assert model._table_format is None
    model = tx.load(regression)
    model.set_params(max_epochs=1).fit(rows[:, :2], rows[:, 2])
    assert model._table_format is None
