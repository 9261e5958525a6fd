"""``tagix fit``, ``predict`` and ``update``: tables in files."""

from __future__ import annotations

import os
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from tagix._optional import import_optional
from tagix._table_format import Conventions, TableFormat
from tagix.cli import cells, columns, outputs
from tagix.cli.options import Device, check_device, usage_error
from tagix.cli.table_files import STDIN, Table, read_table

if TYPE_CHECKING:
    import polars as pl

    from tagix.sklearn import TagiClassifier, TagiRegressor


FEW_VALUES = 10
"""So many different numbers in a target may be labels, which a user is told."""


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
        """An estimator with these parameters, which keeps how the table was read."""
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
    """Features and targets of a table: every column but targets and those dropped is a feature.

    Rows without a target are left out. A target of text or of booleans is learned as classes. Notes
    of both are added to the table.

    Args:
        table: the rows.
        targets: names of the columns to predict; one of classes.
        classify: whether numbers are labels.
        drop: columns to leave out, of which nothing else is asked.
        categories: columns to take as categories, whatever they hold.
        missing: cells that stand for no value, beside the usual ones.

    Raises ValueError for columns that are not there, and for all those at once that are of no use.
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
    of_targets, of_no_use = columns.guess_kinds(table, targets, conventions)
    if classify:
        of_no_use = {name: found for name, found in of_no_use.items() if not found.has_labels}
    elif len(targets) == 1 and of_targets.get(targets[0]) in ("boolean", "category"):
        classify = True
        table.notes.append(
            f"{table.path}: the target {targets[0]!r} does not hold numbers, its cells are learned "
            "as labels"
        )
    else:
        of_no_use |= {
            name: columns.Problem(f"holds {_PLURALS[kind]}", has_labels=len(targets) == 1)
            for name, kind in of_targets.items()
            if kind in _PLURALS
        }
    columns.refuse(table, {**of_no_use, **problems}, targets)
    rows = columns.read_columns(table, kinds, conventions)
    table.notes.extend(
        f"{table.path}: column {name!r} counts the rows; --drop {shlex.quote(name)} leaves it out"
        for name, kind in kinds.items()
        if kind == "number" and columns.counts_rows(table, name)
    )
    if classify:
        rows, y = _with_targets(table, rows, _labels(table, targets[0]).to_frame())
        n_labels = len(np.unique(y))
        if n_labels > FEW_VALUES and 2 * n_labels > len(y):
            raise ValueError(
                f"{table.path}: column {targets[0]!r} has {n_labels} different labels in {len(y)} "
                "rows, needed two rows of each in the mean"
            )
    else:
        rows, y = _with_targets(table, rows, _numbers(table, targets, conventions))
        n_values = len(np.unique(y))
        if len(targets) == 1 and 2 <= n_values <= FEW_VALUES <= len(y) // 10:
            table.notes.append(
                f"{table.path}: the target {targets[0]!r} has {n_values} different values, learned "
                "as numbers; --classify learns them as labels"
            )
    numbers = [name for name, kind in kinds.items() if kind == "number"]
    marks = columns.marks_of(table, numbers if classify else [*numbers, *targets])
    form = TableFormat(list(targets), kinds, conventions, marks, list(missing))
    return TrainingTable(rows, y, form, classify)


_PLURALS = {"boolean": "booleans", "category": "text", "date": "dates"}


def predict_table(model: Any, table: Table, level: float) -> tuple[pl.DataFrame, Conventions]:
    """Predictions as columns of as many rows, and how the table writes numbers and dates.

    Of a regression ``prediction``; ``std`` and its parts ``std_epistemic`` and ``std_aleatoric``,
    the squares of which add up; ``low`` and ``high``, bounds that hold the target with probability
    ``level``. Where there are several targets, the name of each follows an underscore. Of classes
    ``prediction`` and ``p(label)`` for each.

    Raises ValueError where the table lacks a feature of the model, or has one of these columns.
    """
    import polars as pl

    form = format_of(model, table)
    table = table.with_missing(form.missing)
    conventions = columns.conventions(table, form.conventions)
    rows = _features(model, table, form, conventions)
    found: dict[str, Any] = {}
    with _naming(table):
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


def update_with_table(
    model: Any, table: Table, targets: Sequence[str] = ()
) -> tuple[list[str], int]:
    """Learn the rows of a table, in their order, once; the names of the targets and how many rows.

    Without ``targets``, they are those of the model's file; in a file that does not say, the one
    column that is not a feature. Rows without a target are left out, with a note.

    Raises ValueError for columns that are not there and cells of another kind; the model is then
    as it was.
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
    rows = _features(model, table, form, found)
    if hasattr(model, "classes_"):
        if len(targets) > 1:
            raise ValueError(
                f"got the targets {', '.join(map(repr, targets))}, needed one of labels"
            )
        labels = _labels(table, targets[0], model.classes_)
        rows, y = _with_targets(table, rows, labels.to_frame())
    else:
        rows, y = _with_targets(table, rows, _numbers(table, targets, found))
        columns.require_marks(table, targets, form.marks)
    with _naming(table):
        model.partial_fit(rows, y)
    return targets, len(y)


