"""A density over the plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tagix._arrays import as_array, as_points
from tagix.plotting._figures import new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_density(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    density: npt.ArrayLike,
    *,
    data: npt.ArrayLike | None = None,
    title: str | None = None,
) -> Figure:
    """A density on a grid, by colour, such as exp of DiffusionModel.log_prob; points over it.

    Args:
        x: (columns,) coordinates of the grid, rising.
        y: (rows,) coordinates, rising.
        density: (rows, columns) finite numbers, density[i, j] that of (x[j], y[i]).
        data: (n, 2) points.
        title: Above the panel.

    Raises:
        ValueError: Shapes that do not match, coordinates that do not rise, numbers that are not
            finite.
        TypeError: Not an array of numbers.
        ImportError: matplotlib is not installed.
    """
    sides = []
    for name, side in (("x", x), ("y", y)):
        values = np.asarray(as_array(name, side), dtype=np.float64)
        if values.ndim != 1 or len(values) < 2 or not (np.diff(values) > 0).all():
            raise ValueError(f"{name}: got shape {values.shape}, needed at least 2 rising numbers")
        sides.append(values)
    shares = np.asarray(as_array("density", density), dtype=np.float64)
    if shares.shape != (len(sides[1]), len(sides[0])):
        raise ValueError(
            f"density: got shape {shares.shape}, needed {(len(sides[1]), len(sides[0]))}"
        )
    if not np.isfinite(shares).all():
        raise ValueError("density: got NaN or infinity, needed finite numbers")
    points = None if data is None else as_points("data", data, 2)
    with style():
        figure, ((axes,),) = new_figure(1, 1, width=5.9, height=4.9, squeeze=False)
        colors = axes.pcolormesh(*sides, shares, cmap="viridis", shading="nearest", rasterized=True)
        bar = figure.colorbar(colors, ax=axes, shrink=0.92, pad=0.02)
        bar.set_label("density (per unit of both axes)")
        bar.outline.set_visible(False)
        if points is not None:
            axes.scatter(*points.T, s=2.0, c="white", alpha=0.35, linewidths=0.0, rasterized=True)
            axes.set_xlim(sides[0][0], sides[0][-1])
            axes.set_ylim(sides[1][0], sides[1][-1])
        axes.set_aspect("equal")
        axes.set_xlabel("$x_1$")
        axes.set_ylabel("$x_2$")
        if title:
            axes.set_title(title)
        return figure
