"""Figures of metrics against a setting that is swept, such as timesteps or guidance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

    An axis is logarithmic where its numbers are positive and span more than a factor of 10.

    Args:
        x: (n,) values of the setting, in rising order.
        scores: (n,) means and (n,) standard deviations >= 0 by the name of the method; where the
            mean is NaN there is no point, where only the deviation is, no error bar.
        floor: Mean and standard deviation of the metric for real data against real data, drawn as
            a line and a band of one standard deviation to each side.
        xlabel: Name of the setting.
        ylabel: Name of the metric.
        title: Above the panel.

    Raises:
        ValueError: No scores, shapes that do not match, infinity, negative deviations, x that does
            not rise.
        TypeError: What is no array of numbers.
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
        if _spans_decades(values):
            axes.set_xscale("log")
            log_ticks(axes.xaxis)
        _tick_at(axes, values)
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
    title: str | None = None,
) -> Figure:
    """One metric against another along a setting, each point labelled by it.

    The usual one is guidance: what a larger weight gains in class accuracy and loses in distance
    from the data.

    Args:
        curves: By the name of the method, (n,) weights, (n,) numbers along x, such as accuracies,
            and (n,) along y, such as distances; joined in the order given.
        real: The two metrics of real data, drawn as a star.
        xlabel: Name of the first metric.
        ylabel: Name of the second.
        title: Above the panel.

    Raises:
        ValueError: No curve, shapes that do not match, numbers that are not finite.
        TypeError: What is no array of numbers.
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
        marks = []
        for i, (name, (weights, first, second)) in enumerate(rows.items()):
            look = series_style(i)
            axes.plot(first, second, linewidth=1.5, markersize=5, label=name, **look)
            marks += [
                (f"{weight:g}", (a, b), look["color"])
                for weight, a, b in zip(weights, first, second, strict=True)
            ]
        if real is not None:
            axes.plot(
                *real, "*", color=DATA_COLOR, markersize=13, label="real data", linestyle="none"
            )
        axes.margins(0.08)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        plain_axes(axes)
        axes.legend(frameon=False, title="labels: guidance weight")
        if title:
            axes.set_title(title)
        _label_points(figure, axes, marks)
        return figure


def _label_points(
    figure: Figure, axes: Axes, marks: Sequence[tuple[str, tuple[float, float], str]]
) -> None:
    """Texts beside their points, each on the side and at the distance where most room is left."""
    figure.draw_without_rendering()
    to_pixels = axes.transData.transform
    pixels_per_point = figure.dpi / 72
    taken = [np.array([p - 4, p + 4]) for p in to_pixels([mark[1] for mark in marks])]
    legend = axes.get_legend()
    if legend is not None:
        taken.append(legend.get_window_extent().get_points())
    frame = axes.get_window_extent().get_points()
    for text, point, color in marks:
        size = pixels_per_point * np.array([5.2 * len(text), 8.0])
        best: tuple[float, Any, Any] | None = None
        for distance in (8.0, 13.0, 18.0):
            for angle in np.radians([90, 270, 0, 180, 45, 135, 225, 315]):
                direction = np.array([np.cos(angle), np.sin(angle)])
                offset = direction * (distance + 0.25 * size * [1.0, 0.0] / pixels_per_point)
                center = to_pixels(point) + offset * pixels_per_point
                box = np.array([center - size / 2, center + size / 2])
                cost = sum(_overlap(box, each) for each in taken) + 0.5 * distance
                cost += 10 * (np.prod(size) - _overlap(box, frame))
                if best is None or cost < best[0]:
                    best = (cost, offset, box)
        assert best is not None
        _, offset, box = best
        taken.append(box)
        axes.annotate(
            text,
            point,
            xytext=tuple(offset),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=8,
            color=color,
        )


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


def _tick_at(axes: Axes, values: Array) -> None:
    """Ticks at the values themselves, where their labels have room."""
    ticker = import_optional("matplotlib.ticker")
    logarithmic = axes.get_xscale() == "log"
    places = np.log(values) if logarithmic else values
    if len(values) > 1 and np.diff(places).min() > 0.06 * (places[-1] - places[0]):
        axes.xaxis.set_major_locator(ticker.FixedLocator(values))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(ticker.NullLocator())
