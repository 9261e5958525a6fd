"""Grids of samples: several models, data sets or settings side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy.typing as npt

from tagix._arrays import as_points
from tagix.plotting._figures import empty_figure, style
from tagix.plotting._points import (
    as_labels,
    draw_data,
    label_colors,
    markers,
    point_axes,
    projected,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    if not columns:
        raise ValueError("cells: got none, needed samples by row and column")
    given = dict(data) if isinstance(data, Mapping) else {}
    for name in given:
        if name not in rows and name not in columns:
            raise ValueError(f"data: got {name!r}, needed the name of a row or a column of cells")
    for row, named in (labels or {}).items():
        for column in named:
            if column not in cells.get(row, {}):
                raise ValueError(f"labels: got {(row, column)}, needed a cell that has samples")
    panels = []
    for i, row_name in enumerate(rows):
        for j, column_name in enumerate(columns):
            if column_name not in cells[row_name]:
                continue
            name = f"cells[{row_name!r}][{column_name!r}]"
            samples = as_points(name, cells[row_name][column_name])
            behind = (
                given.get(row_name, given.get(column_name)) if isinstance(data, Mapping) else data
            )
            if behind is not None:
                behind = as_points("data", behind, samples.shape[1])
                behind = projected("data", behind, projection)
            classes = (labels or {}).get(row_name, {}).get(column_name)
            if classes is not None:
                classes = as_labels("labels", classes, len(samples))
            samples = projected(name, samples, projection)
            panels.append((i, j, samples, behind, label_colors(classes)))
    with style():
        figure = empty_figure(width=0.5 + 2.3 * len(columns), height=0.5 + 2.3 * len(rows))
        for i, j, samples, behind, color in panels:
            index = 1 + i * len(columns) + j
            reference = samples if behind is None else behind
            axes = point_axes(figure, (len(rows), len(columns), index), reference)
            if behind is not None:
                draw_data(axes, behind)
            axes.scatter(*samples.T, **markers(*samples.shape), c=color)
            axes.set(xlabel="", ylabel="", xticklabels=[], yticklabels=[])
            axes.tick_params(length=0)
            if samples.shape[1] == 3:
                axes.set(zlabel="", zticklabels=[])
                axes.set_box_aspect((1, 1, 1), zoom=1.15)  # the room of the labels
            if not any(above[:2] == (k, j) for k in range(i) for above in panels):
                axes.set_title(columns[j])
            if not any(left[:2] == (i, k) for k in range(j) for left in panels):
                axes.annotate(
                    rows[i],
                    (0.0, 0.5),
                    xycoords="axes fraction",
                    xytext=(-8, 0),
                    textcoords="offset points",
                    rotation=90,
                    ha="right",
                    va="center",
                    fontsize=11,
                )
        if title:
            figure.suptitle(title)
        return figure
