"""Figures of two-dimensional samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tagix._arrays import as_array, as_points
from tagix._optional import import_optional
from tagix.plotting._figures import (
    DATA_COLOR,
    LOG_SCALE_RATIO,
    SAMPLE_COLOR,
    new_figure,
    style,
)
from tagix.plotting._points import markers, square_view

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_data_and_samples(
    data: npt.ArrayLike, samples: npt.ArrayLike, *, title: str | None = None
) -> Figure:
    """Data on the left, samples on the right, on the same axes.

    Args:
        data: (n, 2) points. As many as there are samples are drawn, evenly picked, so that both
            panels have the same density.
        samples: (n_samples, 2) points.
        title: Above both panels.

    Raises:
        ValueError: An array is not (n, 2) or not finite.
        ImportError: matplotlib is not installed.
    """
    data_points, sample_points = as_points("data", data, 2), as_points("samples", samples, 2)
    n_shown = min(len(data_points), len(sample_points))
    shown_data = data_points[np.linspace(0, len(data_points) - 1, n_shown).astype(np.int64)]
    with style():
        figure, (left, right) = new_figure(1, 2, width=9.0, height=4.9)
        for axes, points, color, name in (
            (left, shown_data, DATA_COLOR, "Data"),
            (right, sample_points, SAMPLE_COLOR, "Samples"),
        ):
            axes.scatter(*points.T, **markers(len(points)), c=color)
            axes.set_title(f"{name} ({len(points):,} points)")
            square_view(axes, data_points)
        right.set_ylabel("")
        if title:
            figure.suptitle(title)
        return figure


def plot_sample_var(
    samples: npt.ArrayLike, var: npt.ArrayLike, *, title: str | None = None
) -> Figure:
    """Samples coloured by their variance, the most uncertain on top.

    The colour is the variance summed over both coordinates, on a logarithmic scale where it spans
    more than a factor of 10; the lowest and highest 0.5 % share the end colours.

    Args:
        samples: (n, 2) points, in any unit.
        var: (n, 2) variances, in that unit squared, or (n,) already summed; none negative.
        title: Above the panel.

    Raises:
        ValueError: Shapes that do not match, numbers that are not finite, a negative variance.
        ImportError: matplotlib is not installed.
    """
    points = as_points("samples", samples, 2)
    total_var = np.asarray(as_array("var", var), dtype=np.float64)
    if total_var.shape not in ((len(points), 2), (len(points),)):
        raise ValueError(
            f"var: got shape {total_var.shape}, needed {(len(points), 2)} or {(len(points),)}"
        )
    if not np.isfinite(total_var).all() or (total_var < 0).any():
        raise ValueError("var: got NaN, infinity or a negative number, needed variances >= 0")
    if total_var.ndim == 2:
        total_var = total_var.sum(axis=1)
    with style():
        figure, ((axes,),) = new_figure(1, 1, width=5.9, height=4.9, squeeze=False)
        bar = _coloured(figure, axes, points, total_var)
        bar.set_label("variance, summed over both coordinates\n(units of the axes, squared)")
        axes.set_title(title or "Samples coloured by their variance")
        return figure


def plot_samples_by(
    samples: npt.ArrayLike, values: Mapping[str, npt.ArrayLike], *, title: str | None = None
) -> Figure:
    """Samples coloured by each of some measures of uncertainty, a panel for each.

    Colours are as in plot_sample_var, separately for each panel, with the largest values on top.

    Args:
        samples: (n, 2) points.
        values: (n,) finite numbers by the panel's title, such as samples.score.
        title: Above all panels.

    Raises:
        ValueError: No values, shapes that do not match, numbers that are not finite.
        ImportError: matplotlib is not installed.
    """
    points = as_points("samples", samples, 2)
    if not values:
        raise ValueError("values: got none, needed at least one array")
    numbers = {name: np.asarray(as_array(name, each), np.float64) for name, each in values.items()}
    for name, each in numbers.items():
        if each.shape != (len(points),):
            raise ValueError(f"{name}: got shape {each.shape}, needed {(len(points),)}")
        if not np.isfinite(each).all():
            raise ValueError(f"{name}: got NaN or infinity, needed finite numbers")
    with style():
        n = len(numbers)
        figure, (panels,) = new_figure(1, n, width=1.0 + 4.2 * n, height=4.3, squeeze=False)
        for axes, (name, each) in zip(panels, numbers.items(), strict=True):
            _coloured(figure, axes, points, each)
            axes.set_title(name)
        for axes in panels[1:]:
            axes.set_ylabel("")
        if title:
            figure.suptitle(title)
        return figure


def _coloured(
    figure: Figure, axes: Axes, points: npt.NDArray[np.float64], values: npt.NDArray[np.float64]
) -> Any:
    """Draws (n, 2) points by the colour of (n,) values, the largest on top; returns the bar."""
    colors = import_optional("matplotlib.colors")
    low, high = np.quantile(values, [0.005, 0.995])
    if low > 0 and high > LOG_SCALE_RATIO * low:
        norm = colors.LogNorm(low, high, clip=True)
    else:
        norm = colors.Normalize(low, high, clip=True)
    order = np.argsort(values)
    look = markers(len(points)) | {"alpha": 1.0, "c": values[order]}
    dots = axes.scatter(*points[order].T, **look, norm=norm, cmap="viridis")
    bar: Any = figure.colorbar(dots, ax=axes, extend="both", shrink=0.92, pad=0.02)
    bar.outline.set_visible(False)
    square_view(axes, points)
    return bar
