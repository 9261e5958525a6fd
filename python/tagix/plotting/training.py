"""Figures of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

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
    series_style,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
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
    _check_lengths("train_mse, predicted_var", train_mse, predicted_var)
    with style():
        figure, (left, right) = _panels()
        _draw_run(left, train_mse, color=SAMPLE_COLOR)
        _draw_run(right, predicted_var, color=VAR_COLOR)
        _finish(figure, left, right, [train_mse], [predicted_var], ideal_mse, title)
        return figure


def plot_training_runs(
    runs: Mapping[str, tuple[Sequence[float], Sequence[float] | None]],
    *,
    ideal_mse: float | None = None,
    title: str | None = None,
) -> Figure:
    """As plot_training, for several runs in the same two panels.

    Args:
        runs: By name, the mean squared error of the predictions made in each epoch and their mean
            variance, or None for a model that predicts none.
        ideal_mse: Error of the best possible model, drawn as a dashed line.
        title: Above both panels.

    Raises:
        ValueError: No run, or the two numbers of one differ in length or are empty.
        ImportError: matplotlib is not installed.
    """
    if not runs:
        raise ValueError("runs: got none, needed at least one")
    for name, (mse, var) in runs.items():
        _check_lengths(name, mse, mse if var is None else var)
    with style():
        figure, (left, right) = _panels()
        for i, (name, (mse, var)) in enumerate(runs.items()):
            _draw_run(left, mse, label=name, **series_style(i))
            if var is not None:
                _draw_run(right, var, label=name, **series_style(i))
        all_var = [var for _, var in runs.values() if var is not None]
        _finish(figure, left, right, [mse for mse, _ in runs.values()], all_var, ideal_mse, title)
        left.legend(frameon=False)
        return figure


def _check_lengths(name: str, train_mse: Sequence[float], predicted_var: Sequence[float]) -> None:
    if len(train_mse) != len(predicted_var) or len(train_mse) == 0:
        raise ValueError(
            f"{name}: got lengths {len(train_mse)} and {len(predicted_var)}, "
            "needed one number each per epoch"
        )


def _panels() -> tuple[Figure, Any]:
    figure, (left, right) = new_figure(1, 2, width=9.0, height=3.6)
    left.set_title("Mean squared error in training")
    right.set_title("Mean predicted variance")
    return figure, (left, right)


def _draw_run(axes: Axes, values: Sequence[float], *, marker: str = "o", **look: Any) -> None:
    epochs = np.arange(1, len(values) + 1)
    shown = marker if len(epochs) <= 30 else None
    axes.plot(epochs, values, marker=shown, markersize=4, linewidth=1.8, **look)


def _finish(
    figure: Figure,
    left: Axes,
    right: Axes,
    train_mse: Sequence[Sequence[float]],
    predicted_var: Sequence[Sequence[float]],
    ideal_mse: float | None,
    title: str | None,
) -> None:
    """Axes of both panels, for the curves drawn, and the ideal denoiser."""
    ticker = import_optional("matplotlib.ticker")
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_xlim(0.5, max(len(each) for each in train_mse) + 0.5)
        plain_axes(axes)
    positive = np.concatenate([np.zeros(0), *predicted_var])
    if positive.size and positive.min() > 0 and positive.max() > LOG_SCALE_RATIO * positive.min():
        right.set_yscale("log")
        log_ticks(right.yaxis)
    if ideal_mse is not None:
        left.axhline(ideal_mse, color=DATA_COLOR, linestyle="--", linewidth=1.2)
        every = [*np.concatenate(train_mse), ideal_mse]
        low, high = min(every), max(every)
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
