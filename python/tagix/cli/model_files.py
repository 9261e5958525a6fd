"""Models in files: how a model reads a table, and the features that it reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tagix._table_format import Conventions, TableFormat
from tagix.cli import cells, columns
from tagix.cli.messages import counted
from tagix.cli.options import Device
from tagix.cli.table import Table

if TYPE_CHECKING:
    import polars as pl


def load_model(path: Path, device: Device) -> Any:
    """The estimator in a file, on a device; ValueError for a file of anything else."""
    import tagix
    from tagix.sklearn import TagiClassifier, TagiRegressor

    model: Any = tagix.load(path, device=device.value)
    if not isinstance(model, (TagiRegressor, TagiClassifier)):
        raise ValueError(f"{path}: got a {type(model).__name__}, needed a model of tagix fit")
    return model


def format_of(model: Any, table: Table) -> TableFormat:
    """How a model reads a table; if ``tagix fit`` did not fit it, this follows from its encoder.

    Raises ValueError for a model without names, and for durations, which text cannot express.
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


def read_features(
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
                f"{table.path}: column {name!r} has {counted(len(new), 'cell')} with categories "
                f"that the model does not know, taken as missing ({text[new[0]]!r} on "
                f"{table.where(new[0])})"
            )
    return rows
