"""Figures of the reverse chain: paths of single points, and an animation of all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tagix._arrays import as_array, as_count, as_number, as_points
from tagix._optional import import_optional
from tagix.plotting._figures import BAND_COLOR, empty_figure, style
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

# The palette of an animation: text and axes are greys with a touch of blue.
_DARK, _N_GREYS, _N_TINTS = "#1f2933", 12, 3

Array = npt.NDArray[np.float64]


def plot_trajectories(
    trajectory: npt.ArrayLike,
    data: npt.ArrayLike | None = None,
    *,
    n_points: int = 8,
    projection: tuple[int, int] | None = None,
    title: str | None = None,
) -> Figure:
    """Paths of single points through the reverse chain, coloured by its step, over the data.

    A path starts at a small dot, in noise, and ends at a large one, the sample.

    Args:
        trajectory: (n_states, n, 2) or (n_states, n, 3) states, n_states >= 2, the noise first, as
            samples.trajectory.
        data: (n_data, n_features) points behind the paths.
        n_points: Paths drawn, evenly picked; all where there are fewer.
        projection: Two coordinates to draw; None draws three dimensions in perspective.
        title: Above the panel.

    Raises:
        ValueError: Shapes that do not match, numbers that are not finite, n_points below 1, a
            projection on coordinates that are not there.
        TypeError: Not an array of numbers, or not an integer.
        ImportError: matplotlib is not installed.
    """
    states, behind = _states(trajectory, data, projection)
    n_points = min(as_count("n_points", n_points, least=1), states.shape[1])
    states = states[:, np.linspace(0, states.shape[1] - 1, n_points).astype(np.int64)]
    n_states, _, n_features = states.shape
    # (steps, points, 2 ends, n_features), flattened to segments.
    segments = np.stack([states[:-1], states[1:]], axis=2).reshape(-1, 2, n_features)
    steps = np.repeat(np.arange(1, n_states), n_points)
    colors = import_optional("matplotlib.colors")
    look = {"cmap": "viridis", "norm": colors.Normalize(0, n_states - 1), "zorder": 3}
    reference = states.reshape(-1, n_features)
    if behind is not None:
        reference = np.concatenate([reference, behind])
    with style():
        figure = empty_figure(width=5.9, height=4.9)
        axes = point_axes(figure, (1, 1, 1), reference)
        if behind is not None:
            draw_data(axes, behind)
        if n_features == 2:
            line_collection = import_optional("matplotlib.collections").LineCollection
        else:
            line_collection = import_optional("mpl_toolkits.mplot3d.art3d").Line3DCollection
        lines = line_collection(segments, array=steps, linewidths=1.3, alpha=0.9, **look)
        axes.add_collection(lines, autolim=False)
        for i, size in ((0, 10.0), (-1, 24.0)):
            color = np.full(n_points, steps[i] - 1 if i == 0 else steps[i])
            dots = {"s": size, "linewidths": 0.6, "edgecolors": "white", **look, "zorder": 4}
            axes.scatter(*states[i].T, c=color, **dots)
        bar = figure.colorbar(lines, ax=axes, shrink=0.92, pad=0.02 if n_features == 2 else 0.1)
        bar.outline.set_visible(False)
        bar.set_label("step of the reverse chain")
        axes.set_title(title or "Paths from noise to sample")
        return figure


def animate_denoising(
    trajectory: npt.ArrayLike,
    path: str | os.PathLike[str],
    *,
    data: npt.ArrayLike | None = None,
    labels: npt.ArrayLike | None = None,
    n_points: int = 1000,
    projection: tuple[int, int] | None = None,
    fps: float = 12.0,
    hold: float = 1.5,
    turn: float = 60.0,
    title: str | None = None,
) -> Path:
    """Write an animation of the reverse chain as a GIF of 640 x 640 pixels; returns its path.

    There is one frame per state, the noise first; the last frame stays before the animation
    restarts.

    Args:
        trajectory: (n_states, n, 2) or (n_states, n, 3) states, n_states >= 2, the noise first, as
            samples.trajectory.
        path: Of the file; its folder is made.
        data: (n_data, n_features) points behind the samples.
        labels: (n,) integers from 0 on that colour the points, -1 for "no label".
        n_points: Drawn, evenly picked; all where there are fewer.
        projection: Two coordinates to draw; None draws three dimensions in perspective.
        fps: Frames per second, at most 50, the limit of GIF viewers.
        hold: Seconds for which the last frame stays.
        turn: Degrees by which the view of three dimensions turns in all; it ends at the view of the
            other figures.
        title: Above the points.

    Raises:
        ValueError: Shapes that do not match, numbers that are not finite or out of range, a
            projection on coordinates that are not there.
        TypeError: Not an array of numbers, or not an integer or a number where one is needed.
        ImportError: matplotlib is not installed.
    """
    states, behind = _states(trajectory, data, projection)
    classes = None if labels is None else as_labels("labels", labels, states.shape[1])
    n_points = min(as_count("n_points", n_points, least=1), states.shape[1])
    fps, hold, turn = as_number("fps", fps), as_number("hold", hold), as_number("turn", turn)
    if not 0 < fps <= 50:
        raise ValueError(f"fps: got {fps}, needed a number in (0, 50]")
    if not 0 <= hold <= 60:
        raise ValueError(f"hold: got {hold}, needed seconds in [0, 60]")
    if not np.isfinite(turn):
        raise ValueError(f"turn: got {turn}, needed a finite number of degrees")
    shown = np.linspace(0, states.shape[1] - 1, n_points).astype(np.int64)
    states = states[:, shown]
    color = label_colors(None if classes is None else classes[shown])
    # Most of the noise is within the view, but its farthest points do not shrink the rest.
    reference = [np.quantile(states[0], [0.01, 0.99], axis=0), states[-1]]
    if behind is not None:
        reference[1] = behind
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    image = import_optional("PIL.Image", package="pillow")
    last = len(states) - 1
    with style():
        figure = empty_figure(width=6.4, height=6.4)
        figure.set_dpi(100)
        canvas = import_optional("matplotlib.backends.backend_agg").FigureCanvasAgg(figure)
        axes = point_axes(figure, (1, 1, 1), np.concatenate(reference))
        if behind is not None:
            draw_data(axes, behind)
        look = markers(n_points) | {"alpha": 1.0}
        if states.shape[2] == 3:
            look["depthshade"] = False
        dots = axes.scatter(*states[0].T, **look, c=color)
        caption = axes.set_title(_caption(title, last, last))
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # as laid out now in every frame
        azimuth = axes.azim if states.shape[2] == 3 else 0.0
        frames = []
        for step, points in enumerate(states):
            _move(dots, points)
            caption.set_text(_caption(title, step, last))
            if points.shape[1] == 3:
                axes.view_init(azim=azimuth - turn * (1 - step / last))
            canvas.draw()
            pixels = np.array(canvas.buffer_rgba())[..., :3]
            frames.append(image.fromarray(np.ascontiguousarray(pixels)))
    palette = _palette(color)
    first, *others = [frame.quantize(palette=palette, dither=0) for frame in frames]
    durations = [round(1000 / fps)] * len(states)  # in ms
    durations[-1] += round(1000 * hold)
    first.save(
        target, format="GIF", save_all=True, append_images=others, duration=durations, loop=0
    )
    return target


def _states(trajectory: Any, data: Any, projection: Projection) -> tuple[Array, Array | None]:
    """Trajectory and data, checked, in the 2 or 3 coordinates that are drawn."""
    states = np.asarray(as_array("trajectory", trajectory), np.float64)
    if states.ndim != 3 or len(states) < 2 or states.size == 0:
        raise ValueError(
            f"trajectory: got shape {states.shape}, needed (n_states, n, n_features) with at "
            "least two states and one point"
        )
    if not np.isfinite(states).all():
        raise ValueError("trajectory: got NaN or infinity, needed finite numbers")
    behind = None if data is None else as_points("data", data, states.shape[2])
    states = projected("trajectory", states, projection)
    return states, None if behind is None else projected("data", behind, projection)


def _palette(colors: Any) -> Any:
    """An image of PIL's whose palette is greys and the given colours, each in tints to white.

    Few colours, the same in all frames, make a small file; tints are what edges of dots need.
    """
    to_rgb = import_optional("matplotlib.colors").to_rgb
    wanted = [(_DARK, _N_GREYS), (BAND_COLOR, _N_TINTS)]
    wanted += [(color, _N_TINTS) for color in np.unique(colors)]
    rgb = [
        1 - share * (1 - np.array(to_rgb(color)))
        for color, n in wanted
        for share in np.arange(1, n + 1) / n
    ]
    palette = import_optional("PIL.Image", package="pillow").new("P", (1, 1))
    palette.putpalette(np.rint(255 * np.array([np.ones(3), *rgb])).astype(int).ravel().tolist())
    return palette


def _move(dots: Any, points: Array) -> None:
    if points.shape[1] == 2:
        dots.set_offsets(points)
    else:
        dots._offsets3d = tuple(points.T)  # matplotlib has no public setter


def _caption(title: str | None, step: int, last: int) -> str:
    counter = f"step {step} of {last}"
    return f"{title}\n{counter}" if title else counter
