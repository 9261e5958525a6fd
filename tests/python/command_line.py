"""The ``tagix`` command in this process, and tables for it in files."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import CliRunner

from tagix.cli import build_app

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
    """A CSV file of the rows under the header."""
    lines = [header, *(",".join(str(cell) for cell in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> tuple[list[str], list[list[str]]]:
    """Names and cells of a CSV file."""
    with open(path, encoding="utf-8", newline="") as file:
        names, *rows = csv.reader(file)
    return names, rows


def plane(n_rows: int, seed: int) -> np.ndarray:
    """Rows of name, a, b and y = 3 a - 2 b + 10 + noise."""
    generator = np.random.default_rng(seed)
    a, b = generator.normal(5.0, 2.0, n_rows), generator.normal(-1.0, 0.5, n_rows)
    y = 3 * a - 2 * b + 10 + NOISE_STD * generator.standard_normal(n_rows)
    return np.stack([a, b, y], axis=1)


def fitted_regression(folder: Path) -> Path:
    """A model of 400 rows of a plane, and new.csv with other ones beside it."""
    rows = [("r", *row) for row in plane(400, 0)]
    data = write(folder / "data.csv", "name,a,b,y", rows)
    model = folder / "model.safetensors"
    output = invoke("fit", data, "--target", "y", "--drop", "name", "--output", model)
    assert f"{model}: a regression of 'y' by 2 columns, 400 rows" in output
    # Other order of columns, the target among them.
    write(folder / "new.csv", "y,b,a", plane(300, 1)[:, [2, 1, 0]])
    return model


def read_text(text: str) -> tuple[list[str], list[list[str]]]:
    """Names and cells of CSV text."""
    names, *rows = csv.reader(io.StringIO(text))
    return names, rows
