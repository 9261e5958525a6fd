"""Figures of one-dimensional regressions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tagix._arrays import as_array
from tagix.plotting._figures import DATA_COLOR, SAMPLE_COLOR, VAR_COLOR, new_figure, style

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

    The inner band is the epistemic standard deviation, where the curve may lie; the outer that of
    a target, the root of epistemic + aleatoric.

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
        TypeError: What is no array of numbers.
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
