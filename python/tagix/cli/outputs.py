"""The outputs of ``tagix predict``: tables with predictions, and figures of them."""

from __future__ import annotations

import secrets
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tagix._optional import import_optional
from tagix._table_format import Conventions
from tagix.cli import columns
from tagix.cli.paths import ARROW_SUFFIXES, PARQUET_SUFFIXES, STDIN
from tagix.cli.table import Table

if TYPE_CHECKING:
    import polars as pl

_BINARY_SUFFIXES = (*PARQUET_SUFFIXES, *ARROW_SUFFIXES, ".xlsx")


def check_outputs(*paths: Path | None, inputs: Sequence[Path]) -> None:
    """Raise ValueError for files that cannot be written, before any work is done."""
    for path in paths:
        if path is not None:
            for other in inputs:
                if other != STDIN and path.exists() and path.samefile(other):
                    raise ValueError(f"{path}: got the file that is read, needed another to write")
            check_writable(path)


def check_writable(path: Path) -> None:
    """Raise ValueError or OSError for a file that could not be written; nothing is left behind."""
    if path.is_dir():
        raise ValueError(f"{path}: got a folder, needed the name of a file to write")
    folder = path.parent
    if not folder.is_dir():
        raise ValueError(f"{path}: got no folder {str(folder)!r}, needed one that exists")
    if path.exists() and not path.is_file():  # such as /dev/stdout
        return
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({error.strerror})") from error


def write_table(
    path: Path | None, table: Table, predictions: pl.DataFrame, conventions: Conventions
) -> None:
    """Write a table with columns of predictions beside its own; to stdout if ``path`` is None.

    In CSV the cells of the table stay as they were, and predictions have the same delimiter and
    decimal mark; other files are typed. An existing file is replaced when the new one is complete.

    Raises OSError if it cannot be written, and ImportError for .xlsx without xlsxwriter.
    """
    suffix = "" if path is None else path.suffix.lower()
    if suffix == ".xlsx":
        import_optional("xlsxwriter", extra="cli")
    frame = table.frame
    if suffix in _BINARY_SUFFIXES:
        frame = _typed(table, conventions)
    elif conventions.decimal == ",":
        predictions = _with_decimal_comma(predictions)
    frame = frame.hstack(predictions.get_columns())
    if suffix in PARQUET_SUFFIXES:
        _replace(path, frame.write_parquet)
    elif suffix in ARROW_SUFFIXES:
        _replace(path, frame.write_ipc)
    elif suffix == ".xlsx":
        _replace(path, lambda temporary: frame.write_excel(temporary, float_precision=6))
    elif path is None or path == STDIN:
        content = frame.write_csv(separator=table.delimiter).encode()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    else:
        _replace(path, lambda temporary: frame.write_csv(temporary, separator=table.delimiter))


def _typed(table: Table, conventions: Conventions) -> pl.DataFrame:
    """The table, with values in the place of text that stands for numbers, dates or booleans."""
    kinds, _ = columns.guess_kinds(table, table.names, conventions)
    typed = {name: kind for name, kind in kinds.items() if kind in ("number", "boolean", "date")}
    return table.frame.with_columns(columns.read_columns(table, typed, conventions).get_columns())


def _with_decimal_comma(frame: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    return frame.with_columns(
        pl.col(pl.Float64).cast(pl.String).str.replace(".", ",", literal=True)
    )


def save_figure(figure: Any, path: Path) -> None:
    """Write a PNG, in place of a file of that name when it is whole."""
    from tagix import plotting

    _replace(path, lambda temporary: plotting.save_figure(figure, temporary))


def _replace(path: Path | None, write: Callable[[Path], Any]) -> None:
    """Write a file under another name, which it loses when it is whole."""
    assert path is not None
    if path.exists() and not path.is_file():  # such as /dev/stdout
        write(path)
        return
    target = path.resolve()  # what a symbolic link points to
    temporary = target.with_name(f"{target.stem}.{secrets.token_hex(8)}.tmp{target.suffix}")
    try:
        write(temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def figure_of_numbers(predictions: pl.DataFrame, targets: pl.DataFrame, level: float) -> Any:
    """Predictions with intervals against the truth, a panel for each target."""
    from tagix import plotting

    several = targets.width > 1
    panels = {}
    for name in targets.columns:
        suffix = f"_{name}" if several else ""
        truth = targets[name].to_numpy().astype(np.float64)
        parts = [predictions[part + suffix].to_numpy() for part in ("prediction", "low", "high")]
        present = ~np.isnan(truth)
        panels[name] = (truth[present], *(part[present] for part in parts))
    return plotting.plot_predictions(panels, level=level)


def figure_of_classes(predictions: pl.DataFrame, labels: pl.Series) -> Any:
    """How often the most probable class was right, by its probability."""
    from tagix import plotting

    names = [name for name in predictions.columns if name != "prediction"]
    place = {name: number for number, name in enumerate(names)}
    numbers = np.array([place.get(f"p({label})", np.nan) for label in labels], dtype=np.float64)
    return plotting.plot_reliability_diagram(numbers, predictions.select(names).to_numpy())
