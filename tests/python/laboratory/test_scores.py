"""Proper scoring rules against integrals, expectations and cases worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gaussian_predictions import calibrated, gaussian_metric

from tagix import metrics


def test_nll_is_that_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats", reason="needs the lab extra")
    y, mean, var = calibrated(200)
    expected = -stats.norm.logpdf(y, mean, np.sqrt(var)).mean()
    assert metrics.nll_gaussian(y, mean, var) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("y", [-4.0, 0.3, 0.5, 7.0])
@pytest.mark.parametrize("std", [0.1, 1.0, 3.0])
def test_crps_is_its_integral(y: float, std: float) -> None:
    integrate = pytest.importorskip("scipy.integrate", reason="needs the lab extra")

    def cdf(x: float) -> float:
        return 0.5 * math.erfc(-(x - 0.5) / (std * math.sqrt(2.0)))

    reach = 12.0 * std
    below, above = min(0.5, y) - reach, max(0.5, y) + reach
    middle = [p for p in (0.5 - reach, 0.5, 0.5 + reach) if below < p < above]
    left = integrate.quad(lambda x: cdf(x) ** 2, below, y, points=middle, limit=500)[0]
    right = integrate.quad(lambda x: (1.0 - cdf(x)) ** 2, y, above, points=middle, limit=500)[0]
    assert metrics.crps_gaussian(y, 0.5, std**2) == pytest.approx(left + right, rel=1e-7)


def test_crps_of_a_sure_prediction_is_the_absolute_error() -> None:
    pytest.importorskip("scipy", reason="needs the lab extra")
    score = metrics.crps_gaussian([1.0, -2.0], [0.0, 1.0], 1e-20)
    assert score == pytest.approx(2.0, rel=1e-9)


def test_crps_of_calibrated_predictions() -> None:
    # E CRPS = std / sqrt(pi).
    pytest.importorskip("scipy", reason="needs the lab extra")
    y, mean, var = calibrated(200_000)
    expected = np.sqrt(var / np.pi).mean()
    assert metrics.crps_gaussian(y, mean, var) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_interval_score_of_calibrated_predictions(level: float) -> None:
    # E S = 4 std phi(z) / alpha, where z is the quantile at alpha / 2.
    stats = pytest.importorskip("scipy.stats", reason="needs the lab extra")
    y, mean, var = calibrated(200_000)
    alpha = 1.0 - level
    expected = 4.0 / alpha * stats.norm.pdf(stats.norm.ppf(alpha / 2.0)) * np.sqrt(var).mean()
    assert metrics.interval_score(y, mean, var, level=level) == pytest.approx(expected, rel=0.02)


def test_interval_score_of_one_target_on_each_side() -> None:
    pytest.importorskip("scipy", reason="needs the lab extra")
    # The central 95 % of N(1, 4) end at 1 -+ 2 * 1.959963984540054.
    half = 2.0 * 1.959963984540054
    for y, beyond in ((1.0, 0.0), (1.0 + half, 0.0), (1.0 + half + 0.1, 0.1), (-1.0 - half, 2.0)):
        expected = 2.0 * half + 2.0 / 0.05 * beyond
        assert metrics.interval_score(y, 1.0, 4.0) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["nll_gaussian", "crps_gaussian", "interval_score"])
def test_scores_are_proper(name: str) -> None:
    """The truth scores better than shifted means and than smaller or larger variances."""
    metric = gaussian_metric(name)
    y, mean, var = calibrated(50_000)
    truth = metric(y, mean, var)
    for wrong_mean, factor in ((0.3, 1.0), (-0.3, 1.0), (0.0, 0.5), (0.0, 2.0)):
        assert metric(y, mean + wrong_mean, factor * var) > truth