def _features(
    model: Any, table: Table, form: TableFormat, conventions: Conventions
) -> pl.DataFrame:
    """The features of a model; adds a note for categories that it does not know."""
    import polars as pl

    rows = columns.read_columns(table, form.kinds, conventions)
    numbers = [name for name, kind in form.kinds.items() if kind == "number"]
    columns.require_marks(table, numbers, form.marks)
    if model._encoder is None:
        return rows
    for name, column in zip(form.kinds, model._encoder.columns, strict=True):
        if form.kinds[name] != "category":
            continue
        text = cells.converted(rows[name], pl.String)
        known = [category for category in column.categories if category is not None]
        new = (text.is_not_null() & ~text.is_in(known)).arg_true()
        if len(new):
            table.notes.append(
                f"{table.path}: column {name!r} has {_counted(len(new), 'cell')} with categories "
                f"that the model does not know, taken as missing ({text[new[0]]!r} on "
                f"{table.where(new[0])})"
            )
    return rows


def format_of(model: Any, table: Table) -> TableFormat:
    """How a model reads a table; of one that was not fitted by ``tagix fit``, by its encoder.

    Raises ValueError for a model without names, and durations, which text does not have.
    """
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        raise ValueError("the model was fitted to rows without names, needed names of columns")
    if model._table_format is not None:
        return cast(TableFormat, model._table_format)
    kinds = dict.fromkeys(map(str, names), "number")
    if model._encoder is not None:
        columns_of_encoder = zip(kinds, model._encoder.columns, strict=True)
        kinds = {name: _KINDS_OF_ENCODER[column.kind] for name, column in columns_of_encoder}
    # An encoder takes booleans as numbers.
    table.require(list(kinds))
    guessed, _ = columns.guess_kinds(table, list(kinds), Conventions())
    for name, kind in kinds.items():
        if kind == "number" and guessed.get(name) == "boolean":
            kinds[name] = "boolean"
    return TableFormat([], kinds)


_KINDS_OF_ENCODER = {
    "number": "number",
    "category": "category",
    "datetime": "date",
    "time": "time",
    "duration": "number",
}


def _as_text(column: pl.Series) -> pl.Series:
    import polars as pl

    if column.dtype == pl.String:
        return column
    if column.dtype == pl.Boolean:
        return cells.evaluated(
            pl.when(column).then(pl.lit("True")).when(~column).then(pl.lit("False"))
        )
    return cells.converted(column, pl.String)


def _labels(table: Table, name: str, classes: NDArray[Any] | None = None) -> pl.Series:
    """A column of labels, null where one is missing: whole numbers as such, the rest as text.

    ``classes`` are those of a model that has learned some already.
    """
    text = cells.present(_as_text(table.frame[name]))
    numbers = cells.plain_numbers(text)
    known = "" if classes is None else classes.dtype.kind
    if classes is None and numbers.null_count() == text.null_count():
        whole = (numbers % 1 == 0).all() and (numbers.abs() < 2**53).all()
        known = "i" if whole and not cells.is_code(text) else ""
    if known not in _KINDS_OF_LABELS:
        return text
    needed, read = _KINDS_OF_LABELS[known]
    labels = read(text)
    wrong = (text.is_not_null() & labels.is_null()).arg_true()
    if len(wrong):
        raise ValueError(
            f"{table.path}, {table.where(wrong[0])}, column {name!r}: got {text[wrong[0]]!r:.60}, "
            f"needed {needed}, as the classes of the model are"
        )
    return labels


def _whole_numbers(text: pl.Series) -> pl.Series:
    import polars as pl

    numbers = cells.plain_numbers(text)
    whole = cells.evaluated(pl.when(numbers % 1 == 0).then(numbers))
    return cells.converted(whole, pl.Int64)


# By the kinds of numpy's dtypes; labels of others are text.
_KINDS_OF_LABELS: dict[str, tuple[str, Callable[[pl.Series], pl.Series]]] = {
    "i": ("a whole number", _whole_numbers),
    "u": ("a whole number", _whole_numbers),
    "f": ("a number", cells.plain_numbers),
    "b": ("true or false", cells.booleans),
}


