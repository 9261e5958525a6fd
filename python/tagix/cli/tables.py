"""``tagix fit``, ``predict`` and ``update``: tables in CSV files."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tagix._optional import import_optional
from tagix.cli import csv_tables
from tagix.cli.csv_tables import Table
from tagix.cli.options import Device, check_device

if TYPE_CHECKING:
    from tagix.sklearn import TagiClassifier, TagiRegressor


def fit_table(
    table: Table,
    target: str,
    *,
    classify: bool = False,
    drop: Sequence[str] = (),
    **parameters: Any,
) -> TagiRegressor | TagiClassifier:
    """An estimator fitted to a table: every column but the target and those dropped is a feature.

    Args:
        table: the rows.
        target: name of the column to predict.
        classify: whether it holds labels.
        drop: columns to leave out.
        parameters: of the estimator.

    Raises ValueError for columns that are not there and cells that are no numbers.
    """
    from tagix.sklearn import TagiClassifier, TagiRegressor

    for name in (target, *drop):
        table.column(name)
    features = [name for name in table.names if name != target and name not in drop]
    if not features:
        raise ValueError(f"{table.path}: got no column beside {target!r}, needed one at least")
    rows = table.numbers(features, missing=True)
    model: Any
    if classify:
        model = TagiClassifier(**parameters).fit(rows, np.array(table.labels(target)))
    else:
        targets = table.numbers([target], missing=False)
        model = TagiRegressor(**parameters).fit(rows, targets[:, 0])
    model._name_features(features)
    return model  # type: ignore[no-any-return]


def predict_table(model: Any, table: Table, level: float) -> tuple[list[str], list[list[Any]]]:
    """Names and cells of the table with columns of predictions added.

    Of a regression ``prediction``, ``std``, ``low`` and ``high``, bounds that hold the target with
    probability ``level``; of classes ``prediction`` and ``p(label)`` for each.

    Raises ValueError where the table lacks a feature of the model, or has one of these columns.
    """
    rows = table.numbers(_features(model), missing=True)
    with _named_by_us():
        if hasattr(model, "classes_"):
            probabilities = model.predict_proba(rows)
            labels = model.classes_[probabilities.argmax(axis=1)]
            added = ["prediction", *(f"p({label})" for label in model.classes_)]
            numbers = probabilities
            columns: list[list[Any]] = [list(labels)]
        else:
            mean, std = model.predict(rows, return_std=True)
            added = ["prediction", "std", "low", "high"]
            numbers = np.column_stack([mean, std, model.predict_interval(rows, level=level)])
            columns = []
    for name in added:
        if name in table.names:
            raise ValueError(
                f"{table.path}: got a column {name!r}, needed names other than those of predictions"
            )
    columns += [[f"{value:.9g}" for value in column] for column in numbers.T]
    cells = [[*row, *new] for row, new in zip(table.rows, zip(*columns, strict=True), strict=True)]
    return [*table.names, *added], cells


def update_with_table(model: Any, table: Table, target: str | None = None) -> str:
    """Learn the rows of a table, in their order, once; returns the name of the target's column.

    ``target`` may be None if the table has one column that is no feature of the model.

    Raises ValueError for columns that are not there and cells that are no numbers; the model is
    then as it was.
    """
    features = _features(model)
    if target is None:
        others = [name for name in table.names if name not in features]
        if len(others) != 1:
            got = ", ".join(map(repr, others)) or "none"
            raise ValueError(
                f"{table.path}: got, beside the features, the columns {got}, needed one: name the "
                "target with --target"
            )
        (target,) = others
    rows = table.numbers(features, missing=True)
    with _named_by_us():
        if hasattr(model, "classes_"):
            model.partial_fit(rows, np.array(table.labels(target)))
        else:
            model.partial_fit(rows, table.numbers([target], missing=False)[:, 0])
    return target


def _features(model: Any) -> list[str]:
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        raise ValueError("the model was fitted to rows without names, needed one of tagix fit")
    return [str(name) for name in names]


@contextmanager
def _named_by_us() -> Iterator[None]:
    """scikit-learn warns of rows without names, which here are in the order of the model's."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
        yield


