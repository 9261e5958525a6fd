"""Grids of samples: several models, data sets or settings side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tagix._arrays import as_points
from tagix.plotting._figures import empty_figure, style
from tagix.plotting._points import (
    Projection,
    as_labels,
    draw_data,
    label_colors,
    markers,
    point_axes,
    projected,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = npt.NDArray[np.float64]


def plot_sample_grid(
    cells: Mapping[str, Mapping[str, npt.ArrayLike]],
    *,
    data: npt.ArrayLike | Mapping[str, npt.ArrayLike] | None = None,
    labels: Mapping[str, Mapping[str, npt.ArrayLike]] | None = None,
    projection: tuple[int, int] | None = None,
    title: str | None = None,
) -> Figure:
    """A panel of samples for each row and column, over faint data.

    Panels with data show the range of the data, other panels the range of their samples; so a stray
    sample may lie outside. A missing cell stays empty.

    Args:
        cells: (n, 2) or (n, 3) samples by the names of their row and column, such as
            cells["PyTorch"]["40 steps"].
        data: Points behind the samples of all panels, or by the name of a row or of a column.
        labels: (n,) integer labels of samples from 0 on, which colour them, as cells; -1 is
            "no label".
        projection: Two coordinates to draw, such as (0, 2); None draws points of three dimensions
            in perspective.
        title: Above all panels.

    Raises:
        ValueError: No cell, names that are neither row nor column, shapes that do not match,
            numbers that are not finite, a projection on coordinates that are not there.
        TypeError: Not an array of numbers, labels that are not integers.
        ImportError: matplotlib is not installed.
    """
    rows = list(cells)
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    _check_names(cells, columns, data, labels)
    panels = _panels(cells, columns, data, labels, projection)
    with style():
        figure = empty_figure(width=0.5 + 2.3 * len(columns), height=0.5 + 2.3 * len(rows))
        for panel in panels:
            axes = _draw_panel(figure, panel, (len(rows), len(columns)))
            if not any(above.column == panel.column for above in panels if above.row < panel.row):
                axes.set_title(columns[panel.column])
            if not any(left.row == panel.row for left in panels if left.column < panel.column):
                _name_row(axes, rows[panel.row])
        if title:
            figure.suptitle(title)
        return figure


class _Panel(NamedTuple):
    """A cell that has samples, in the coordinates that are drawn."""

    row: int
    column: int
    samples: Array
    behind: Array | None
    """The data."""
    color: Any
    """Of all samples, or of each."""


def _check_names(
    cells: Mapping[str, Mapping[str, npt.ArrayLike]],
    columns: Sequence[str],
    data: npt.ArrayLike | Mapping[str, npt.ArrayLike] | None,
    labels: Mapping[str, Mapping[str, npt.ArrayLike]] | None,
) -> None:
    """ValueError without a cell, and for data or labels that belong to none."""
    if not columns:
        raise ValueError("cells: got none, needed samples by row and column")
    for name in data if isinstance(data, Mapping) else ():
        if name not in cells and name not in columns:
            raise ValueError(f"data: got {name!r}, needed the name of a row or a column of cells")
    for row, named in (labels or {}).items():
        for column in named:
            if column not in cells.get(row, {}):
                raise ValueError(f"labels: got {(row, column)}, needed a cell that has samples")


def _panels(
    cells: Mapping[str, Mapping[str, npt.ArrayLike]],
    columns: Sequence[str],
    data: npt.ArrayLike | Mapping[str, npt.ArrayLike] | None,
    labels: Mapping[str, Mapping[str, npt.ArrayLike]] | None,
    projection: Projection,
) -> list[_Panel]:
    """The cells that have samples, their arrays checked, row by row."""
    panels = []
    for i, (row_name, of_row) in enumerate(cells.items()):
        for j, column_name in enumerate(columns):
            if column_name not in of_row:
                continue
            name = f"cells[{row_name!r}][{column_name!r}]"
            samples = as_points(name, of_row[column_name])
            behind = (
                data.get(row_name, data.get(column_name)) if isinstance(data, Mapping) else data
            )
            if behind is not None:
                behind = as_points("data", behind, samples.shape[1])
                behind = projected("data", behind, projection)
            classes = (labels or {}).get(row_name, {}).get(column_name)
            if classes is not None:
                classes = as_labels("labels", classes, len(samples))
            samples = projected(name, samples, projection)
            panels.append(_Panel(i, j, samples, behind, label_colors(classes)))
    return panels


def _draw_panel(figure: Figure, panel: _Panel, shape: tuple[int, int]) -> Any:
    """The axes of a panel in a grid of this shape, without numbers."""
    n_rows, n_columns = shape
    samples, behind = panel.samples, panel.behind
    index = 1 + panel.row * n_columns + panel.column
    axes = point_axes(figure, (n_rows, n_columns, index), samples if behind is None else behind)
    if behind is not None:
        draw_data(axes, behind)
    axes.scatter(*samples.T, **markers(*samples.shape), c=panel.color)
    axes.set(xlabel="", ylabel="", xticklabels=[], yticklabels=[])
    axes.tick_params(length=0)
    if samples.shape[1] == 3:
        axes.set(zlabel="", zticklabels=[])
        axes.set_box_aspect((1, 1, 1), zoom=1.15)  # the room of the labels
    return axes


def _name_row(axes: Any, name: str) -> None:
    """Write the name of a row, upright, to the left of its first panel."""
    axes.annotate(
        name,
        (0.0, 0.5),
        xycoords="axes fraction",
        xytext=(-8, 0),
        textcoords="offset points",
        rotation=90,
        ha="right",
        va="center",
        fontsize=11,
    )
