"""``tagix predict``: what it predicts, and where it writes that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for package in ("typer", "rich", "sklearn", "polars"):
    pytest.importorskip(package, reason="needs the extras cli and sklearn")

import polars as pl  # noqa: E402
from command_line import NOISE_STD, fitted_regression, invoke, plane, read, read_text, write  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

import tagix as tx  # noqa: E402
from tagix.cli import build_app  # noqa: E402
from tagix.sklearn import TagiRegressor  # noqa: E402

# Some of these tables say nothing about their targets.
pytestmark = pytest.mark.filterwarnings("ignore:fit. rows left out were predicted no better")


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted_regression(tmp_path_factory.mktemp("regression"))


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


def test_names_of_predictions_are_kept_free(regression: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "data.csv", "a,b,std", [(1, 2, 3)])
    assert "got columns named 'std'" in invoke("predict", regression, data, code=2)
