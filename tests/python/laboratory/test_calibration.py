"""Frequencies that predictions promise, against expectations and cases worked by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from gaussian_predictions import calibrated

from tagix import metrics


@pytest.mark.parametrize("level", [0.5, 0.6826894921370859, 0.9, 0.95])
def test_coverage_of_calibrated_predictions(level: float) -> None:
    stats = pytest.importorskip("scipy.stats", reason="needs the lab extra")
    y, mean, var = calibrated(100_000)
    four_sigma = 4.0 * math.sqrt(level * (1.0 - level) / len(y))
    assert metrics.coverage(y, mean, var, level=level) == pytest.approx(level, abs=four_sigma)
    # With a quarter of the variance the interval is half as wide.
    half = 2.0 * stats.norm.cdf(stats.norm.ppf(0.5 + 0.5 * level) / 2.0) - 1.0
    assert metrics.coverage(y, mean, var / 4.0, level=level) == pytest.approx(half, abs=0.007)


def test_coverage_counts() -> None:
    pytest.importorskip("scipy", reason="needs the lab extra")
    # 95 % of N(2, 9) is within 2 -+ 5.88: 7.9 and -3.9 are beyond.
    y = [2.0, 7.8, 7.9, -3.8, -3.9]
    assert metrics.coverage(y, 2.0, 9.0) == pytest.approx(0.6)
    # 50 % is within 2 -+ 2.02.
    assert metrics.coverage(y, 2.0, 9.0, level=0.5) == pytest.approx(0.2)
    nominal, observed = metrics.coverage_curve(y, 2.0, 9.0, levels=[0.95, 0.5])
    np.testing.assert_array_equal(nominal, [0.95, 0.5])
    np.testing.assert_allclose(observed, [0.6, 0.2])


def test_pit_is_the_distribution_function() -> None:
    stats = pytest.importorskip("scipy.stats", reason="needs the lab extra")
    y, mean, var = calibrated(100)
    y[7] = np.nan
    expected = np.delete(stats.norm.cdf(y, mean, np.sqrt(var)), 7)
    np.testing.assert_allclose(metrics.pit(y, mean, var), expected, rtol=1e-12)


def test_pit_histogram_counts() -> None:
    stats = pytest.importorskip("scipy.stats", reason="needs the lab extra")
    y = 5.0 + 2.0 * stats.norm.ppf([0.1, 0.2, 0.3, 0.6, 0.9, 0.95, 0.99])
    counts, edges = metrics.pit_histogram(y, 5.0, 4.0, n_bins=4)
    np.testing.assert_array_equal(counts, [2, 1, 1, 3])
    np.testing.assert_allclose(edges, [0.0, 0.25, 0.5, 0.75, 1.0])
    counts, _ = metrics.pit_histogram([-1e9, 1e9], 5.0, 4.0)  # at 0 and at 1
    np.testing.assert_array_equal(counts, [1, 0, 0, 0, 0, 0, 0, 0, 0, 1])


def test_pit_histogram_of_calibrated_predictions_is_flat() -> None:
    stats = pytest.importorskip("scipy.stats", reason="needs the lab extra")
    y, mean, var = calibrated(20_000)
    assert stats.chisquare(metrics.pit_histogram(y, mean, var, n_bins=20).counts).pvalue > 1e-3
    # Too small variances make a valley, too large ones a hill.
    small = metrics.pit_histogram(y, mean, var / 4.0).counts
    large = metrics.pit_histogram(y, mean, 4.0 * var).counts
    assert min(small[0], small[-1]) > 2 * small[5] and large[5] > 2 * max(large[0], large[-1])


def test_quantile_calibration_counts() -> None:
    stats = pytest.importorskip("scipy.stats", reason="needs the lab extra")
    y = 5.0 + 2.0 * stats.norm.ppf([0.05, 0.15, 0.16, 0.7])
    curve = metrics.quantile_calibration_curve(y, 5.0, 4.0, levels=[0.1, 0.5, 0.9])
    np.testing.assert_allclose(curve.observed, [0.25, 0.75, 1.0])
    # A target at the quantile is below it.
    assert metrics.quantile_calibration_curve([5.0], 5.0, 4.0, levels=[0.5]).observed == [1.0]
    error = metrics.quantile_calibration_error(y, 5.0, 4.0, levels=[0.1, 0.5, 0.9])
    assert error == pytest.approx((0.15 + 0.25 + 0.1) / 3.0)


def test_quantile_calibration_error_of_known_predictions() -> None:
    stats = pytest.importorskip("scipy.stats", reason="needs the lab extra")
    levels = np.arange(0.01, 0.995, 0.01)
    y, mean, var = calibrated(100_000)
    # Drawn from the prediction: the mean of |error| is about 0.31 / sqrt(n), so 3 times that.
    assert metrics.quantile_calibration_error(y, mean, var) < 0.94 / math.sqrt(len(y))
    # Of the predicted quantile p, Phi(2 Phi^-1(p)) of the targets are below, if std is twice that.
    expected = np.abs(stats.norm.cdf(2.0 * stats.norm.ppf(levels)) - levels).mean()
    error = metrics.quantile_calibration_error(y, mean, 4.0 * var)
    assert error == pytest.approx(expected, abs=0.005)
    # The worst there is: all targets beyond every quantile.
    assert metrics.quantile_calibration_error([1.0], 100.0, 1.0) == pytest.approx(0.5)


def test_quantile_calibration_error_in_small_samples_is_as_documented() -> None:
    pytest.importorskip("scipy", reason="needs the lab extra")
    rng = np.random.default_rng(3)
    errors = [
        metrics.quantile_calibration_error(rng.standard_normal(400), 0.0, 1.0) for _ in range(400)
    ]
    # E|binomial frequency - p| = sqrt(2 p (1 - p) / (pi n)), whose mean over p is sqrt(pi / 32 / n)
    assert np.mean(errors) == pytest.approx(math.sqrt(math.pi / 32.0 / 400), rel=0.1)


def test_variance_calibration_by_hand() -> None:
    mean = np.array([0.0, 10.0, 20.0, 30.0])
    y = mean + np.array([3.0, 0.0, -4.0, 0.6])
    var = np.array([9.0, 0.25, 16.0, 0.25])
    predicted, actual = metrics.variance_calibration_curve(y, mean, var, n_bins=2)
    np.testing.assert_allclose(predicted, [0.5, math.sqrt(12.5)])
    np.testing.assert_allclose(actual, [math.sqrt(0.18), math.sqrt(12.5)])
    ence = metrics.expected_normalized_calibration_error(y, mean, var, n_bins=2)
    assert ence == pytest.approx((0.5 - math.sqrt(0.18)) / 0.5 / 2.0)


def test_ence_of_known_predictions() -> None:
    y, mean, var = calibrated(100_000)
    ence = metrics.expected_normalized_calibration_error
    # About sqrt(n_bins / (pi n)) = 0.0056 for calibrated ones; a factor of 4 on var halves errors.
    assert ence(y, mean, var) < 3 * 0.0056
    assert ence(y, mean, 4.0 * var) == pytest.approx(0.5, abs=0.01)
    assert ence(y, mean, var / 4.0) == pytest.approx(1.0, abs=0.02)
    # Variances that are right on average only: the coverage curve is blind to the exchange.
    shuffled = np.random.default_rng(1).permutation(var)
    assert ence(y, mean, shuffled) > 0.5


TWO = ([0.0, 1.0], [0.0, 0.5], [1.0, 2.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.coverage(*TWO, level=1.0), r"level: got 1\.0, needed a number in \(0, 1"),
        (lambda: metrics.coverage(*TWO, level=95), r"level: got 95"),
        (lambda: metrics.interval_score(*TWO, level=0.0), r"level: got 0\.0"),
        (lambda: metrics.interval_score(*TWO, level=math.nan), "level: got nan"),
        (lambda: metrics.coverage_curve(*TWO, levels=[0.5, 1.0]), r"levels: got shape \(2,\)"),
        (lambda: metrics.coverage_curve(*TWO, levels=[]), r"levels: got shape \(0,\)"),
        (lambda: metrics.quantile_calibration_error(*TWO, levels=0.5), r"levels: got shape \(\)"),
        (lambda: metrics.pit_histogram(*TWO, n_bins=0), "n_bins: got 0, needed at least 1"),
        (
            lambda: metrics.expected_normalized_calibration_error(*TWO, n_bins=3),
            "n_bins: got 3, needed at most 2",
        ),
        (lambda: metrics.aurc(*TWO, error="mre"), "error: got 'mre', needed 'rmse', 'mse' or"),  # type: ignore[arg-type]
        (lambda: metrics.risk_coverage_curve([1.0], [1.0, 2.0]), "loss, uncertainty: got 1 and 2"),
        (lambda: metrics.risk_coverage_curve([np.nan], [1.0]), "loss: got NaN"),
        (lambda: metrics.risk_coverage_curve([1.0], [np.inf]), "uncertainty: got NaN or inf"),
        (lambda: metrics.ood_auroc([], [1.0]), "in_distribution: got no number"),
        (lambda: metrics.ood_auroc([1.0], []), "out_of_distribution: got no number"),
        (lambda: metrics.ood_auroc([1.0], [np.nan]), "out_of_distribution: got NaN"),
        (
            lambda: metrics.expected_calibration_error([0, 1], [[0.5, 0.5]]),
            r"y_true, y_prob: got shapes \(2,\) and \(1, 2\)",
        ),
        (lambda: metrics.expected_calibration_error([0], [1.5]), "y_prob: got NaN or a number out"),
        (lambda: metrics.expected_calibration_error([0], [np.nan]), "y_prob: got NaN"),
        (lambda: metrics.expected_calibration_error([0], [[0.5, 0.4]]), "y_prob: got rows that"),
        (lambda: metrics.expected_calibration_error([2], [0.4]), r"y_true: .* in \[0, 2\)"),
        (lambda: metrics.expected_calibration_error([3], [[0.3, 0.3, 0.4]]), r"y_true: .*\[0, 3\)"),
        (lambda: metrics.expected_calibration_error([0.5], [0.4]), "y_true: got other classes"),
        (lambda: metrics.expected_calibration_error([np.nan], [0.4]), "y_true: got no class"),
        (lambda: metrics.expected_calibration_error([0], [0.4], n_bins=0), "n_bins: got 0"),
        (
            lambda: metrics.expected_calibration_error([0], [0.4], strategy="equal"),  # type: ignore[arg-type]
            "strategy: got 'equal'",
        ),
    ],
)
def test_calibration_refuses(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.nll_gaussian("all", 0.0, 1.0), "y_true: got a str, needed"),
        (lambda: metrics.nll_gaussian([1.0], None, 1.0), "mean: got a NoneType, needed"),  # type: ignore[arg-type]
        (lambda: metrics.nll_gaussian([1.0], 0.0, [1j]), "var: got a list, needed"),
        (lambda: metrics.coverage(*TWO, level="0.9"), "level: got '0.9', needed a number"),  # type: ignore[arg-type]
        (lambda: metrics.pit_histogram(*TWO, n_bins=2.5), r"n_bins: got 2\.5, needed an integer"),  # type: ignore[arg-type]
        (lambda: metrics.ood_auroc([1.0], "b"), "out_of_distribution: got a str"),
        (lambda: metrics.expected_calibration_error([0], ["a"]), "y_prob: got a list"),
    ],
)
def test_calibration_refuses_types(call: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError, match=f"^{message}"):
        call()
