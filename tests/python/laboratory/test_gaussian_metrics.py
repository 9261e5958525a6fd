"""What all metrics of Gaussian predictions have in common."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from gaussian_predictions import GAUSSIAN_METRICS, calibrated, gaussian_metric

from tagix import metrics


@pytest.mark.parametrize("name", GAUSSIAN_METRICS)
def test_missing_targets_are_left_out(name: str) -> None:
    metric = gaussian_metric(name)
    y, mean, var = calibrated(60)
    some = np.where(np.arange(60) % 3 == 0, np.nan, y)
    kept = ~np.isnan(some)
    assert metric(some, mean, var) == metric(y[kept], mean[kept], var[kept])
    assert metric(some, mean, var) != metric(y, mean, var)


@pytest.mark.parametrize("name", GAUSSIAN_METRICS)
def test_shapes_broadcast(name: str) -> None:
    metric = gaussian_metric(name)
    y, mean, var = calibrated(60)
    flat = metric(y, mean, var)
    assert metric(y.reshape(20, 3), mean.reshape(20, 3), var.reshape(20, 3)) == flat
    # The prediction of one output, (n, 1), goes with targets (n,), and the other way round.
    assert metric(y, mean[:, None], var[:, None]) == flat
    assert metric(y[:, None], mean, var) == flat
    assert metric(y.tolist(), mean.tolist(), var.tolist()) == flat
    # One variance for all, by output or by row.
    by_output = np.array([0.5, 1.0, 2.0])
    full = np.tile(by_output, (20, 1))
    table, means = y.reshape(20, 3), mean.reshape(20, 3)
    assert metric(table, means, by_output) == metric(table, means, full)
    by_row = var[:20, None]
    assert metric(table, means, by_row) == metric(table, means, np.tile(by_row, (1, 3)))
    assert metric(table, 0.0, 0.7) == metric(table, np.zeros((20, 3)), np.full((20, 3), 0.7))


@pytest.mark.parametrize("name", GAUSSIAN_METRICS)
def test_units(name: str) -> None:
    """Errors grow with the unit of the targets, frequencies and relative errors do not."""
    metric = gaussian_metric(name)
    y, mean, var = calibrated(400)
    one, other = metric(y, mean, var), metric(3.0 + 8.0 * y, 3.0 + 8.0 * mean, 64.0 * var)
    if name == "nll_gaussian":
        assert other == pytest.approx(one + math.log(8.0))
    elif name in ("crps_gaussian", "interval_score", "aurc"):
        assert other == pytest.approx(8.0 * one)
    else:
        assert other == pytest.approx(one, abs=1e-12)


@pytest.mark.parametrize("name", GAUSSIAN_METRICS)
def test_order_of_targets_does_not_matter(name: str) -> None:
    metric = gaussian_metric(name)
    y, mean, var = calibrated(300)
    order = np.random.default_rng(11).permutation(300)
    shuffled = metric(y[order], mean[order], var[order])
    assert shuffled == pytest.approx(metric(y, mean, var), rel=1e-12)


def test_float32_is_computed_in_float64() -> None:
    y = np.array([1.0], dtype=np.float32)
    score = metrics.nll_gaussian(y, np.float32(0.9), np.float32(1e-30))
    error = 1.0 - float(np.float32(0.9))
    var = float(np.float32(1e-30))
    assert score == pytest.approx(0.5 * (math.log(2.0 * math.pi * var) + error**2 / var), rel=1e-12)


GAUSSIAN_REFUSALS: list[tuple[tuple[Any, Any, Any], str]] = [
    (([1.0, 2.0], [1.0, 2.0, 3.0], 1.0), r"mean: got shape \(3,\), needed that of y_true, \(2,\)"),
    (([1.0, 2.0], np.zeros((3, 2)), 1.0), r"mean: got shape \(3, 2\)"),
    ((np.zeros((3, 2)), 0.0, np.ones(3)), r"var: got shape \(3,\), needed that of y_true, \(3, 2"),
    ((1.0, [1.0, 2.0], 1.0), r"mean: got shape \(2,\)"),
    (([1.0, np.inf], 0.0, 1.0), "y_true: got infinity"),
    (([1.0, 2.0], [np.nan, 0.0], 1.0), "mean: got NaN or infinity"),
    (([1.0, 2.0], [-np.inf, 0.0], 1.0), "mean: got NaN or infinity"),
    (([1.0, 2.0], 0.0, [1.0, 0.0]), "var: got NaN, infinity or a number that is not positive"),
    (([1.0, 2.0], 0.0, [1.0, -1.0]), "var: got NaN, infinity"),
    (([1.0, 2.0], 0.0, [np.nan, 1.0]), "var: got NaN, infinity"),
    (([1.0, 2.0], 0.0, [np.inf, 1.0]), "var: got NaN, infinity"),
    (([np.nan, np.nan], 0.0, 1.0), r"y_true: got no target, shape \(2,\)"),
    (([], [], []), r"y_true: got no target, shape \(0,\)"),
]


@pytest.mark.parametrize("name", GAUSSIAN_METRICS)
@pytest.mark.parametrize(("arguments", "message"), GAUSSIAN_REFUSALS)
def test_gaussian_metrics_refuse(name: str, arguments: tuple[Any, Any, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        GAUSSIAN_METRICS[name](*arguments)
