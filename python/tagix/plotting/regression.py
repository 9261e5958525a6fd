"""Figures of regressions: of one input, and of targets against their predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tagix._arrays import as_array
from tagix.plotting._figures import (
    BAND_COLOR,
    DATA_COLOR,
    SAMPLE_COLOR,
    VAR_COLOR,
    new_figure,
    plain_axes,
    style,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_regression(
    x: npt.ArrayLike,
    mean: npt.ArrayLike,
    epistemic: npt.ArrayLike,
    aleatoric: npt.ArrayLike,
    *,
    data: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    n_std: float = 2.0,
    title: str | None = None,
) -> Figure:
    """A predicted curve with a band for each kind of variance, over the data.

    The inner band is the epistemic standard deviation: where the curve may lie. The outer band is
    the standard deviation of a target, the root of epistemic + aleatoric.

    Args:
        x: (n,) inputs in rising order.
        mean: (n,) predictions.
        epistemic: (n,) variances of the mean, such as prediction.epistemic.
        aleatoric: (n,) variances of the noise, such as prediction.aleatoric.
        data: Inputs and targets to draw as dots, each (n_data,).
        n_std: Half the width of the bands, in standard deviations.
        title: Above the panel.

    Raises:
        ValueError: Shapes that do not match, numbers that are not finite, a negative variance.
        TypeError: Not an array of numbers.
        ImportError: matplotlib is not installed.
    """
    arrays = {"x": x, "mean": mean, "epistemic": epistemic, "aleatoric": aleatoric}
    columns = {key: np.asarray(as_array(key, value), np.float64) for key, value in arrays.items()}
    shape = columns["x"].shape
    for name, column in columns.items():
        if column.ndim != 1 or column.shape != shape:
            raise ValueError(f"{name}: got shape {column.shape}, needed (n,), that of x")
        if not np.isfinite(column).all():
            raise ValueError(f"{name}: got NaN or infinity, needed finite numbers")
        if name in ("epistemic", "aleatoric") and (column < 0).any():
            raise ValueError(f"{name}: got a negative number, needed variances >= 0")
    grid, curve, doubt, noise = columns.values()
    with style():
        figure, axes = new_figure(1, 1, width=6.6, height=4.3)
        if data is not None:
            axes.scatter(*data, s=6.0, color=DATA_COLOR, alpha=0.6, linewidths=0.0, label="data")
        for var, color, label in (
            (doubt + noise, SAMPLE_COLOR, "aleatoric and epistemic"),
            (doubt, VAR_COLOR, "epistemic"),
        ):
            reach = n_std * np.sqrt(var)
            axes.fill_between(
                grid,
                curve - reach,
                curve + reach,
                color=color,
                alpha=0.25,
                linewidth=0,
                label=label,
            )
        axes.plot(grid, curve, color=SAMPLE_COLOR, linewidth=1.8, label="prediction")
        axes.set_xlabel("x")
        axes.set_ylabel("y")
        axes.legend(frameon=False)
        axes.set_title(title or f"Prediction with {n_std:g} standard deviations")
        return figure


def plot_predictions(
    panels: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]],
    *,
    level: float,
    title: str | None = None,
) -> Figure:
    """Targets against their predictions, with intervals; on the diagonal both are equal.

    The title of a panel says which share of the targets lies in its interval.

    Args:
        panels: By the name of each target, (n,) true values, predictions, and lower and upper
            bounds of intervals.
        level: The probability that the intervals are to hold.
        title: Above the panels.

    Raises:
        ValueError: No panel, shapes that do not match, numbers that are not finite.
        TypeError: Not an array of numbers.
        ImportError: matplotlib is not installed.
    """
    if not panels:
        raise ValueError("panels: got none, needed at least one")
    columns = {name: _as_panel(name, panel) for name, panel in panels.items()}
    with style():
        figure, axes = new_figure(
            1, len(columns), width=5.2 * len(columns), height=4.9, squeeze=False
        )
        for place, (name, (truth, mean, low, high)) in zip(axes[0], columns.items(), strict=True):
            place.vlines(
                truth, low, high, color=BAND_COLOR, linewidth=0.8, label=f"{level:.0%} interval"
            )
            place.scatter(
                truth, mean, s=9.0, color=SAMPLE_COLOR, linewidths=0.0, label="prediction", zorder=3
            )
            ends = [min(truth.min(), mean.min()), max(truth.max(), mean.max())]
            place.plot(ends, ends, color=DATA_COLOR, linestyle="--", linewidth=1.2, zorder=4)
            plain_axes(place)
            place.set_xlabel(f"{name}, true")
            place.set_ylabel(f"{name}, predicted")
            inside = np.mean((low <= truth) & (truth <= high))
            place.set_title(f"{inside:.0%} of {len(truth)} in their {level:.0%} interval")
            place.legend(frameon=False, loc="upper left")
        if title:
            figure.suptitle(title)
        return figure


def _as_panel(name: str, panel: tuple[npt.ArrayLike, ...]) -> list[npt.NDArray[np.float64]]:
    arrays = [np.asarray(as_array(f"panels[{name!r}]", part), np.float64) for part in panel]
    if len(arrays) != 4 or not len(arrays[0]):
        raise ValueError(f"panels[{name!r}]: got {len(arrays)} arrays or no rows, needed 4 of (n,)")
    for array in arrays:
        if array.ndim != 1 or array.shape != arrays[0].shape:
            raise ValueError(f"panels[{name!r}]: got shape {array.shape}, needed (n,) for all")
        if not np.isfinite(array).all():
            raise ValueError(f"panels[{name!r}]: got NaN or infinity, needed finite numbers")
    return arrays
