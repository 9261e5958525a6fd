"""``tagix fit``: a model of a table in a file."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tagix._optional import import_optional
from tagix._table_format import Conventions, TableFormat
from tagix.cli import columns, outputs
from tagix.cli.messages import counted, in_one_line, naming_file, notes_of
from tagix.cli.options import Device, check_device, device_option, table_argument, usage_error
from tagix.cli.table import Table
from tagix.cli.table_files import read_table
from tagix.cli.targets import labels_of, numbers_of, with_targets

if TYPE_CHECKING:
    import polars as pl

    from tagix.sklearn import TagiClassifier, TagiRegressor

FEW_VALUES = 10
"""Number of different values up to which a target of numbers may be labels; a note then says so."""

_PLURALS = {"boolean": "booleans", "category": "text", "date": "dates"}


class Noise(str, Enum):
    """Kinds of noise by their names."""

    auto = "auto"
    heteroscedastic = "heteroscedastic"
    homoscedastic = "homoscedastic"


@dataclass(frozen=True)
class TrainingTable:
    """What an estimator is fitted to.

    Attributes:
        rows: typed features, without the rows that lack a target.
        y: targets, (n_rows,) of one and (n_rows, n_targets) of several; or labels.
        form: how the table was read.
        of_classes: whether y holds labels.
    """

    rows: pl.DataFrame
    y: NDArray[Any]
    form: TableFormat
    of_classes: bool

    def fit(self, **parameters: Any) -> TagiRegressor | TagiClassifier:
        """A fitted estimator with these parameters, which remembers how the table was read."""
        from tagix.sklearn import TagiClassifier, TagiRegressor

        model = (TagiClassifier if self.of_classes else TagiRegressor)(**parameters)
        model.fit(self.rows, self.y)
        model._table_format = self.form
        return model


def training_table(
    table: Table,
    targets: Sequence[str],
    *,
    classify: bool = False,
    drop: Sequence[str] = (),
    categories: Sequence[str] = (),
    missing: Sequence[str] = (),
) -> TrainingTable:
    """Features and targets of a table: every column except targets and dropped columns is a
    feature.

    Rows without a target are left out. A target of text or of booleans is learned as classes. Notes
    of both are added to the table.

    Args:
        table: the rows.
        targets: names of the columns to predict; one of classes.
        classify: whether numbers are labels.
        drop: columns to leave out, whatever they hold.
        categories: columns to take as categories, whatever they hold.
        missing: cells that mean a missing value, besides the usual ones.

    Raises ValueError for columns that do not exist, and one error for all columns that cannot be
    used.
    """
    table = table.without(drop).with_missing(missing)
    table.require(targets, "target")
    table.require(categories)
    features = [name for name in table.names if name not in targets]
    if not features:
        raise ValueError(
            f"{table.path}: got no column beside {', '.join(map(repr, targets))}, needed one to "
            "predict from"
        )
    conventions = columns.conventions(table)
    kinds, problems = columns.guess_kinds(table, features, conventions, categories)
    of_classes, of_no_use = _judge_targets(table, targets, conventions, classify)
    columns.refuse(table, {**of_no_use, **problems}, targets)
    rows = columns.read_columns(table, kinds, conventions)
    table.notes.extend(
        f"{table.path}: column {name!r} counts the rows; --drop {shlex.quote(name)} leaves it out"
        for name, kind in kinds.items()
        if kind == "number" and columns.counts_rows(table, name)
    )
    if of_classes:
        rows, y = with_targets(table, rows, labels_of(table, targets[0]).to_frame())
        _refuse_rare_labels(table, targets[0], y)
    else:
        rows, y = with_targets(table, rows, numbers_of(table, targets, conventions))
        _note_few_values(table, targets, y)
    numbers = [name for name, kind in kinds.items() if kind == "number"]
    marks = columns.marks_of(table, numbers if of_classes else [*numbers, *targets])
    form = TableFormat(list(targets), kinds, conventions, marks, list(missing))
    return TrainingTable(rows, y, form, of_classes)


def _judge_targets(
    table: Table, targets: Sequence[str], conventions: Conventions, classify: bool
) -> tuple[bool, dict[str, columns.Problem]]:
    """Whether the targets are labels, and what is wrong with them, by the column's name.

    A note is added to the table where they are labels unasked.
    """
    kinds, of_no_use = columns.guess_kinds(table, targets, conventions)
    if classify:
        return True, {name: found for name, found in of_no_use.items() if not found.has_labels}
    if len(targets) == 1 and kinds.get(targets[0]) in ("boolean", "category"):
        table.notes.append(
            f"{table.path}: the target {targets[0]!r} does not hold numbers, its cells are learned "
            "as labels"
        )
        return True, of_no_use
    return False, of_no_use | {
        name: columns.Problem(f"holds {_PLURALS[kind]}", has_labels=len(targets) == 1)
        for name, kind in kinds.items()
        if kind in _PLURALS
    }


def _refuse_rare_labels(table: Table, target: str, labels: NDArray[Any]) -> None:
    """Raise ValueError for more than ten labels with fewer than two rows per label on average."""
    n_labels = len(np.unique(labels))
    if n_labels > FEW_VALUES and 2 * n_labels > len(labels):
        raise ValueError(
            f"{table.path}: column {target!r} has {n_labels} different labels in {len(labels)} "
            "rows, needed two rows per label on average"
        )


def _note_few_values(table: Table, targets: Sequence[str], y: NDArray[Any]) -> None:
    """Add a note for one target of few different numbers in many rows, which may be labels."""
    n_values = len(np.unique(y))
    if len(targets) == 1 and 2 <= n_values <= FEW_VALUES <= len(y) // 10:
        table.notes.append(
            f"{table.path}: the target {targets[0]!r} has {n_values} different values, learned "
            "as numbers; --classify learns them as labels"
        )


def add_command(app: Any) -> None:
    """Add ``fit`` to a typer application."""
    typer = import_optional("typer", extra="cli")

    @app.command()  # type: ignore[untyped-decorator]
    def fit(
        path: Path = table_argument(),
        target: list[str] = typer.Option(
            help="Name of the column to predict; may be repeated for several numbers."
        ),
        output: Path = typer.Option(help="The model's file, .safetensors."),
        classify: bool = typer.Option(
            False, "--classify", help="The target holds labels, as text always does."
        ),
        drop: list[str] = typer.Option([], help="A column to leave out; may be repeated."),
        categories: list[str] = typer.Option(
            [], help="A column to take as categories, whatever it holds; may be repeated."
        ),
        missing: list[str] = typer.Option(
            [], help="A cell that means a missing value, such as -999; may be repeated."
        ),
        noise: Noise = typer.Option(Noise.auto, help="Whether noise depends on the features."),
        n_estimators: int | None = typer.Option(
            None, min=1, help="Networks in the mixture, instead of the default."
        ),
        max_epochs: int | None = typer.Option(None, min=1, help="Most passes over the rows."),
        seed: int = typer.Option(0, min=0, help="Equal seeds give equal models."),
        device: Device = device_option(),
        quiet: bool = typer.Option(False, "--quiet", help="No progress bar, notes or summary."),
    ) -> None:
        """Fit a model to a table, scaling, noise and stopping included; empty cells are missing."""
        check_device(device)
        parameters = _parameters(target, classify, noise, n_estimators, max_epochs)
        parameters |= {"random_state": seed, "device": device.value}
        reading = {
            "classify": classify,
            "drop": drop,
            "categories": categories,
            "missing": missing,
        }
        _fit(path, target, output, reading, parameters, quiet)


def _parameters(
    targets: Sequence[str],
    classify: bool,
    noise: Noise,
    n_estimators: int | None,
    max_epochs: int | None,
) -> dict[str, Any]:
    """Parameters of the estimator for options that are not the defaults.

    Raises a usage error for options that do not go together.
    """
    parameters: dict[str, Any] = {}
    if max_epochs is not None:
        parameters["max_epochs"] = max_epochs
    if n_estimators is not None:
        parameters["n_estimators"] = n_estimators
    if classify and len(targets) > 1:
        raise usage_error("labels are learned in one column", "--target")
    if noise is not Noise.auto:
        if classify:
            raise usage_error("labels have no noise of this kind", "--noise")
        parameters["noise"] = noise.value
    return parameters


def _fit(
    path: Path,
    targets: Sequence[str],
    output: Path,
    reading: Mapping[str, Any],
    parameters: Mapping[str, Any],
    quiet: bool,
) -> None:
    """Fit a model to the table in a file, write it, and print a summary unless ``quiet``.

    ``reading`` are the options of :func:`training_table`, ``parameters`` those of the estimator.
    """
    progress = not quiet and sys.stderr.isatty()  # a file has no use for bars
    with in_one_line():
        outputs.check_outputs(output, inputs=[path])
        with notes_of(read_table(path), quiet) as table:
            training = training_table(table, list(dict.fromkeys(targets)), **reading)
        begin = time.perf_counter()
        with naming_file(table):
            model: Any = training.fit(verbose=progress, **parameters)
        seconds = time.perf_counter() - begin
        model.set_params(verbose=0).save(output)
    if not quiet:
        kind = counted(len(model.classes_), "class") if training.of_classes else "a regression"
        of = ", ".join(map(repr, training.form.targets))
        print(
            f"{output}: {kind} of {of} by {counted(len(training.form.kinds), 'column')}, "
            f"{counted(len(training.y), 'row')}, {counted(model.n_iter_, 'epoch')}, "
            f"{seconds:.1f} s"
        )
