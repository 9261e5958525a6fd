"""``tagix predict``: a table with the predictions of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tagix._optional import import_optional
from tagix._table_format import Conventions
from tagix.cli import columns, outputs
from tagix.cli.messages import in_one_line, naming_file, notes_of
from tagix.cli.model_files import format_of, load_model, read_features
from tagix.cli.options import (
    Device,
    check_device,
    device_option,
    model_argument,
    table_argument,
    usage_error,
)
from tagix.cli.table import Table
from tagix.cli.table_files import read_table
from tagix.cli.targets import as_text, labels_of, numbers_of

if TYPE_CHECKING:
    import polars as pl


def predict_table(model: Any, table: Table, level: float) -> tuple[pl.DataFrame, Conventions]:
    """Predictions as columns of as many rows, and how the table writes numbers and dates.

    For a regression the columns are ``prediction``; ``std`` and its parts ``std_epistemic`` and
    ``std_aleatoric``, whose squares add up to that of ``std``; and ``low`` and ``high``, bounds
    that hold the target with probability ``level``. With several targets, an underscore and the
    target's name follow each. For classes the columns are ``prediction``, and ``p(label)`` for each
    label.

    Raises ValueError if the table lacks a feature of the model, or has one of these columns.
    """
    import polars as pl

    form = format_of(model, table)
    table = table.with_missing(form.missing)
    conventions = columns.conventions(table, form.conventions)
    rows = read_features(model, table, form, conventions)
    found: dict[str, Any] = {}
    with naming_file(table):
        if hasattr(model, "classes_"):
            probabilities = model.predict_proba(rows)
            labels = model.classes_[probabilities.argmax(axis=1)]
            whole = labels.dtype.kind in "iu"
            found["prediction"] = labels if whole else [str(label) for label in labels.tolist()]
            for label, column in zip(model.classes_.tolist(), probabilities.T, strict=True):
                found[f"p({label})"] = column
        else:
            moments = model._predict(rows, None)
            interval = model.predict_interval(rows, level=level)
            parts = {
                "prediction": moments.mean,
                "std": np.sqrt(moments.var),
                "std_epistemic": np.sqrt(moments.epistemic),
                "std_aleatoric": np.sqrt(moments.aleatoric),
                "low": interval[..., 0],
                "high": interval[..., 1],
            }
            n_targets = len(model.y_mean_)
            names = form.targets if len(form.targets) == n_targets else range(n_targets)
            for place, target in enumerate(names):
                suffix = f"_{target}" if n_targets > 1 else ""
                for name, values in parts.items():
                    found[name + suffix] = values.reshape(len(table), -1)[:, place]
    taken = [name for name in found if name in table.frame.columns]
    if taken:
        raise ValueError(
            f"{table.path}: got columns named {', '.join(map(repr, taken))}, needed names other "
            "than those of predictions"
        )
    return pl.DataFrame(found), conventions


def add_command(app: Any) -> None:
    """Add ``predict`` to a typer application."""
    typer = import_optional("typer", extra="cli")

    @app.command()  # type: ignore[untyped-decorator]
    def predict(
        model: Path = model_argument(),
        path: Path = table_argument(),
        output: Path | None = typer.Option(
            None,
            help="The file to write, CSV or by suffix .parquet, .arrow or .xlsx; default: stdout.",
        ),
        level: float = typer.Option(0.9, help="Probability of the interval from low to high."),
        plot: Path | None = typer.Option(
            None, help="A PNG of predictions against the target, if the table has it."
        ),
        device: Device = device_option(),
        quiet: bool = typer.Option(False, "--quiet", help="No notes."),
    ) -> None:
        """Write a table with its predictions: mean, std and interval, or class probabilities."""
        check_device(device)
        if not 0.0 < level < 1.0:
            raise usage_error(f"got {level:g}, needed a number between 0 and 1", "--level")
        with in_one_line():
            outputs.check_outputs(output, plot, inputs=[model, path])
            estimator = load_model(model, device)
            with notes_of(read_table(path), quiet) as table:
                predictions, found = predict_table(estimator, table, level)
            if plot is not None:
                _plot(estimator, table, predictions, found, level, plot)
            outputs.write_table(output, table, predictions, found)


def _plot(
    model: Any,
    table: Table,
    predictions: pl.DataFrame,
    found: Conventions,
    level: float,
    path: Path,
) -> None:
    """Predictions against the targets that the table has, as a PNG."""
    form = format_of(model, table)
    table = table.with_missing(form.missing)
    lacking = [name for name in form.targets if name not in table.names] or not form.targets
    if lacking:
        raise ValueError(
            f"{table.path}: got no column {', '.join(map(repr, form.targets)) or 'of the target'}, "
            "needed the truth for --plot"
        )
    if hasattr(model, "classes_"):
        labels = as_text(labels_of(table, form.targets[0], model.classes_))
        figure = outputs.figure_of_classes(predictions, labels)
    else:
        truth = numbers_of(table, form.targets, found)
        columns.require_marks(table, form.targets, form.marks)
        figure = outputs.figure_of_numbers(predictions, truth, level)
    outputs.save_figure(figure, path)
