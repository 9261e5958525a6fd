"""``tagix fit``, ``predict`` and ``update`` one after the other, and the packages they need."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for package in ("typer", "rich", "sklearn", "polars"):
    pytest.importorskip(package, reason="needs the extras cli and sklearn")

from command_line import fitted_regression, invoke, notes, plane, read, write  # noqa: E402

import tagix as tx  # noqa: E402

# Some of these tables say nothing about their targets.
pytestmark = pytest.mark.filterwarnings("ignore:fit. rows left out were predicted no better")


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted_regression(tmp_path_factory.mktemp("regression"))


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