def _numbers(table: Table, names: Sequence[str], conventions: Conventions) -> pl.DataFrame:
    """Columns of targets that are numbers, or times of day; ValueError for the first other cell."""
    import polars as pl

    kinds, _ = columns.guess_kinds(table, names, conventions)
    as_numbers = {name: "time" if kinds.get(name) == "time" else "number" for name in names}
    table.require(names, "target")
    return pl.DataFrame(
        [columns.read_column(table, name, kind, conventions) for name, kind in as_numbers.items()]
    )


def _with_targets(
    table: Table, rows: pl.DataFrame, targets: pl.DataFrame
) -> tuple[pl.DataFrame, NDArray[Any]]:
    """The rows that have all targets, and these: (n_rows,) of one, (n_rows, n_targets) of more."""
    import polars as pl

    present = targets.select(pl.all_horizontal(pl.all().is_not_null())).to_series()
    n_missing = int((~present).sum())
    if n_missing == len(present):
        raise ValueError(
            f"{table.path}: got no row with a target in {', '.join(map(repr, targets.columns))}"
        )
    if n_missing:
        were = "was" if n_missing == 1 else "were"
        rows_left_out = _counted(n_missing, "row")
        table.notes.append(f"{table.path}: {rows_left_out} {were} left out, without a target")
    kept = targets.filter(present)
    y = kept.to_numpy() if kept.width > 1 else kept.to_series().to_numpy()
    return rows.filter(present), np.asarray(y.astype(str) if y.dtype == object else y)


def _counted(count: int, what: str) -> str:
    """A count with its noun, such as "2 rows"."""
    plural = f"{what}es" if what.endswith("s") else f"{what}s"
    return f"{count} {what if count == 1 else plural}"


@contextmanager
def _naming(table: Table) -> Iterator[None]:
    """What an estimator does not take, with the file that it is in."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ValueError(f"{table.path}: {error}") from error


@contextmanager
def _in_one_line() -> Iterator[None]:
    """What is wrong with files is one line on stderr and exit status 2, as a missing extra is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = _show_warning
            yield
    except BrokenPipeError:
        # Nobody reads on, as after | head: no error. What Python writes at its exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise import_optional("typer", extra="cli").Exit(0) from None
    except (ValueError, OSError) as error:
        print(f"tagix: {' '.join(str(error).split())}", file=sys.stderr)
        raise import_optional("typer", extra="cli").Exit(2) from error


def _show_warning(message: Any, *_: Any, **__: Any) -> None:
    print(f"tagix: {' '.join(str(message).split())}", file=sys.stderr)


@contextmanager
def _notes_of(table: Table, quiet: bool) -> Iterator[Table]:
    """The table, whose notes are shown in the end, also where an error comes in between."""
    try:
        yield table
    finally:
        for note in () if quiet else table.notes:
            print(f"tagix: {note}", file=sys.stderr)


def _load(path: Path, device: Device) -> Any:
    import tagix
    from tagix.sklearn import TagiClassifier, TagiRegressor

    model: Any = tagix.load(path, device=device.value)
    if not isinstance(model, (TagiRegressor, TagiClassifier)):
        raise ValueError(f"{path}: got a {type(model).__name__}, needed a model of tagix fit")
    return model


def _check_outputs(*paths: Path | None, inputs: Sequence[Path]) -> None:
    """Raise ValueError for files that cannot be written, before there is work to lose."""
    for path in paths:
        if path is not None:
            for other in inputs:
                if other != STDIN and path.exists() and path.samefile(other):
                    raise ValueError(f"{path}: got the file that is read, needed another to write")
            outputs.check_writable(path)


