"""``tagix fit``, ``predict`` and ``update`` on CSV files."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for package in ("typer", "rich", "sklearn"):
    pytest.importorskip(package, reason="needs the extras cli and sklearn")

from typer.testing import CliRunner  # noqa: E402

import tagix as tx  # noqa: E402
from tagix.cli import build_app, csv_tables  # noqa: E402

NOISE_STD = 0.2


def invoke(*arguments: object, code: int = 0) -> str:
    """What the command prints, errors included."""
    result = CliRunner().invoke(build_app(), [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output[-1000:], result.exception)
    return str(result.output if code else result.stdout)


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
    assert names == ["y", "b", "a", "prediction", "std", "low", "high"]
    y, b, a, mean, std, low, high = np.array(rows, dtype=float).T
    assert np.sqrt(np.mean((mean - (3 * a - 2 * b + 10)) ** 2)) < NOISE_STD
    assert 0.5 * NOISE_STD < np.median(std) < 2 * NOISE_STD
    assert 0.82 < np.mean((low < y) & (y < high)) < 0.97
    # Of a t, of one number of degrees of freedom from 3 (1.359) to that of a Gaussian (1.645).
    reach = (high - low) / (2 * std)
    assert np.ptp(reach) < 1e-4 and 1.358 < reach.mean() < 1.646


def test_predictions_are_the_estimators(regression: Path) -> None:
    new = regression.with_name("new.csv")
    text = invoke("predict", regression, new, "--level", "0.5")
    cells = np.array([line.split(",") for line in text.splitlines()[1:]], dtype=float)
    model: Any = tx.load(regression)
    assert list(model.feature_names_in_) == ["a", "b"]
    with pytest.warns(UserWarning, match="feature names"):
        mean = model.predict(cells[:, [2, 1]])
        interval = model.predict_interval(cells[:, [2, 1]], level=0.5)
    np.testing.assert_allclose(cells[:, 3], mean, rtol=1e-6)
    np.testing.assert_allclose(cells[:, 5:], interval, rtol=1e-6)


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
    assert errors[0] == pytest.approx(20, abs=0.5) and errors[1] < 4
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
    "text": ("a,b,y\n1,2,3\n1,x,3\n", "line 3, column 'b': got 'x', needed a finite number"),
    "infinity": ("a,b,y\n1,inf,3\n", "line 2, column 'b': got 'inf'"),
    "underscore": ("a,b,y\n1_0,2,3\n", "line 2, column 'a': got '1_0'"),
    "target": ("a,b,y\n1,2,3\n1,2,\n", "line 3, column 'y': got '', needed a number"),
    "few": ("a,b,y\n1,2,3\n\n1,2\n", "line 4: got 2 cells, needed 3"),
    "many": ("a,b,y\n1,2,3,4\n", "line 2: got 4 cells, needed 3"),
    "no column": ("a,b\n1,2\n", "got the columns 'a', 'b', needed 'y'"),
    "alone": ("y\n1\n", "got no column beside 'y'"),
    "no rows": ("a,b,y\n", "got no rows"),
    "empty": ("", "got no rows"),
    "twice": ("a,a,y\n1,2,3\n", "line 1: got two columns 'a'"),
    "no name": ("a,,y\n1,2,3\n", "line 1: got no name for column 2"),
    "no header": ("1,2,3\n4,5,6\n", "line 1: got numbers alone ('1' first)"),
    "quote": ('a,b,y\n1,"2,3\n', "line 2: unexpected end of data"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tables_are_refused_in_words(name: str, tmp_path: Path) -> None:
    text, message = BAD[name]
    data = tmp_path / "data.csv"
    data.write_text(text, encoding="utf-8")
    model = tmp_path / "model.safetensors"
    words = invoke("fit", data, "--target", "y", "--output", model, code=2)
    assert words.startswith(f"tagix: {data}") and message in words and words.count("\n") == 1
    assert not model.exists()


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes(b"a,y\n\xff\xfe,1\n")
    with pytest.raises(ValueError, match="no text in UTF-8"):
        csv_tables.read(tmp_path / "data.csv")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_quotes_and_marks(delimiter: str, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    lines = [["\ufeffa", '"the, b"', "y"], ["1", '"2.5"', "-3e-2"], ["", " n/a ", "NaN"]]
    path.write_text("\r\n".join(delimiter.join(line) for line in lines), encoding="utf-8")
    table = csv_tables.read(path)
    assert table.names == ["a", "the, b", "y"] and table.lines == [2, 3]
    numbers = table.numbers(["y", "a", "the, b"], missing=True)
    np.testing.assert_array_equal(numbers, [[-0.03, 1.0, 2.5], [np.nan] * 3])


def test_update_asks_for_the_target_where_it_is_not_clear(regression: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "data.csv", "a,b,y,z", [(1, 2, 3, 4)])
    words = invoke("update", regression, data, code=2)
    assert "'y', 'z'" in words and "--target" in words


@pytest.mark.parametrize("command", ["predict", "update"])
def test_a_lacking_feature_and_a_file_of_another_kind(
    command: str, regression: Path, tmp_path: Path
) -> None:
    data = write(tmp_path / "data.csv", "a,y", [(1, 2)])
    assert "needed 'b'" in invoke(command, regression, data, code=2)
    (tmp_path / "broken.safetensors").write_bytes(regression.read_bytes()[:-7])
    assert "broken.safetensors" in invoke(command, tmp_path / "broken.safetensors", data, code=2)
    tx.nn.Sequential(tx.nn.Linear(1, 1)).save(tmp_path / "net.safetensors")
    assert "got a Sequential" in invoke(command, tmp_path / "net.safetensors", data, code=2)


def test_names_of_predictions_are_kept_free(regression: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "data.csv", "a,b,std", [(1, 2, 3)])
    assert "got a column 'std'" in invoke("predict", regression, data, code=2)
