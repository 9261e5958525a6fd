"""Figures of frequencies against probabilities, and of errors against variances.

:mod:`tagix.metrics` has the metrics behind them, and documents their arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from tagix import metrics
from tagix._arrays import as_array
from tagix._optional import import_optional
from tagix.metrics._inputs import as_predictions
from tagix.plotting._figures import (
    BAND_COLOR,
    DATA_COLOR,
    LOG_SCALE_RATIO,
    SAMPLE_COLOR,
    VAR_COLOR,
    log_ticks,
    new_figure,
    plain_axes,
    style,
    unit_square,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BAND_LABEL = "95 % of calibrated models"


def plot_quantile_calibration(
    y_true: npt.ArrayLike,
    mean: npt.ArrayLike,
    var: npt.ArrayLike,
    *,
    levels: npt.ArrayLike | None = None,
    title: str | None = None,
) -> Figure:
    """Share of targets at or below each predicted quantile, against the quantile's level.

    A calibrated model lies on the diagonal. Independent targets drawn from the prediction stay
    within the band at 95 % of the levels, on average.

    Args:
        y_true: Targets; NaN is missing and is left out.
        mean: Predicted means.
        var: Total predictive variances, > 0.
        levels: Of the quantiles, by default 0.01, 0.02, ..., 0.99.
        title: Above the panel.

    Raises:
        ValueError: See metrics.quantile_calibration_curve.
        TypeError: Not an array of numbers.
        ImportError: matplotlib or scipy is not installed.
    """
    curve = metrics.quantile_calibration_curve(y_true, mean, var, levels=levels)
    error = metrics.quantile_calibration_error(y_true, mean, var, levels=levels)
    return _frequency_figure(
        curve,
        _n_observed(y_true),
        label=f"model, calibration error {error:.3f}",
        axis_labels=("level of the predicted quantile", "share of targets at or below it"),
        title=title or "Quantile calibration",
    )


def plot_coverage(
    y_true: npt.ArrayLike,
    mean: npt.ArrayLike,
    var: npt.ArrayLike,
    *,
    levels: npt.ArrayLike | None = None,
    title: str | None = None,
) -> Figure:
    """Share of targets within the central intervals, against the level of the intervals.

    Below the diagonal variances are too small, above it too large; the band is as in
    plot_quantile_calibration.

    Args:
        y_true: Targets; NaN is missing and is left out.
        mean: Predicted means.
        var: Total predictive variances, > 0.
        levels: Of the intervals, by default 0.01, 0.02, ..., 0.99.
        title: Above the panel.

    Raises:
        ValueError: See metrics.coverage_curve.
        TypeError: Not an array of numbers.
        ImportError: matplotlib or scipy is not installed.
    """
    return _frequency_figure(
        metrics.coverage_curve(y_true, mean, var, levels=levels),
        _n_observed(y_true),
        label="model",
        axis_labels=("level of the central interval", "share of targets within it"),
        title=title or "Coverage",
    )


def plot_pit_histogram(
    y_true: npt.ArrayLike,
    mean: npt.ArrayLike,
    var: npt.ArrayLike,
    *,
    n_bins: int = 10,
    title: str | None = None,
) -> Figure:
    """Counts of targets by probability integral transform, see metrics.pit_histogram.

    For a calibrated model with independent targets, 95 % of the bars end within the band, on
    average.

    Args:
        y_true: Targets; NaN is missing and is left out.
        mean: Predicted means.
        var: Total predictive variances, > 0.
        n_bins: Number of bars.
        title: Above the panel.

    Raises:
        ValueError: See metrics.pit_histogram.
        TypeError: Not an array of numbers, or not an integer.
        ImportError: matplotlib or scipy is not installed.
    """
    counts, edges = metrics.pit_histogram(y_true, mean, var, n_bins=n_bins)
    low, high = _consistency_band(int(counts.sum()), np.array([1.0 / len(counts)]))
    with style():
        figure, axes = new_figure(1, 1, width=5.9, height=3.9)
        axes.bar(
            edges[:-1], counts, np.diff(edges), align="edge", color=SAMPLE_COLOR, edgecolor="white"
        )
        axes.axhspan(low[0], high[0], color=DATA_COLOR, alpha=0.35, linewidth=0, label=_BAND_LABEL)
        axes.axhline(counts.sum() / len(counts), color=DATA_COLOR, linestyle="--", linewidth=1.2)
        axes.set_xlim(0.0, 1.0)
        axes.set_xlabel("predicted probability of a target at or below this one")
        axes.set_ylabel("targets")
        plain_axes(axes)
        axes.set_ylim(0.0, 1.2 * max(counts.max(), high[0]))  # the legend stands above the bars
        axes.legend(frameon=False, loc="upper center")
        axes.set_title(title or "Probability integral transform")
        return figure


def plot_variance_calibration(
    y_true: npt.ArrayLike,
    mean: npt.ArrayLike,
    var: npt.ArrayLike,
    *,
    n_bins: int = 10,
    title: str | None = None,
) -> Figure:
    """Actual against predicted error, in bins of rising variance.

    On the diagonal, variances of that size are right; above it they are too small. The axes are
    logarithmic where they span more than a factor of 10.

    Args:
        y_true: Targets; NaN is missing and is left out.
        mean: Predicted means.
        var: Total predictive variances, > 0.
        n_bins: Number of bins, of equally many targets.
        title: Above the panel.

    Raises:
        ValueError: See metrics.variance_calibration_curve.
        TypeError: Not an array of numbers, or not an integer.
        ImportError: matplotlib is not installed.
    """
    predicted, actual = metrics.variance_calibration_curve(y_true, mean, var, n_bins=n_bins)
    error = metrics.expected_normalized_calibration_error(y_true, mean, var, n_bins=n_bins)
    low = min(predicted.min(), actual.min())
    high = max(predicted.max(), actual.max())
    logarithmic = low > 0 and high > LOG_SCALE_RATIO * low
    limits = (low / 1.2, high * 1.2) if logarithmic else (0.0, high * 1.1)
    with style():
        figure, axes = new_figure(1, 1, width=4.9, height=4.9)
        if logarithmic:
            axes.set_xscale("log")
            axes.set_yscale("log")
            log_ticks(axes.xaxis)
            log_ticks(axes.yaxis)
        axes.plot(limits, limits, color=DATA_COLOR, linestyle="--", linewidth=1.2)
        axes.plot(
            predicted,
            actual,
            color=SAMPLE_COLOR,
            marker="o",
            markersize=4,
            linewidth=1.8,
            label=f"model, ENCE {error:.3f}",
        )
        axes.set_xlim(*limits)
        axes.set_ylim(*limits)
        axes.set_aspect("equal")
        axes.set_xlabel("predicted error (root of the mean variance)")
        axes.set_ylabel("actual error (root mean squared)")
        plain_axes(axes)
        axes.legend(frameon=False, loc="upper left")
        axes.set_title(title or "Variance calibration")
        return figure


def plot_variance_by(
    group: npt.ArrayLike,
    y_true: npt.ArrayLike,
    mean: npt.ArrayLike,
    var: npt.ArrayLike,
    *,
    group_label: str = "group",
    title: str | None = None,
) -> Figure:
    """Mean predicted variance and mean squared error by group, such as a timestep.

    Where the variances are right the two curves lie on each other.

    Args:
        group: (n,) numbers; rows of one number are one group.
        y_true: (n,) or (n, n_outputs) targets.
        mean: Predicted means, of the shape of y_true.
        var: Total predictive variances, > 0, likewise.
        group_label: Of the horizontal axis.
        title: Above the panel.

    Raises:
        ValueError: Shapes that do not match, numbers that are not finite, a variance that is not
            positive.
        TypeError: Not an array of numbers.
        ImportError: matplotlib is not installed.
    """
    groups = np.asarray(as_array("group", group), np.float64)
    shape = np.shape(y_true)
    if groups.ndim != 1 or shape[:1] != groups.shape or len(shape) > 2:
        raise ValueError(
            f"group, y_true: got shapes {groups.shape} and {shape}, "
            "needed (n,) and (n,) or (n, n_outputs)"
        )
    if not np.isfinite(groups).all():
        raise ValueError("group: got NaN or infinity, needed finite numbers")
    if np.isnan(np.asarray(as_array("y_true", y_true), np.float64)).any():
        raise ValueError("y_true: got NaN, needed finite numbers")
    y, mu, variance = (each.reshape(len(groups), -1) for each in as_predictions(y_true, mean, var))
    values, rank, count = np.unique(groups, return_inverse=True, return_counts=True)
    predicted, actual = (
        np.bincount(rank, weights=row) / count
        for row in (variance.mean(axis=1), ((y - mu) ** 2).mean(axis=1))
    )
    with style():
        figure, axes = new_figure(1, 1, width=5.9, height=4.3)
        for curve, color, line, label in (
            (actual, DATA_COLOR, "-", "actual: mean squared error"),
            (predicted, SAMPLE_COLOR, "--", "predicted variance"),
        ):
            axes.plot(values, curve, color=color, linestyle=line, linewidth=1.8, label=label)
        axes.set_ylim(bottom=0.0)
        axes.set_xlabel(group_label)
        axes.set_ylabel("units of the targets, squared")
        plain_axes(axes)
        axes.legend(frameon=False)
        axes.set_title(title or f"Variance by {group_label}")
        return figure


def plot_reliability_diagram(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    n_bins: int = 15,
    strategy: Literal["uniform", "quantile"] = "uniform",
    title: str | None = None,
) -> Figure:
    """Accuracy by confidence, and below it how many predictions have that confidence.

    Each bin has a dot at its mean confidence; on the diagonal, accuracy equals confidence.

    Args:
        y_true: (n,) classes; NaN is missing and is left out.
        y_prob: (n, n_classes) probabilities, or (n,) of y_true = 1.
        n_bins: Number of bins of confidence.
        strategy: Of the bins, "uniform" or "quantile".
        title: Above the panels.

    Raises:
        ValueError: See metrics.reliability_curve.
        TypeError: Not an array of numbers, or not an integer.
        ImportError: matplotlib is not installed.
    """
    curve = metrics.reliability_curve(y_true, y_prob, n_bins=n_bins, strategy=strategy)
    error = metrics.expected_calibration_error(y_true, y_prob, n_bins=n_bins, strategy=strategy)
    left, width = curve.edges[:-1], np.diff(curve.edges)
    with style():
        figure, (top, bottom) = new_figure(
            2, 1, width=4.9, height=6.0, sharex=True, height_ratios=[3.0, 1.0]
        )
        accuracy = np.nan_to_num(curve.accuracy)
        top.bar(left, accuracy, width, align="edge", color=SAMPLE_COLOR, edgecolor="white")
        top.plot(curve.confidence, curve.accuracy, "o", color=VAR_COLOR, markersize=4)
        unit_square(top)
        top.set_aspect("auto")
        top.set_ylabel("accuracy")
        top.set_title(title or f"Reliability, expected calibration error {error:.3f}")
        bottom.bar(left, curve.counts, width, align="edge", color=DATA_COLOR, edgecolor="white")
        bottom.set_xlabel("confidence")
        bottom.set_ylabel("predictions")
        plain_axes(bottom)
        return figure


def _frequency_figure(
    curve: metrics.FrequencyCurve,
    n_observed: int,
    *,
    label: str,
    axis_labels: tuple[str, str],
    title: str,
) -> Figure:
    order = np.argsort(curve.nominal)
    nominal, observed = curve.nominal[order], curve.observed[order]
    # At 0 and 1 the frequency is certain, whatever the levels are.
    band_nominal = np.concatenate([[0.0], nominal, [1.0]])
    low, high = _consistency_band(n_observed, band_nominal)
    with style():
        figure, axes = new_figure(1, 1, width=4.9, height=4.9)
        axes.fill_between(
            band_nominal,
            low / n_observed,
            high / n_observed,
            color=BAND_COLOR,
            alpha=0.6,
            linewidth=0.0,
            label=_BAND_LABEL,
        )
        marker = "o" if len(nominal) <= 30 else None
        axes.plot(
            nominal,
            observed,
            color=SAMPLE_COLOR,
            marker=marker,
            markersize=4,
            linewidth=1.8,
            label=label,
        )
        unit_square(axes)
        axes.set_xlabel(axis_labels[0])
        axes.set_ylabel(axis_labels[1])
        axes.legend(frameon=False, loc="upper left")
        axes.set_title(title)
        return figure


def _consistency_band(
    n_observed: int, probability: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Counts that 95 % of binomials with n_observed draws of that probability lie between."""
    binom = import_optional("scipy.stats").binom
    low, high = (
        np.asarray(binom.ppf(share, n_observed, probability), dtype=np.float64)
        for share in (0.025, 0.975)
    )
    return low, high


def _n_observed(y_true: npt.ArrayLike) -> int:
    targets = np.asarray(as_array("y_true", y_true), dtype=np.float64)
    return int(np.count_nonzero(~np.isnan(targets)))
