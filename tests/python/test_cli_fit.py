"""``tagix fit``: which tables it takes, its targets, columns and options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

for package in ("typer", "rich", "sklearn", "polars"):
    pytest.importorskip(package, reason="needs the extras cli and sklearn")


from command_line import QUICK, invoke, notes, plane, read_text, write  # noqa: E402

import tagix as tx  # noqa: E402
from tagix.sklearn import TagiClassifier, TagiRegressor  # noqa: E402

# Some of these tables say nothing about their targets.
pytestmark = pytest.mark.filterwarnings("ignore:fit. rows left out were predicted no better")


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