@contextmanager
def _in_one_line() -> Iterator[None]:
    """What is wrong with files is one line on stderr and exit status 2, as a missing extra is."""
    try:
        yield
    except (ValueError, OSError) as error:
        print(f"tagix: {error}", file=sys.stderr)
        raise import_optional("typer", extra="cli").Exit(2) from error


def _load(path: Path, device: Device) -> Any:
    import tagix
    from tagix.sklearn import TagiClassifier, TagiRegressor

    model: Any = tagix.load(path, device=device.value)
    if not isinstance(model, (TagiRegressor, TagiClassifier)):
        raise ValueError(f"{path}: got a {type(model).__name__}, needed a model of tagix fit")
    return model


def add_commands(app: Any) -> None:
    """Add the commands to a typer application."""
    typer = import_optional("typer", extra="cli")
    data = typer.Argument(
        exists=True, dir_okay=False, metavar="DATA.csv", help="A CSV file with names of columns."
    )
    model_file = typer.Argument(
        exists=True, dir_okay=False, metavar="MODEL", help="A file that fit has written."
    )
    on_device = typer.Option(Device.cpu, help="Where the model is while it works.")

    @app.command()  # type: ignore[untyped-decorator]
    def fit(
        path: Path = data,
        target: str = typer.Option(help="Name of the column to predict."),
        output: Path = typer.Option(help="The model's file, .safetensors."),
        classify: bool = typer.Option(False, "--classify", help="The target holds labels."),
        drop: list[str] = typer.Option([], help="A column to leave out; may be repeated."),
        max_epochs: int | None = typer.Option(None, min=1, help="Instead of the default."),
        seed: int = typer.Option(0, min=0, help="Equal seeds give equal models."),
        device: Device = on_device,
        quiet: bool = typer.Option(False, "--quiet", help="No progress bar, no summary."),
    ) -> None:
        """Fit a model to a table, scaling, noise and stopping included; empty cells are missing."""
        check_device(device)
        parameters: dict[str, Any] = {"random_state": seed, "device": device.value}
        if max_epochs is not None:
            parameters["max_epochs"] = max_epochs
        progress = not quiet and sys.stderr.isatty()  # bars are no text for a file
        with _in_one_line():
            table = csv_tables.read(path)
            begin = time.perf_counter()
            model = fit_table(
                table, target, classify=classify, drop=drop, verbose=progress, **parameters
            )
            seconds = time.perf_counter() - begin
            model.set_params(verbose=0).save(output)
        if not quiet:
            kind = f"{len(model.classes_)} classes" if classify else "a regression"
            print(
                f"{output}: {kind} of {target!r} by {model.n_features_in_} columns, "
                f"{len(table)} rows, {model.n_iter_} epochs, {seconds:.1f} s"
            )

    @app.command()  # type: ignore[untyped-decorator]
    def predict(
        model: Path = model_file,
        path: Path = data,
        output: Path | None = typer.Option(None, help="The CSV file to write; default: stdout."),
        level: float = typer.Option(0.9, help="Probability of the interval from low to high."),
        device: Device = on_device,
    ) -> None:
        """Write a table with its predictions: mean, std and interval, or class probabilities."""
        check_device(device)
        with _in_one_line():
            names, rows = predict_table(_load(model, device), csv_tables.read(path), level)
            csv_tables.write(output, names, rows)

    @app.command()  # type: ignore[untyped-decorator]
    def update(
        model: Path = model_file,
        path: Path = data,
        target: str | None = typer.Option(
            None, help="The column to learn; default: the one that is no feature of the model."
        ),
        output: Path | None = typer.Option(None, help="Default: the model's own file."),
        device: Device = on_device,
        quiet: bool = typer.Option(False, "--quiet", help="No summary."),
    ) -> None:
        """Learn new rows, once, in their order, and write the model."""
        check_device(device)
        with _in_one_line():
            estimator = _load(model, device)
            table = csv_tables.read(path)
            column = update_with_table(estimator, table, target)
            estimator.save(model if output is None else output)
        if not quiet:
            print(f"{output or model}: learned {column!r} of {len(table)} rows more")
