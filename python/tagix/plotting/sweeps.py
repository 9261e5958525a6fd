"""Figures of metrics against a setting that is swept, such as timesteps or guidance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tagix._arrays import as_array
from tagix._optional import import_optional
from tagix.plotting._figures import (
    BAND_COLOR,
    DATA_COLOR,
    LOG_SCALE_RATIO,
    log_ticks,
    new_figure,
    plain_axes,
    series_style,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[np.float64]
_FLOOR_LABEL = "real against real"


def plot_scores(
    x: npt.ArrayLike,
    scores: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]],
    *,
    floor: tuple[float, float] | None = None,
    xlabel: str = "timesteps",
    ylabel: str = "EMD",
    title: str | None = None,
) -> Figure:
    """A metric against a swept value for several methods, with error bars.

    An axis is logarithmic if its numbers are positive and span more than a factor of 10; on the x
    axis an additional value of 0 is allowed.

    Args:
        x: (n,) values of the setting, in rising order.
        scores: (n,) means and (n,) standard deviations >= 0 by the name of the method; if the mean
            is NaN there is no point; if only the deviation is NaN there is no error bar.
        floor: Mean and standard deviation of the metric for real data against real data, drawn as
            a line and a band of one standard deviation to each side.
        xlabel: Name of the setting.
        ylabel: Name of the metric.
        title: Above the panel.

    Raises:
        ValueError: No scores, shapes that do not match, infinity, negative deviations, x that does
            not rise.
        TypeError: Not an array of numbers.
        ImportError: matplotlib is not installed.
    """
    values = _row("x", x)
    if not np.isfinite(values).all() or (np.diff(values) <= 0).any():
        raise ValueError("x: needed finite numbers in rising order")
    if not scores:
        raise ValueError("scores: got none, needed at least one method")
    rows = {}
    for name, (mean, std) in scores.items():
        rows[name] = (_row(name, mean, len(values)), _row(name, std, len(values)))
        if (rows[name][1] < 0).any():
            raise ValueError(f"{name}: got a negative standard deviation")
    shown = [mean for mean, _ in rows.values()]
    if floor is not None:
        center, reach = (float(each) for each in floor)
        if not np.isfinite([center, reach]).all() or reach < 0:
            raise ValueError(f"floor: got {floor}, needed a mean and a standard deviation >= 0")
        shown.append(np.array([center]))
    with style():
        figure, axes = new_figure(1, 1, width=6.6, height=4.3)
        if floor is not None:
            axes.axhspan(center - reach, center + reach, color=BAND_COLOR, alpha=0.6, linewidth=0)
            label = f"{_FLOOR_LABEL}, {center:.3g} ± {reach:.2g}"
            axes.axhline(center, color=DATA_COLOR, linestyle="--", linewidth=1.2, label=label)
        for i, (name, (mean, std)) in enumerate(rows.items()):
            axes.errorbar(
                values,
                mean,
                np.nan_to_num(std),
                label=name,
                linewidth=1.8,
                markersize=5,
                capsize=3,
                elinewidth=1.1,
                **series_style(i),
            )
        _scale_x(axes, values)
        if _spans_decades(np.concatenate(shown)):
            axes.set_yscale("log", nonpositive="clip")
            log_ticks(axes.yaxis)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        plain_axes(axes)
        axes.legend(frameon=False)
        if title:
            axes.set_title(title)
        return figure


def plot_trade_off(
    curves: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]],
    *,
    real: tuple[float, float] | None = None,
    xlabel: str = "class accuracy",
    ylabel: str = "EMD",
    weight_label: str = "guidance weight",
    title: str | None = None,
) -> Figure:
    """One metric against another along a setting, each point labelled by it.

    The usual setting is guidance: a larger weight gains class accuracy and moves samples away from
    the data.

    Args:
        curves: By the name of the method, (n,) weights, (n,) numbers along x, such as accuracies,
            and (n,) along y, such as distances; joined in the order given.
        real: The two metrics of real data, drawn as a star.
        xlabel: Name of the first metric.
        ylabel: Name of the second.
        weight_label: What the numbers at the points are.
        title: Above the panel.

    Raises:
        ValueError: No curve, shapes that do not match, numbers that are not finite.
        TypeError: Not an array of numbers.
        ImportError: matplotlib is not installed.
    """
    if not curves:
        raise ValueError("curves: got none, needed at least one method")
    rows = {}
    for name, (weights, first, second) in curves.items():
        weights = _row(name, weights)
        rows[name] = (weights, _row(name, first, len(weights)), _row(name, second, len(weights)))
        if not np.isfinite(rows[name]).all():
            raise ValueError(f"{name}: got NaN or infinity, needed finite numbers")
    if real is not None and not np.isfinite(real).all():
        raise ValueError(f"real: got {real}, needed two finite numbers")
    with style():
        figure, axes = new_figure(1, 1, width=6.6, height=4.9)
        marks, paths = [], []
        for i, (name, (weights, first, second)) in enumerate(rows.items()):
            look = series_style(i)
            axes.plot(first, second, linewidth=1.5, markersize=5, label=name, **look)
            paths.append(np.stack([first, second], axis=1))
            marks += [
                (f"{weight:g}", (a, b), look["color"])
                for weight, a, b in zip(weights, first, second, strict=True)
            ]
        if real is not None:
            paths.append(np.array([real], np.float64))
            axes.plot(
                *real, "*", color=DATA_COLOR, markersize=13, label="real data", linestyle="none"
            )
        axes.margins(0.08)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        plain_axes(axes)
        axes.legend(frameon=False, title=f"numbers: {weight_label}")
        if title:
            axes.set_title(title)
        _label_points(figure, axes, marks, paths)
        return figure


def _label_points(
    figure: Figure,
    axes: Axes,
    marks: Sequence[tuple[str, tuple[float, float], str]],
    paths: Sequence[Array],
) -> None:
    """Texts, each with its point and colour, where most room is left of the (n, 2) paths."""
    figure.draw_without_rendering()
    to_pixels = axes.transData.transform
    unit = figure.dpi / 72  # pixels per point of the typesetter
    taken = [_box(each, 8.0 * unit) for path in paths for each in to_pixels(path)]
    for path in paths:
        for start, end in pairwise(to_pixels(path)):
            n = 2 + int(np.linalg.norm(end - start) / (3.0 * unit))
            taken += [_box(each, 3.0 * unit) for each in np.linspace(start, end, n)]
    legend = axes.get_legend()
    if legend is not None:
        taken.append(legend.get_window_extent().get_points())
    frame = axes.get_window_extent().get_points()
    directions = np.radians([90, 270, 0, 180, 45, 135, 225, 315])
    offsets = [
        distance * np.array([np.cos(angle), np.sin(angle)])
        for distance in (9.0, 13.0, 18.0, 24.0)
        for angle in directions
    ]
    for text, point, color in marks:
        size = np.array([5.5 * len(text), 8.0]) * unit
        here = to_pixels(point)
        # A wide text moves farther to the side.
        shifts = [each * [1 + 0.04 * size[0] / unit, 1.0] for each in offsets]
        boxes = [_box(here + shift * unit, size) for shift in shifts]
        costs = [
            sum(_overlap(box, each) for each in taken)
            + 10 * (np.prod(size) - _overlap(box, frame))
            + float(np.linalg.norm(offset)) * unit
            for box, offset in zip(boxes, offsets, strict=True)
        ]
        best = int(np.argmin(costs))
        taken.append(boxes[best])
        axes.annotate(
            text,
            point,
            xytext=tuple(shifts[best]),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=8,
            color=color,
        )


def _box(center: Array, size: float | Array) -> Array:
    """Lower and upper corner."""
    return np.array([center - 0.5 * size, center + 0.5 * size])


def _overlap(a: Array, b: Array) -> float:
    """Area that two boxes, each its lower and its upper corner, have in common."""
    sides = np.minimum(a[1], b[1]) - np.maximum(a[0], b[0])
    return float(np.prod(np.maximum(sides, 0.0)))


def _row(name: str, values: Any, n: int | None = None) -> Array:
    """(n,) numbers as float64, NaN allowed, else ValueError or TypeError."""
    row = np.asarray(as_array(name, values), np.float64)
    if row.ndim != 1 or row.size == 0 or n not in (None, len(row)):
        raise ValueError(f"{name}: got shape {row.shape}, needed ({n or 'n'},)")
    if np.isinf(row).any():
        raise ValueError(f"{name}: got infinity, needed finite numbers")
    return row


def _spans_decades(values: Array) -> bool:
    known = values[~np.isnan(values)]
    return bool(known.size and known.min() > 0 and known.max() > LOG_SCALE_RATIO * known.min())


def _scale_x(axes: Axes, values: Array) -> None:
    """The scale along x, with ticks at the values themselves where their labels have room."""
    ticker = import_optional("matplotlib.ticker")
    if _spans_decades(values):
        axes.set_xscale("log")
        log_ticks(axes.xaxis)
    elif values[0] == 0 and _spans_decades(values[1:]):
        axes.set_xscale("symlog", linthresh=values[1], linscale=0.4)
    places = axes.xaxis.get_transform().transform(values)
    if len(values) > 1 and np.diff(places).min() > 0.06 * (places[-1] - places[0]):
        axes.xaxis.set_major_locator(ticker.FixedLocator(values))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(ticker.NullLocator())
