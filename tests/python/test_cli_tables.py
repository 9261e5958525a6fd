"""``tagix fit``, ``predict`` and ``update`` on tables in files."""

from __future__ import annotations

import csv
import datetime
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for package in ("typer", "rich", "sklearn", "polars"):
    pytest.importorskip(package, reason="needs the extras cli and sklearn")

import polars as pl  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

import tagix as tx  # noqa: E402
from tagix._table_format import Conventions, TableFormat  # noqa: E402
from tagix.cli import build_app  # noqa: E402
from tagix.io import Record  # noqa: E402
from tagix.sklearn import TagiClassifier, TagiRegressor  # noqa: E402

# Some of these tables say nothing about their targets.
pytestmark = pytest.mark.filterwarnings("ignore:fit. rows left out were predicted no better")

NOISE_STD = 0.2
QUICK = ("--max-epochs", 2, "--n-estimators", 1)


def invoke(*arguments: object, code: int = 0) -> str:
    """What the command prints, errors included."""
    result = CliRunner().invoke(build_app(), [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output[-1000:], result.exception)
    return str(result.output if code else result.stdout)


def notes(*arguments: object) -> list[str]:
    """What the command says on stderr beside what it does, and that X says nothing about y."""
    result = CliRunner().invoke(build_app(), [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output[-1000:], result.exception)
    return [
        line for line in result.stderr.splitlines() if "no better than by a constant" not in line
    ]


def write(path: Path, header: str, rows: Any) -> Path:
    lines = [header, *(",".join(str(cell) for cell in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> tuple[list[str], list[list[str]]]:
    with open(path, encoding="utf-8", newline="") as file:
        names, *rows = csv.reader(file)
    return names, rows


def plane(n_rows: int, seed: int) -> np.ndarray:
    """Rows of name, a, b and y = 3 a - 2 b + 10 + noise."""
    generator = np.random.default_rng(seed)
    a, b = generator.normal(5.0, 2.0, n_rows), generator.normal(-1.0, 0.5, n_rows)
    y = 3 * a - 2 * b + 10 + NOISE_STD * generator.standard_normal(n_rows)
    return np.stack([a, b, y], axis=1)


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 400 rows, and new.csv with other ones."""
    folder = tmp_path_factory.mktemp("regression")
    rows = [("r", *row) for row in plane(400, 0)]
    data = write(folder / "data.csv", "name,a,b,y", rows)
    model = folder / "model.safetensors"
    output = invoke("fit", data, "--target", "y", "--drop", "name", "--output", model)
    assert f"{model}: a regression of 'y' by 2 columns, 400 rows" in output
    # Other order of columns, the target among them.
    write(folder / "new.csv", "y,b,a", plane(300, 1)[:, [2, 1, 0]])
    return model


def test_predictions_are_calibrated(regression: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    invoke("predict", regression, regression.with_name("new.csv"), "--output", out)
    names, rows = read(out)
    parts = ["std_epistemic", "std_aleatoric"]
    assert names == ["y", "b", "a", "prediction", "std", *parts, "low", "high"]
    y, b, a, mean, std, epistemic, aleatoric, low, high = np.array(rows, dtype=float).T
    assert np.sqrt(np.mean((mean - (3 * a - 2 * b + 10)) ** 2)) < NOISE_STD
    assert 0.5 * NOISE_STD < np.median(std) < 2 * NOISE_STD
    assert 0.82 < np.mean((low < y) & (y < high)) < 0.97
    np.testing.assert_allclose(epistemic**2 + aleatoric**2, std**2, rtol=1e-12)
    # Of a t, of one number of degrees of freedom from 3 (1.359) to that of a Gaussian (1.645).
    reach = (high - low) / (2 * std)
    assert np.ptp(reach) < 1e-4 and 1.358 < reach.mean() < 1.646


def test_predictions_are_the_estimators(regression: Path) -> None:
    new = regression.with_name("new.csv")
    text = invoke("predict", regression, new, "--level", "0.5")
    cells = np.array([line.split(",") for line in text.splitlines()[1:]], dtype=float)
    model: Any = tx.load(regression)
    assert list(model.feature_names_in_) == ["a", "b"]
    frame = pl.DataFrame(cells[:, [2, 1]], schema=["a", "b"])
    mean, std = model.predict(frame, return_std=True)
    np.testing.assert_array_equal(cells[:, 3], mean)  # all digits are written
    np.testing.assert_array_equal(cells[:, 4], std)
    mixture = model._predict(frame, None)
    np.testing.assert_allclose(cells[:, 5:7] ** 2, np.transpose(mixture[1:3]), rtol=1e-14)
    np.testing.assert_array_equal(cells[:, 7:], model.predict_interval(frame, level=0.5))


def test_missing_cells_are_missing_values(regression: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "gaps.csv", "a,b", [(5.0, -1.0), ("", -1.0), ("NA", "?")])
    invoke("predict", regression, data, "--output", tmp_path / "out.csv")
    rows = read(tmp_path / "out.csv")[1]
    std = [float(row[3]) for row in rows]
    assert rows[1][:2] == ["", "-1.0"]
    # Of y = 3 a - 2 b, a is most.
    assert 3 * std[0] < std[1] < 1.05 * std[2]


def test_update_learns_new_rows(regression: Path, tmp_path: Path) -> None:
    # The law has moved by 20: after the update, predictions have followed.
    moved = plane(600, 2) + np.array([0, 0, 20])
    new = write(tmp_path / "moved.csv", "a,b,y", moved)
    updated = tmp_path / "updated.safetensors"
    before = regression.read_bytes()
    output = invoke("update", regression, new, "--output", updated)
    assert output == f"{updated}: learned 'y' of 600 rows more\n"
    assert regression.read_bytes() == before
    errors = []
    for model in (regression, updated):
        invoke("predict", model, new, "--output", tmp_path / "out.csv")
        cells = np.array(read(tmp_path / "out.csv")[1], dtype=float)
        errors.append(abs(np.mean(cells[:, 3] - cells[:, 2])))
    assert errors[0] == pytest.approx(20, abs=0.5) and errors[1] < 5
    invoke("update", updated, new, "--target", "y", "--quiet")
    invoke("predict", updated, new, "--output", tmp_path / "out.csv")
    cells = np.array(read(tmp_path / "out.csv")[1], dtype=float)
    assert abs(np.mean(cells[:, 3] - cells[:, 2])) < 4


def test_classes(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(300, 2))
    labels = np.where(x[:, 0] + x[:, 1] > 0, "up", "down")
    rows = [(*point, label) for point, label in zip(x, labels, strict=True)]
    data = write(tmp_path / "data.csv", "a,b,way", rows)
    model = tmp_path / "model.safetensors"
    output = invoke("fit", data, "--target", "way", "--classify", "--output", model, "--quiet")
    assert output == ""
    invoke("predict", model, data, "--output", tmp_path / "out.csv")
    names, cells = read(tmp_path / "out.csv")
    assert names == ["a", "b", "way", "prediction", "p(down)", "p(up)"]
    assert np.mean([row[2] == row[3] for row in cells]) > 0.93
    p = np.array([row[4:] for row in cells], dtype=float)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-5)
    chosen = np.array([row[3] == "up" for row in cells], dtype=int)
    assert (p[np.arange(len(p)), chosen] >= 0.5).all()
    assert "learned 'way' of 300 rows more" in invoke("update", model, data)


BAD: dict[str, tuple[str, str]] = {
    "text": ("a,b,y\n1,2,3\n1,x,3\n", "'b' has 'x' on line 3, where it needs a number"),
    "infinity": ("a,b,y\n1,inf,3\n", "line 2, column 'b': got 'inf'"),
    "underscore": ("a,b,y\n1_0,2,3\n", "'a' holds text ('1_0' on line 2"),
    "target": ("a,b,y\n1,2,3\n1,2,x\n", "'y' has 'x' on line 3"),
    "date for target": ("a,y\n1,2024-01-31\n", "'y' holds dates: a target is numbers, or labels"),
    "no target": ("a,b,y\n1,2,\n1,2,NA\n", "got no row with a target in 'y'"),
    "few": (
        "a,b,y\n1,2,3\n\n1,2\n",
        "line 4: got 2 cells, needed 3",
    ),
    "many": (
        "a,b,y\n1,2,3\n1,2,3,4\n",
        "line 3: got 4 cells, needed 3",
    ),
    "no column": ("a,b\n1,2\n", "got the columns 'a', 'b', needed the target 'y'"),
    "no names": ("1.5,x\n2.5,x\n", "needed the target 'y'; the first line must hold the names"),
    "alone": ("y\n1\n", "got no column beside 'y'"),
    "no rows": ("a,b,y\n", "got no rows"),
    "empty": ("", "got no text"),
    "no header": ("1,2,3\n4,5,6\n", "got numbers alone in the first line ('1' first)"),
    "quote": ('a,b,y\n1,"2,3\n', "line 2: got quotes that do not end"),
    "huge": ("a,y\n1,3e305\n2,5e305\n", "line 2, column 'y': got '3e305', needed a finite number"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tables_are_refused_in_words(name: str, tmp_path: Path) -> None:
    text, message = BAD[name]
    data = tmp_path / "data.csv"
    data.write_text(text, encoding="utf-8")
    model = tmp_path / "model.safetensors"
    words = invoke("fit", data, "--target", "y", "--output", model, code=2)
    assert words.startswith(f"tagix: {data}") and message in words and words.count("\n") == 1
    assert list(tmp_path.iterdir()) == [data]


def test_all_bad_columns_are_named_at_once(tmp_path: Path) -> None:
    rows = [(f"A{row:03}", 2 * row, f"{row}.5" if row != 7 else "7,x", row) for row in range(30)]
    data = write(tmp_path / "data.csv", "the id,a,b,y", rows)
    model = tmp_path / "model.safetensors"
    fit = ("fit", data, "--target", "y", "--output", model, *QUICK)
    data.write_text(data.read_text().replace("7,x", '"7,x"'))
    assert invoke(*fit, code=2) == (
        f"tagix: {data}: 2 columns cannot be used: "
        "'the id' holds text ('A000' on line 2; 30 of 30 cells differ): "
        "--drop 'the id' leaves it out, --categories 'the id' takes it as categories; "
        "'b' has '7,x' on line 9, where it needs a number: --drop b leaves it out, --categories b "
        "takes it as categories, --missing 7,x takes such a cell as missing\n"
    )
    assert "by 2 columns" in invoke(*fit, "--drop", "the id", "--categories", "b")
    saved: Any = tx.load(model)
    assert saved.feature_names_in_.tolist() == ["a", "b"] and len(saved.input_names_) == 31
    assert "by 1 column," in invoke(*fit, "--drop", "the id", "--drop", "b")
    # What is dropped need not have a name of its own, nor cells of any kind.
    data.write_text("a,a,,y\n" + "".join(f"{2 * row},x{row},{{,{row}\n" for row in range(30)))
    said = notes(*fit, "--drop", "a_2", "--drop", "column_3")
    assert len(said) == 2 and "read as 'a_2'" in said[0] and "read as 'column_3'" in said[1]
    assert "needed the column 'z'" in invoke(*fit, "--drop", "z", code=2)


def test_rows_without_a_target_are_left_out(tmp_path: Path) -> None:
    rows = [(3 * row, row % 7, "" if row in (3, 5) else 2 * row) for row in range(30)]
    data = write(tmp_path / "data.csv", "a,b,y", rows)
    model = tmp_path / "model.safetensors"
    fit = ("fit", data, "--target", "y", "--output", model, *QUICK)
    assert notes(*fit) == [f"tagix: {data}: 2 rows were left out, without a target"]
    assert notes(*fit, "--quiet") == []
    assert "28 rows" in invoke(*fit)
    saved: Any = tx.load(model)
    present = np.array([row for row in rows if row[2] != ""], dtype=float)
    np.testing.assert_allclose(saved.y_mean_, present[:, 2].mean())
    np.testing.assert_allclose(saved.x_mean_, present[:, :2].mean(axis=0))
    assert notes("update", model, data) == [
        f"tagix: {data}: 2 rows were left out, without a target"
    ]
    assert "of 28 rows more" in invoke("update", model, data)


def test_a_target_of_text_or_truth_values_is_learned_as_labels(tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    for labels in (["no", "yes"], ["False", "True"], ["low", "mid"]):
        rows = [(row + 0.5, labels[row >= 20]) for row in range(40)]
        data = write(tmp_path / "data.csv", "a,y", rows)
        (said,) = notes("fit", data, "--target", "y", "--output", model, *QUICK)
        assert said == (
            f"tagix: {data}: the target 'y' does not hold numbers, its cells are learned as labels"
        )
        header = invoke("predict", model, data).splitlines()[0]
        assert header == f"a,y,prediction,p({labels[0]}),p({labels[1]})"


def test_labels_that_are_numbers(tmp_path: Path) -> None:
    rows = [(row, [3, 7, 100][row // 15]) for row in range(45)]
    data = write(tmp_path / "data.csv", "a,y", rows)
    model = tmp_path / "model.safetensors"
    fit = ("fit", data, "--target", "y", "--output", model, *QUICK)
    data.write_text(data.read_text().replace(",7", ",7.0"))
    invoke(*fit, "--classify")
    saved: Any = tx.load(model)
    assert saved.classes_.tolist() == [3, 7, 100] and isinstance(saved, TagiClassifier)
    assert invoke("predict", model, data).splitlines()[0] == "a,y,prediction,p(3),p(7),p(100)"
    invoke("update", model, data)  # 7.0 is not a new class
    saved = tx.load(model)
    assert saved.classes_.tolist() == [3, 7, 100]
    write(tmp_path / "other.csv", "a,y", [(1, 3), (2, "x")])
    words = invoke("update", model, tmp_path / "other.csv", code=2)
    assert "line 3, column 'y': got 'x', needed a whole number, as the classes" in words
    # Without --classify they are numbers, about which a few of them are asked.
    many = write(tmp_path / "many.csv", "a,y", [*rows, *rows, *rows])
    (said,) = notes("fit", many, "--target", "y", "--output", model, *QUICK)
    assert "has 3 different values, learned as numbers; --classify learns them as labels" in said
    assert isinstance(tx.load(model), TagiRegressor)
    differ = write(tmp_path / "differ.csv", "a,y", [(row, row) for row in range(30)])
    words = invoke("fit", differ, "--target", "y", "--classify", "--output", model, code=2)
    assert "column 'y' has 30 different labels in 30 rows" in words


def test_several_targets(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(300, 2))
    u, v = 3 * x[:, 0] + 7, 100 - 50 * x[:, 1]
    table = np.column_stack([x, u, v])
    rows = [[*row[:3], "" if place == 4 else row[3]] for place, row in enumerate(table.tolist())]
    data = write(tmp_path / "data.csv", "a,b,u,v", rows)
    model = tmp_path / "model.safetensors"
    fit = ("fit", data, "--target", "u", "--target", "v", "--output", model, "--max-epochs", 10)
    assert "a regression of 'u', 'v' by 2 columns, 299 rows" in invoke(*fit)
    names, cells = read_text(invoke("predict", model, data))
    parts = ["prediction", "std", "std_epistemic", "std_aleatoric", "low", "high"]
    assert names[4:] == [f"{part}_{target}" for target in "uv" for part in parts]
    predicted = np.array([row[4:] for row in cells], dtype=float)
    assert np.corrcoef(predicted[:, 0], u)[0, 1] > 0.98
    assert np.corrcoef(predicted[:, 6], v)[0, 1] > 0.98
    assert "learned 'u', 'v' of 299 rows more" in invoke("update", model, data)
    plot = tmp_path / "plot.png"
    invoke("predict", model, data, "--output", tmp_path / "out.csv", "--plot", plot)
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "Usage" in invoke(*fit, "--classify", code=2)
    words = write(tmp_path / "words.csv", "a,u,v", [(1, 2, "x"), (2, 3, "y")] * 9)
    fit = ("fit", words, "--target", "u", "--target", "v", "--output", model)
    assert "'v' holds text: a target is numbers\n" in invoke(*fit, code=2)


def test_options_of_the_estimator(tmp_path: Path) -> None:
    data = write(tmp_path / "data.csv", "a,b,y", plane(40, 0))
    model = tmp_path / "model.safetensors"
    fit = ("fit", data, "--target", "y", "--output", model, *QUICK)
    invoke(*fit, "--noise", "homoscedastic")
    saved: Any = tx.load(model)
    assert saved.noise == "homoscedastic" and len(saved.nets_) == 1 and saved.max_epochs == 2
    assert saved.net_.noise == tx.Homoscedastic(learn=True)
    assert "Usage" in invoke(*fit, "--classify", "--noise", "homoscedastic", code=2)
    assert "Usage" in invoke(*fit, "--n-estimators", 0, code=2)


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


def test_a_column_that_counts_rows_is_noticed(tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    for first in (0, 1):
        rows = [(row + first, row % 7, row % 5) for row in range(30)]
        data = write(tmp_path / "data.csv", "id,a,y", rows)
        fit = ("fit", data, "--target", "y", "--output", model, *QUICK)
        said = f"tagix: {data}: column 'id' counts the rows; --drop id leaves it out"
        assert notes(*fit) == [said]
        assert notes(*fit, "--drop", "id") == []
    write(data, "id,a,y", [*rows, (99, 1, 2)])
    assert notes(*fit) == []


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


def read_text(text: str) -> tuple[list[str], list[list[str]]]:
    names, *rows = csv.reader(io.StringIO(text))
    return names, rows


def test_outputs_of_other_kinds_are_typed(regression: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text('b,a,name,price,sold\n1.5,2.5,x y,"$1,234.5",2024-03-31\n,3.5,z,,\n')
    expected = read_text(invoke("predict", regression, data))
    assert expected[1][0][:5] == ["1.5", "2.5", "x y", "$1,234.5", "2024-03-31"]
    for suffix, reader in (
        ("parquet", pl.read_parquet),
        ("arrow", pl.read_ipc),
        ("feather", pl.read_ipc),
        ("xlsx", pl.read_excel),
    ):
        if suffix == "xlsx":
            pytest.importorskip("xlsxwriter")
            pytest.importorskip("fastexcel")
        out = tmp_path / f"out.{suffix}"
        invoke("predict", regression, data, "--output", out)
        frame = reader(out)
        assert frame.columns == expected[0]
        assert frame["price"].to_list() == [1234.5, None] and frame["b"].to_list() == [1.5, None]
        assert frame["sold"].dtype.is_temporal() and frame["name"].to_list() == ["x y", "z"]
        predicted = frame.select(expected[0][5:]).to_numpy()
        np.testing.assert_allclose(
            predicted, np.array([row[5:] for row in expected[1]], dtype=float), rtol=1e-14
        )
        out.unlink()
    assert {path.name for path in tmp_path.iterdir()} == {"data.csv"}


def test_predictions_are_written_in_the_dialect_of_the_table(
    regression: Path, tmp_path: Path
) -> None:
    rows = plane(5, 3)
    for delimiter, mark in ((";", ","), ("\t", "."), ("|", ",")):
        lines = [delimiter.join("ab")]
        lines += [
            delimiter.join(f"{cell:.4f}".replace(".", mark) for cell in row[:2]) for row in rows
        ]
        data, out = tmp_path / "data.csv", tmp_path / "out.csv"
        data.write_text("\n".join(lines) + "\n")
        invoke("predict", regression, data, "--output", out)
        written = out.read_text().splitlines()
        assert [line.rsplit(delimiter, 6)[0] for line in written] == lines
        cells = [line.replace(mark, ".").split(delimiter) for line in written[1:]]
        mean = np.array(cells, dtype=float)[:, 2]
        np.testing.assert_allclose(mean, rows[:, 2], atol=6 * NOISE_STD)


def test_stdin_and_pipes(regression: Path, tmp_path: Path) -> None:
    new = regression.with_name("new.csv")
    result = CliRunner().invoke(
        build_app(), ["predict", str(regression), "-"], input=new.read_bytes()
    )
    assert result.exit_code == 0 and result.stdout == invoke("predict", regression, new)
    result = CliRunner().invoke(
        build_app(), ["predict", str(regression), "-"], input=b"a,b\n1,2\n3\n"
    )
    assert (result.exit_code, result.stderr) == (
        2,
        "tagix: stdin, line 3: got 1 cell, needed 2, one for each name in the first line\n",
    )
    # A reader that goes away, as head does, is not an error.
    write(tmp_path / "long.csv", "a,b", plane(4_000, 0)[:, :2])  # beyond a pipe's buffer
    program = (
        f"{sys.executable} -m tagix.cli predict {regression} {tmp_path / 'long.csv'} | head -n 2; "
        'echo "${PIPESTATUS[0]}"'
    )
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    assert done.stdout.splitlines()[0].startswith("a,b,prediction,std,")
    assert done.stdout.splitlines()[2:] == ["0"]


def test_outputs_are_tried_before_there_is_work_to_lose(
    regression: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(*_: Any) -> None:
        raise AssertionError("there is nowhere to write to")

    monkeypatch.setattr(TagiRegressor, "fit", fit)
    data = write(tmp_path / "data.csv", "a,b,y", plane(40, 0))
    before = sorted(tmp_path.iterdir())
    for output, words in (
        (tmp_path / "nowhere" / "model.safetensors", "got no folder"),
        (tmp_path, "got a folder"),
        (data, "got the file that is read"),
        (data / "model.safetensors", "got no folder"),
    ):
        said = invoke("fit", data, "--target", "y", "--output", output, code=2)
        assert said.startswith(f"tagix: {output}: ") and words in said and said.count("\n") == 1
        said = invoke("predict", regression, data, "--output", output, code=2)
        assert said.startswith(f"tagix: {output}: ") and words in said
        said = invoke("predict", regression, data, "--plot", output, code=2)
        assert words in said
    assert "got the file that is read" in invoke(
        "predict", regression, data, "--output", regression, code=2
    )
    assert sorted(tmp_path.iterdir()) == before


def test_a_failure_while_writing_leaves_nothing(
    regression: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, out = regression.with_name("new.csv"), tmp_path / "out.csv"
    out.write_text("before")

    def write_csv(self: Any, path: Any, **_: Any) -> None:
        Path(path).write_text("half of it")
        raise OSError("the disk is full")

    monkeypatch.setattr(pl.DataFrame, "write_csv", write_csv)
    said = invoke("predict", regression, new, "--output", out, code=2)
    assert said == "tagix: the disk is full\n"
    assert list(tmp_path.iterdir()) == [out] and out.read_text() == "before"


def test_plots_of_predictions_against_the_truth(regression: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra lab")
    new, plot, out = regression.with_name("new.csv"), tmp_path / "plot.png", tmp_path / "out.csv"
    invoke("predict", regression, new, "--output", out, "--plot", plot)
    assert plot.read_bytes().startswith(b"\x89PNG") and len(read(out)[1]) == 300
    without = write(tmp_path / "without.csv", "a,b", [(1, 2)])
    said = invoke("predict", regression, without, "--plot", plot, code=2)
    assert "got no column 'y', needed the truth for --plot" in said


def test_commands_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of docs/how-to/tables.md, on the file that it writes."""
    pytest.importorskip("matplotlib", reason="needs the extra lab")
    page = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "tables.md"
    text = page.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (python,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (commands,) = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    exec(compile(python, str(page), "exec"), {})
    fit, predict, update = (line.split()[1:] for line in commands.replace("\\\n", "").splitlines())
    invoke(*fit, "--max-epochs", 20)
    assert invoke(*predict) == "" and notes(*update) == []
    with open("predicted.csv", encoding="utf-8", newline="") as file:
        names, *rows = csv.reader(file, delimiter=";")
    assert names[4:7] == ["price", "prediction", "std"] and len(rows) == 49
    truth = np.array(
        [row[4].removesuffix(" \N{EURO SIGN}").replace(".", "") for row in rows], float
    )
    mean = np.array([row[5].replace(",", ".") for row in rows], float)
    assert np.sqrt(np.mean((mean - truth) ** 2)) < 30_000  # of which noise is 20 000
    assert Path("predicted.png").read_bytes().startswith(b"\x89PNG")


UNUSUAL = {
    "one row": "a,b,y\n1,2,3\n",
    "five rows": "a,b,y\n" + "1,2,3\n2,2,5\n3,4,6\n4,1,7\n5,5,5\n",
    "constant": "a,b,y\n" + "".join(f"1,{row},{2 * row}\n" for row in range(30)),
    "constant target": "a,b,y\n" + "".join(f"{row},{row},7\n" for row in range(30)),
    "nothing in a column": "a,b,y\n" + "".join(f",{row},{2 * row}\n" for row in range(30)),
    "large numbers": "a,b,y\n" + "".join(f"{row}e30,1,{2 * row}\n" for row in range(30)),
    "one large number": "a,b,y\n1e30,1,1\n" + "".join(f"{row},1,{row}\n" for row in range(30)),
    "one category": "a,b,y\n" + "".join(f"x,{row},{row}\n" for row in range(30)),
    "two equal columns": "a,a,y\n" + "".join(f"{row},{row},{row}\n" for row in range(30)),
    "one class": "a,b,y\n" + "".join(f"{row},{row},x\n" for row in range(30)),
    "a flag": "a,b,y\n" + "".join(f"{row == 7},{row},{row}\n" for row in range(30)),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_tables_give_finite_predictions(name: str, tmp_path: Path) -> None:
    data, model = tmp_path / "data.csv", tmp_path / "model.safetensors"
    data.write_text(UNUSUAL[name])
    invoke("fit", data, "--target", "y", "--output", model, *QUICK)
    names, rows = read_text(invoke("predict", model, data))
    start = names.index("prediction")
    if name == "one class":
        assert names[start:] == ["prediction", "p(x)"] and rows[0][start:] == ["x", "1.0"]
    else:
        assert np.isfinite(np.array([row[start:] for row in rows], dtype=float)).all()
    assert len(rows) == UNUSUAL[name].count("\n") - 1
    invoke("update", model, data)


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


def test_update_asks_for_the_target_where_it_is_not_clear(regression: Path, tmp_path: Path) -> None:
    model: Any = tx.load(regression)
    model._table_format = None  # as of a model that was not fitted by the command
    model.save(tmp_path / "model.safetensors")
    data = write(tmp_path / "data.csv", "a,b,y,z", [(1, 2, 3, 4)])
    words = invoke("update", tmp_path / "model.safetensors", data, code=2)
    assert "'y', 'z'" in words and "--target" in words
    assert "learned 'y' of 1 row more" in invoke(
        "update", regression, data, "--output", tmp_path / "m"
    )


@pytest.mark.parametrize(("package", "suffix"), [("polars", "csv"), ("fastexcel", "xlsx")])
def test_a_package_that_is_not_installed_is_named(
    package: str, suffix: str, tmp_path: Path
) -> None:
    data = tmp_path / f"data.{suffix}"
    data.write_text("a,y\n1,2\n")
    fit = ["tagix", "fit", str(data), "--target", "y", "--output", str(tmp_path / "model")]
    program = (
        f"import sys; sys.modules[{package!r}] = None; sys.argv = {fit!r}\n"
        "from tagix.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    said = f'tagix: {package} is not installed: pip install "tagix[cli]"\n'
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)
    assert list(tmp_path.iterdir()) == [data]


def test_the_command_line_starts_without_the_packages_of_tables() -> None:
    program = (
        "import sys; from tagix.cli import build_app; build_app()\n"
        "print([name for name in ('polars', 'sklearn', 'fastexcel') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("command", ["predict", "update"])
def test_a_lacking_feature_and_a_file_of_another_kind(
    command: str, regression: Path, tmp_path: Path
) -> None:
    data = write(tmp_path / "data.csv", "a,y", [(1, 2)])
    assert "needed the column 'b'" in invoke(command, regression, data, code=2)
    (tmp_path / "broken.safetensors").write_bytes(regression.read_bytes()[:-7])
    assert "broken.safetensors" in invoke(command, tmp_path / "broken.safetensors", data, code=2)
    tx.nn.Sequential(tx.nn.Linear(1, 1)).save(tmp_path / "net.safetensors")
    assert "got a Sequential" in invoke(command, tmp_path / "net.safetensors", data, code=2)


def test_names_of_predictions_are_kept_free(regression: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "data.csv", "a,b,std", [(1, 2, 3)])
    assert "got columns named 'std'" in invoke("predict", regression, data, code=2)
