"""Figures of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tagix._optional import import_optional
from tagix.plotting._figures import (
    DATA_COLOR,
    LOG_SCALE_RATIO,
    SAMPLE_COLOR,
    VAR_COLOR,
    log_ticks,
    new_figure,
    plain_axes,
    style,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    with style():
        figure, (left, right) = new_figure(1, 2, width=9.0, height=3.6)
        for axes, values, color, name in (
            (left, train_mse, SAMPLE_COLOR, "Mean squared error in training"),
            (right, predicted_var, VAR_COLOR, "Mean predicted variance"),
        ):
            marker = "o" if len(epochs) <= 30 else None
            axes.plot(epochs, values, color=color, marker=marker, markersize=4, linewidth=1.8)
            axes.set_title(name)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
            axes.set_xlim(0.5, len(epochs) + 0.5)
            plain_axes(axes)
        positive = np.asarray(predicted_var, dtype=np.float64)
        if (positive > 0).all() and positive.max() > LOG_SCALE_RATIO * positive.min():
            right.set_yscale("log")
            log_ticks(right.yaxis)
        if ideal_mse is not None:
            left.axhline(ideal_mse, color=DATA_COLOR, linestyle="--", linewidth=1.2)
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
                color=DATA_COLOR,
                fontsize=9,
            )
        if title:
            figure.suptitle(title)
        return figure
