"""``tagix update``: new rows for a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tagix._optional import import_optional
from tagix.cli import columns, outputs
from tagix.cli.messages import counted, in_one_line, naming_file, notes_of
from tagix.cli.model_files import format_of, load_model, read_features
from tagix.cli.options import Device, check_device, device_option, model_argument, table_argument
from tagix.cli.table import Table
from tagix.cli.table_files import read_table
from tagix.cli.targets import labels_of, numbers_of, with_targets


def update_with_table(
    model: Any, table: Table, targets: Sequence[str] = ()
) -> tuple[list[str], int]:
    """Learn the rows of a table once, in their order; returns the targets' names and the number of
    rows.

    Without ``targets``, those in the model's file are used; if the file has none, the target is the
    one column that is not a feature. Rows without a target are left out, with a note.

    Raises ValueError for missing columns and cells of another kind; the model is then unchanged.
    """
    form = format_of(model, table)
    table = table.with_missing(form.missing)
    targets = list(targets or form.targets)
    features = list(form.kinds)
    if not targets:
        others = [name for name in table.names if name not in form.kinds]
        if len(others) != 1:
            got = ", ".join(map(repr, others)) or "none"
            raise ValueError(
                f"{table.path}: got, beside the features, the columns {got}, needed one: name the "
                "target with --target"
            )
        targets = others
    table.require([*targets, *features])
    found = columns.conventions(table, form.conventions)
    rows = read_features(model, table, form, found)
    if hasattr(model, "classes_"):
        if len(targets) > 1:
            raise ValueError(
                f"got the targets {', '.join(map(repr, targets))}, needed one of labels"
            )
        labels = labels_of(table, targets[0], model.classes_)
        rows, y = with_targets(table, rows, labels.to_frame())
    else:
        rows, y = with_targets(table, rows, numbers_of(table, targets, found))
        columns.require_marks(table, targets, form.marks)
    with naming_file(table):
        model.partial_fit(rows, y)
    return targets, len(y)


def add_command(app: Any) -> None:
    """Add ``update`` to a typer application."""
    typer = import_optional("typer", extra="cli")

    @app.command()  # type: ignore[untyped-decorator]
    def update(
        model: Path = model_argument(),
        path: Path = table_argument(),
        target: list[str] = typer.Option(
            [], help="The column to learn; default: the one that the model was fitted to."
        ),
        output: Path | None = typer.Option(None, help="File to write; default: the model's own."),
        device: Device = device_option(),
        quiet: bool = typer.Option(False, "--quiet", help="No notes, no summary."),
    ) -> None:
        """Learn new rows once, in their order, and write the model."""
        check_device(device)
        with in_one_line():
            outputs.check_outputs(output or model, inputs=[path])
            estimator = load_model(model, device)
            with notes_of(read_table(path), quiet) as table:
                names, n_rows = update_with_table(estimator, table, target)
            estimator.save(model if output is None else output)
        if not quiet:
            learned = ", ".join(map(repr, names))
            print(f"{output or model}: learned {learned} of {counted(n_rows, 'row')} more")
