"""Figures of two-dimensional samples and of training.

Every function takes arrays and returns a matplotlib Figure, made without pyplot: nothing is shown,
no display is needed, and ``figure.savefig(path)`` writes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tagix._arrays import as_array, as_points
from tagix._optional import import_optional

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DATA_COLOR = "#52606d"
_SAMPLE_COLOR = "#c2410c"
_VAR_COLOR = "#1d4ed8"
# A colour for ten times the smallest variance says nothing of a range narrower than this.
_LOG_SCALE_RATIO = 10.0
_STYLE = {
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.edgecolor": "#9aa5b1",
    "axes.labelcolor": "#323f4b",
    "axes.linewidth": 0.8,
    "xtick.color": "#616e7c",
    "ytick.color": "#616e7c",
    "grid.color": "#e4e7eb",
    "grid.linewidth": 0.8,
}


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
    with _style():
        figure, (left, right) = _figure(1, 2, width=9.0, height=4.9)
        for axes, points, color, name in (
            (left, shown_data, _DATA_COLOR, "Data"),
            (right, sample_points, _SAMPLE_COLOR, "Samples"),
        ):
            axes.scatter(*points.T, **_markers(len(points)), c=color)
            axes.set_title(f"{name} ({len(points):,} points)")
            _square_view(axes, data_points)
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
    colors = import_optional("matplotlib.colors")
    low, high = np.quantile(total_var, [0.005, 0.995])
    if low > 0 and high > _LOG_SCALE_RATIO * low:
        norm = colors.LogNorm(low, high, clip=True)
    else:
        norm = colors.Normalize(low, high, clip=True)
    order = np.argsort(total_var)
    with _style():
        figure, ((axes,),) = _figure(1, 1, width=5.9, height=4.9, squeeze=False)
        dots = axes.scatter(
            *points[order].T,
            **(_markers(len(points)) | {"alpha": 1.0}),
            c=total_var[order],
            norm=norm,
            cmap="viridis",
        )
        bar = figure.colorbar(dots, ax=axes, extend="both", shrink=0.92, pad=0.02)
        bar.set_label("variance, summed over both coordinates\n(units of the axes, squared)")
        bar.outline.set_visible(False)
        _square_view(axes, points)
        axes.set_title(title or "Samples coloured by their variance")
        return figure


def plot_training(
    train_mse: Sequence[float],
    predicted_var: Sequence[float],
    *,
    ideal_mse: float | None = None,
    title: str | None = None,
) -> Figure:
    """Training error and predicted variance by epoch, one panel each.

    Args:
        train_mse: Mean squared error of the predictions made in each epoch.
        predicted_var: Mean variance of those predictions.
        ideal_mse: Error of the best possible model, drawn as a dashed line.
        title: Above both panels.

    Raises:
        ValueError: The two differ in length or are empty.
        ImportError: matplotlib is not installed.
    """
    if len(train_mse) != len(predicted_var) or len(train_mse) == 0:
        raise ValueError(
            f"train_mse, predicted_var: got lengths {len(train_mse)} and {len(predicted_var)}, "
            "needed one number each per epoch"
        )
    ticker = import_optional("matplotlib.ticker")
    epochs = np.arange(1, len(train_mse) + 1)
    with _style():
        figure, (left, right) = _figure(1, 2, width=9.0, height=3.6)
        for axes, values, color, name in (
            (left, train_mse, _SAMPLE_COLOR, "Mean squared error in training"),
            (right, predicted_var, _VAR_COLOR, "Mean predicted variance"),
        ):
            marker = "o" if len(epochs) <= 30 else None
            axes.plot(epochs, values, color=color, marker=marker, markersize=4, linewidth=1.8)
            axes.set_title(name)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
            axes.set_xlim(0.5, len(epochs) + 0.5)
            axes.grid(visible=True)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
        positive = np.asarray(predicted_var, dtype=np.float64)
        if (positive > 0).all() and positive.max() > _LOG_SCALE_RATIO * positive.min():
            right.set_yscale("log")
            right.yaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
            right.yaxis.set_major_formatter("{x:g}")
            right.yaxis.set_minor_formatter(ticker.NullFormatter())
        if ideal_mse is not None:
            left.axhline(ideal_mse, color=_DATA_COLOR, linestyle="--", linewidth=1.2)
            low, high = min(*train_mse, ideal_mse), max(*train_mse, ideal_mse)
            margin = 0.05 * (high - low) or 0.05
            left.set_ylim(low - 4 * margin, high + margin)
            left.annotate(
                f"ideal denoiser {ideal_mse:.3f}",
                (0.99, ideal_mse),
                xycoords=("axes fraction", "data"),
                xytext=(0, -4),  # below: a good model's curve ends just above
                textcoords="offset points",
                ha="right",
                va="top",
                color=_DATA_COLOR,
                fontsize=9,
            )
        if title:
            figure.suptitle(title)
        return figure


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as a PNG file of 150 dots per inch and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, format="png")
    return path


def _style() -> Any:
    return import_optional("matplotlib").rc_context(_STYLE)


def _figure(
    rows: int, columns: int, *, width: float, height: float, squeeze: bool = True
) -> tuple[Figure, Any]:
    matplotlib_figure = import_optional("matplotlib.figure")
    engine = import_optional("matplotlib.layout_engine").ConstrainedLayoutEngine(
        w_pad=0.1, h_pad=0.1
    )
    figure: Figure = matplotlib_figure.Figure(figsize=(width, height), layout=engine)
    axes = figure.subplots(rows, columns, squeeze=squeeze)
    return figure, axes


def _markers(n_points: int) -> dict[str, Any]:
    # Dots shrink as they get more, so that 100 and 10 000 of them both show the density.
    size = float(np.clip(20_000 / max(n_points, 1), 2.0, 12.0))
    return {"s": size, "alpha": 0.5, "linewidths": 0.0, "rasterized": True}


def _square_view(axes: Axes, reference: npt.NDArray[np.float64]) -> None:
    """One scale on both axes, around the reference; a stray sample does not shrink the rest."""
    low, high = reference.min(axis=0), reference.max(axis=0)
    half = 0.5 * 1.15 * max(float((high - low).max()), 1e-6)
    center = 0.5 * (low + high)
    axes.set_xlim(center[0] - half, center[0] + half)
    axes.set_ylim(center[1] - half, center[1] + half)
    axes.set_aspect("equal")
    axes.set_xlabel("$x_1$")
    axes.set_ylabel("$x_2$")
