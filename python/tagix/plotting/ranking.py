"""Figures of how well an uncertainty ranks errors and inputs.

:mod:`tagix.metrics` has the metrics behind them, and documents their arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tagix import metrics
from tagix.metrics.ranking import ErrorMeasure
from tagix.plotting._figures import (
    DATA_COLOR,
    SAMPLE_COLOR,
    VAR_COLOR,
    new_figure,
    plain_axes,
    style,
    unit_square,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_POINTS = 1000  # of a drawn curve: more than a figure has pixels across


def plot_sparsification(
    y_true: npt.ArrayLike,
    mean: npt.ArrayLike,
    var: npt.ArrayLike,
    *,
    error: ErrorMeasure = "rmse",
    title: str | None = None,
) -> Figure:
    """Error of the remaining targets as the least certain, the worst or random targets are removed.

    Of more than 1000 targets, 1000 points of each curve are drawn, evenly picked.

    Args:
        y_true: Targets; NaN is missing and is left out.
        mean: Predicted means.
        var: Predictive variances, > 0.
        error: "rmse", "mse" or "mae".
        title: Above the panel.

    Raises:
        ValueError: See metrics.sparsification_curve.
        TypeError: Not an array of numbers.
        ImportError: matplotlib is not installed.
    """
    curve = metrics.sparsification_curve(y_true, mean, var, error=error)
    area = metrics.ause(y_true, mean, var, error=error)
    n_points = len(curve.removed)
    shown = np.linspace(0, n_points - 1, min(n_points, _MOST_POINTS)).astype(np.int64)
    with style():
        figure, axes = new_figure(1, 1, width=5.9, height=4.3)
        for values, color, line, label in (
            (curve.random, DATA_COLOR, "--", "at random"),
            (curve.model, SAMPLE_COLOR, "-", f"by predicted variance, AUSE {area:.3f}"),
            (curve.oracle, VAR_COLOR, "-", "by actual error (oracle)"),
        ):
            axes.plot(
                curve.removed[shown],
                values[shown],
                color=color,
                linestyle=line,
                linewidth=1.8,
                label=label,
            )
        axes.set_xlim(0.0, 1.0)
        axes.set_ylim(bottom=0.0)
        axes.set_xlabel("share of targets removed")
        axes.set_ylabel(f"{error.upper()} of the others")
        plain_axes(axes)
        axes.legend(frameon=False)
        axes.set_title(title or "Sparsification")
        return figure


def plot_risk_coverage(
    loss: npt.ArrayLike, uncertainty: Mapping[str, npt.ArrayLike], *, title: str | None = None
) -> Figure:
    """Mean loss of the remaining points as the least certain are removed, by each uncertainty.

    Of more than 1000 points, 1000 of each curve are drawn, evenly picked. The dashed line is for
    removal at random.

    Args:
        loss: n numbers, such as an error, or 1 for a bad point and 0 for others.
        uncertainty: n numbers for each uncertainty, by its name; larger for less certain points.
        title: Above the panel.

    Raises:
        ValueError: No uncertainty, or see metrics.risk_coverage_curve.
        TypeError: Not an array of numbers.
        ImportError: matplotlib is not installed.
    """
    if not uncertainty:
        raise ValueError("uncertainty: got none, needed at least one array")
    curves = {
        name: metrics.risk_coverage_curve(loss, values) for name, values in uncertainty.items()
    }
    with style():
        figure, axes = new_figure(1, 1, width=5.9, height=4.3)
        for name, (coverage, risk) in curves.items():
            n_points = len(coverage)
            shown = np.linspace(0, n_points - 1, min(n_points, _MOST_POINTS)).astype(np.int64)
            label = f"{name}, AURC {risk.mean():.3g}"
            axes.plot(coverage[shown], risk[shown], linewidth=1.8, label=label)
        axes.axhline(risk[-1], color=DATA_COLOR, linestyle="--", linewidth=1.2, label="at random")
        axes.set_xlim(0.0, 1.0)
        axes.set_ylim(bottom=0.0)
        axes.set_xlabel("share of points kept, the most certain first")
        axes.set_ylabel("mean loss of those kept")
        plain_axes(axes)
        axes.legend(frameon=False)
        axes.set_title(title or "Loss by the share kept")
        return figure


def plot_ood_roc(
    in_distribution: npt.ArrayLike,
    out_of_distribution: npt.ArrayLike,
    *,
    title: str | None = None,
) -> Figure:
    """Share of strange inputs detected, against the share of usual inputs mistaken for strange.

    Args:
        in_distribution: Scores of usual inputs, such as predicted variances.
        out_of_distribution: Scores of strange inputs.
        title: Above the panel.

    Raises:
        ValueError: See metrics.ood_auroc.
        TypeError: Not an array of numbers.
        ImportError: matplotlib or scikit-learn is not installed.
    """
    curve = metrics.ood_roc_curve(in_distribution, out_of_distribution)
    area = metrics.ood_auroc(in_distribution, out_of_distribution)
    with style():
        figure, axes = new_figure(1, 1, width=4.9, height=4.9)
        axes.plot(
            curve.false_positive_rate,
            curve.true_positive_rate,
            color=SAMPLE_COLOR,
            linewidth=1.8,
            label=f"score, AUROC {area:.3f}",
        )
        unit_square(axes)
        axes.set_xlabel("in-distribution inputs above the threshold")
        axes.set_ylabel("out-of-distribution inputs above it")
        axes.legend(frameon=False, loc="lower right")
        axes.set_title(title or "Out-of-distribution detection")
        return figure