def add_commands(app: Any) -> None:
    """Add the commands to a typer application."""
    typer = import_optional("typer", extra="cli")

    def existing(path: Path) -> Path:
        # What typer checks itself would not let "-" pass.
        if path != STDIN and not path.is_file() and not path.is_fifo():
            raise usage_error(f"got {str(path)!r}, needed a file that exists, or - for stdin")
        return path

    data = typer.Argument(
        callback=existing,
        metavar="DATA",
        help="A table: CSV, or by suffix .parquet, .arrow, .feather or .xlsx; - is CSV from stdin.",
    )
    model_file = typer.Argument(
        exists=True, dir_okay=False, metavar="MODEL", help="A file that fit has written."
    )
    on_device = typer.Option(Device.cpu, help="Where the model is while it works.")

    @app.command()  # type: ignore[untyped-decorator]
    def fit(
        path: Path = data,
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
            [], help="A cell that stands for no value, such as -999; may be repeated."
        ),
        noise: Noise = typer.Option(Noise.auto, help="Whether noise depends on the features."),
        n_estimators: int | None = typer.Option(
            None, min=1, help="Networks in the mixture, instead of the default."
        ),
        max_epochs: int | None = typer.Option(None, min=1, help="Instead of the default."),
        seed: int = typer.Option(0, min=0, help="Equal seeds give equal models."),
        device: Device = on_device,
        quiet: bool = typer.Option(False, "--quiet", help="No progress bar, notes or summary."),
    ) -> None:
        """Fit a model to a table, scaling, noise and stopping included; empty cells are missing."""
        check_device(device)
        parameters: dict[str, Any] = {"random_state": seed, "device": device.value}
        if max_epochs is not None:
            parameters["max_epochs"] = max_epochs
        if n_estimators is not None:
            parameters["n_estimators"] = n_estimators
        if classify and len(target) > 1:
            raise usage_error("labels are learned in one column", "--target")
        if noise is not Noise.auto:
            if classify:
                raise usage_error("labels have no noise of this kind", "--noise")
            parameters["noise"] = noise.value
        progress = not quiet and sys.stderr.isatty()  # a file has no use for bars
        with _in_one_line():
            _check_outputs(output, inputs=[path])
            with _notes_of(read_table(path), quiet) as table:
                training = training_table(
                    table,
                    list(dict.fromkeys(target)),
                    classify=classify,
                    drop=drop,
                    categories=categories,
                    missing=missing,
                )
            begin = time.perf_counter()
            with _naming(table):
                model: Any = training.fit(verbose=progress, **parameters)
            seconds = time.perf_counter() - begin
            model.set_params(verbose=0).save(output)
        if not quiet:
            kind = _counted(len(model.classes_), "class") if training.of_classes else "a regression"
            of = ", ".join(map(repr, training.form.targets))
            print(
                f"{output}: {kind} of {of} by {_counted(len(training.form.kinds), 'column')}, "
                f"{_counted(len(training.y), 'row')}, {_counted(model.n_iter_, 'epoch')}, "
                f"{seconds:.1f} s"
            )

    @app.command()  # type: ignore[untyped-decorator]
    def predict(
        model: Path = model_file,
        path: Path = data,
        output: Path | None = typer.Option(
            None,
            help="The file to write, CSV or by suffix .parquet, .arrow or .xlsx; default: stdout.",
        ),
        level: float = typer.Option(0.9, help="Probability of the interval from low to high."),
        plot: Path | None = typer.Option(
            None, help="A PNG of predictions against the target, where the table has it."
        ),
        device: Device = on_device,
        quiet: bool = typer.Option(False, "--quiet", help="No notes."),
    ) -> None:
        """Write a table with its predictions: mean, std and interval, or class probabilities."""
        check_device(device)
        if not 0.0 < level < 1.0:
            raise usage_error(f"got {level:g}, needed a number between 0 and 1", "--level")
        with _in_one_line():
            _check_outputs(output, plot, inputs=[model, path])
            estimator = _load(model, device)
            with _notes_of(read_table(path), quiet) as table:
                predictions, found = predict_table(estimator, table, level)
            if plot is not None:
                _plot(estimator, table, predictions, found, level, plot)
            outputs.write_table(output, table, predictions, found)

    @app.command()  # type: ignore[untyped-decorator]
    def update(
        model: Path = model_file,
        path: Path = data,
        target: list[str] = typer.Option(
            [], help="The column to learn; default: the one that the model was fitted to."
        ),
        output: Path | None = typer.Option(None, help="Default: the model's own file."),
        device: Device = on_device,
        quiet: bool = typer.Option(False, "--quiet", help="No notes, no summary."),
    ) -> None:
        """Learn new rows, once, in their order, and write the model."""
        check_device(device)
        with _in_one_line():
            _check_outputs(output or model, inputs=[path])
            estimator = _load(model, device)
            with _notes_of(read_table(path), quiet) as table:
                names, n_rows = update_with_table(estimator, table, target)
            estimator.save(model if output is None else output)
        if not quiet:
            learned = ", ".join(map(repr, names))
            print(f"{output or model}: learned {learned} of {_counted(n_rows, 'row')} more")


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
        labels = _as_text(_labels(table, form.targets[0], model.classes_))
        figure = outputs.figure_of_classes(predictions, labels)
    else:
        truth = _numbers(table, form.targets, found)
        columns.require_marks(table, form.targets, form.marks)
        figure = outputs.figure_of_numbers(predictions, truth, level)
    outputs.save_figure(figure, path)
