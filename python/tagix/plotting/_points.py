"""What figures of points share: their marks, and axes that show two or three dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tagix._arrays import as_array
from tagix.plotting._figures import BAND_COLOR, SAMPLE_COLOR, SERIES_COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Projection = tuple[int, int] | None
"""Two coordinates to draw, or None: points of two dimensions as they are, of three in perspective.
"""
# Of the data behind samples: enough to show its shape.
_MOST_DATA = 2000
_DATA_MARKERS = {"s": 5.0, "c": BAND_COLOR, "linewidths": 0.0, "rasterized": True}


def markers(n_points: int, n_features: int = 2) -> dict[str, Any]:
    """How scatter draws so many points: smaller as they get more, so that all show the density."""
    size = float(np.clip(20_000 / max(n_points, 1), 2.0, 12.0))
    # In perspective, matplotlib fades the far ones.
    return {
        "s": size,
        "alpha": 0.5 if n_features == 2 else 0.75,
        "linewidths": 0.0,
        "rasterized": True,
    }


def projected(
    name: str, points: npt.NDArray[np.float64], projection: Projection
) -> npt.NDArray[np.float64]:
    """The last axis cut to what is drawn: 2 or 3 coordinates, else ValueError."""
    n_features = points.shape[-1]
    if projection is None:
        if n_features not in (2, 3):
            raise ValueError(
                f"{name}: got {n_features} features, needed 2 or 3, or a projection on two of them"
            )
        return points
    pair = tuple(projection)
    if len(pair) != 2 or any(not 0 <= axis < n_features for axis in pair):
        raise ValueError(
            f"projection: got {projection!r}, needed two axes of {name} from 0 to {n_features - 1}"
        )
    return points[..., list(pair)]


def point_axes(
    figure: Figure, position: tuple[int, int, int], reference: npt.NDArray[np.float64]
) -> Any:
    """New axes at (rows, columns, index) for points of 2 or 3 dimensions, around the reference."""
    if reference.shape[1] == 2:
        axes = figure.add_subplot(*position)
        square_view(axes, reference)
        return axes
    axes = figure.add_subplot(*position, projection="3d")
    low, high = _square_limits(reference)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
    axes.set_box_aspect((1, 1, 1))
    axes.computed_zorder = False  # samples on the data, always, not what is nearer on average
    for axis, label in ((axes.xaxis, "$x_1$"), (axes.yaxis, "$x_2$"), (axes.zaxis, "$x_3$")):
        axis.set_pane_color((0.97, 0.975, 0.98, 1.0))
        axis.set_label_text(label)
        axis.labelpad = -2
    axes.tick_params(pad=-1, labelsize=8)
    return axes


def draw_data(axes: Any, data: npt.NDArray[np.float64]) -> None:
    """Data as faint dots for samples to lie on; of more than 2000, as many evenly picked."""
    shown = np.linspace(0, len(data) - 1, min(len(data), _MOST_DATA)).astype(np.int64)
    shading = {} if data.shape[1] == 2 else {"depthshade": False}
    axes.scatter(*data[shown].T, **_DATA_MARKERS, **shading, zorder=0.5)


def as_labels(name: str, labels: Any, n: int) -> npt.NDArray[np.int64]:
    """(n,) integer labels, else TypeError or ValueError."""
    array = as_array(name, labels)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: got an array of {array.dtype}, needed integers")
    if array.shape != (n,):
        raise ValueError(f"{name}: got shape {array.shape}, needed {(n,)}, one per point")
    return np.asarray(array, np.int64)


def label_colors(labels: npt.NDArray[np.int64] | None) -> Any:
    """Colours of points by their label, from 0 on; -1 is the colour of no label."""
    if labels is None:
        return SAMPLE_COLOR
    colors = np.array([*SERIES_COLORS, "#323f4b"])
    return colors[np.where(labels < 0, len(SERIES_COLORS), labels % len(SERIES_COLORS))]


def square_view(axes: Axes, reference: npt.NDArray[np.float64]) -> None:
    """One scale on both axes, around the reference; a stray sample does not shrink the rest."""
    low, high = _square_limits(reference)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_aspect("equal")
    axes.set_xlabel("$x_1$")
    axes.set_ylabel("$x_2$")


def _square_limits(reference: npt.NDArray[np.float64]) -> tuple[Any, Any]:
    """Ends of a square or cube around the reference, with a margin."""
    low, high = reference.min(axis=0), reference.max(axis=0)
    half = 0.5 * 1.15 * max(float((high - low).max()), 1e-6)
    center = 0.5 * (low + high)
    return center - half, center + half
