"""Calibration metrics against integrals, expectations and cases worked by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tagix import metrics

FloatArray = npt.NDArray[np.float64]
GAUSSIAN_METRICS: dict[str, Callable[..., float]] = {
    name: getattr(metrics, name)
    for name in (
        "nll_gaussian",
        "crps_gaussian",
        "interval_score",
        "coverage",
        "quantile_calibration_error",
        "expected_normalized_calibration_error",
        "aurc",
        "ause",
    )
}
NEEDS_SCIPY = {"crps_gaussian", "interval_score", "coverage", "quantile_calibration_error"}


def gaussian_metric(name: str) -> Callable[..., float]:
    if name in NEEDS_SCIPY:
        pytest.importorskip("scipy", reason="needs the lab extra")
    return GAUSSIAN_METRICS[name]


def calibrated(n: int, seed: int = 0) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Targets drawn from predictions of many sizes of variance."""
    rng = np.random.default_rng(seed)
    std = np.exp(rng.uniform(-2.0, 1.0, n))
    mean = 3.0 * rng.standard_normal(n)
    return mean + std * rng.standard_normal(n), mean, std**2


# Proper scoring rules


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


# Frequencies


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


# Ranking


def test_risk_coverage_by_hand() -> None:
    coverage, risk = metrics.risk_coverage_curve([6.0, 1.0, 2.0], [0.9, 0.1, 0.2])
    np.testing.assert_allclose(coverage, [1 / 3, 2 / 3, 1.0])
    np.testing.assert_allclose(risk, [1.0, 1.5, 3.0])
    # Equally uncertain points count with their mean loss, in whatever order they stand.
    for loss in ([1.0, 6.0, 2.0, 7.0], [1.0, 2.0, 6.0, 7.0]):
        _, risk = metrics.risk_coverage_curve(loss, [0, 1, 1, 2])
        np.testing.assert_allclose(risk, [1.0, 2.5, 3.0, 4.0])


def test_risk_of_equals_is_the_mean_over_their_orders() -> None:
    rng = np.random.default_rng(4)
    loss, uncertainty = rng.exponential(size=12), rng.integers(0, 3, 12)
    total = np.zeros(12)
    for _ in range(20_000):
        order = np.lexsort([rng.random(12), uncertainty])
        total += np.cumsum(loss[order]) / np.arange(1, 13)
    _, risk = metrics.risk_coverage_curve(loss, uncertainty)
    np.testing.assert_allclose(risk, total / 20_000, atol=0.05)
    assert np.ptp(risk) > 0.2


def test_sparsification_by_hand() -> None:
    # Errors 1, 3, 2; the variances put 2 first, so what is left is 1, 3, 2 -> 1, 3 -> 1.
    y, mean, var = [1.0, 3.0, -2.0], 0.0, [0.1, 0.2, 0.3]
    curve = metrics.sparsification_curve(y, mean, var, error="mae")
    np.testing.assert_allclose(curve.removed, [0.0, 1 / 3, 2 / 3], atol=1e-15)
    np.testing.assert_allclose(curve.model, [2.0, 2.0, 1.0])
    np.testing.assert_allclose(curve.oracle, [2.0, 1.5, 1.0])
    np.testing.assert_allclose(curve.random, [2.0, 2.0, 2.0])
    assert metrics.aurc(y, mean, var, error="mae") == pytest.approx(5 / 3)
    assert metrics.ause(y, mean, var, error="mae", normalize=False) == pytest.approx(0.5 / 3)
    assert metrics.ause(y, mean, var, error="mae") == pytest.approx(0.25 / 3)

    mse = metrics.sparsification_curve(y, mean, var, error="mse")
    np.testing.assert_allclose(mse.model, [14 / 3, 5.0, 1.0])
    np.testing.assert_allclose(mse.oracle, [14 / 3, 2.5, 1.0])
    assert metrics.aurc(y, mean, var, error="mse") == pytest.approx((14 / 3 + 6.0) / 3.0)

    rmse = metrics.sparsification_curve(y, mean, var)
    np.testing.assert_allclose(rmse.model, np.sqrt([14 / 3, 5.0, 1.0]))
    np.testing.assert_allclose(rmse.oracle, np.sqrt([14 / 3, 2.5, 1.0]))
    expected = (math.sqrt(5.0) - math.sqrt(2.5)) / math.sqrt(14 / 3) / 3.0
    assert metrics.ause(y, mean, var) == pytest.approx(expected)


def test_sparsification_of_perfect_and_worst_and_no_ranking() -> None:
    rng = np.random.default_rng(5)
    y = rng.standard_normal(1000)
    assert metrics.ause(y, 0.0, y**2) == pytest.approx(0.0, abs=1e-12)
    constant = metrics.sparsification_curve(y, 0.0, 1.0)
    np.testing.assert_allclose(constant.model, constant.random)
    assert metrics.aurc(y, 0.0, 1.0) == pytest.approx(math.sqrt((y**2).mean()))
    assert metrics.ause(y, 0.0, 1.0 / y**2) > metrics.ause(y, 0.0, 1.0) > 0.3
    # An exact model has no error to rank.
    assert metrics.ause([1.0, 2.0], [1.0, 2.0], [1.0, 3.0]) == 0.0


def test_sparsification_of_exponential_errors() -> None:
    # Keeping a share c of the smallest of exponential losses: mean 1 + (1 - c) log(1 - c) / c.
    loss = np.random.default_rng(6).exponential(size=200_000)
    curve = metrics.sparsification_curve(loss, 0.0, loss, error="mae")
    for kept in (0.25, 0.5, 0.9):
        at = round((1.0 - kept) * len(loss))
        expected = 1.0 + (1.0 - kept) * math.log(1.0 - kept) / kept
        assert curve.oracle[at] == pytest.approx(expected, rel=0.02)
        assert curve.removed[at] == pytest.approx(1.0 - kept)


@pytest.mark.parametrize("transform", [np.sqrt, np.log1p, lambda v: 100.0 * v])
def test_sparsification_sees_the_order_of_variances_only(transform: Any) -> None:
    y, mean, var = calibrated(500)
    assert metrics.ause(y, mean, transform(var)) == pytest.approx(metrics.ause(y, mean, var))


def test_ood_auroc_is_the_share_of_ordered_pairs() -> None:
    pytest.importorskip("sklearn", reason="needs the lab extra")
    rng = np.random.default_rng(7)
    # Rounded, so that some are equal.
    usual, strange = rng.normal(size=150).round(1), rng.normal(1.0, size=70).round(1)
    above = (strange[:, None] > usual).mean() + 0.5 * (strange[:, None] == usual).mean()
    assert metrics.ood_auroc(usual, strange) == pytest.approx(above)
    assert metrics.ood_auroc(strange, usual) == pytest.approx(1.0 - above)
    assert metrics.ood_auroc([[0.1, 0.2]], [0.3]) == 1.0
    false_positive_rate, true_positive_rate = metrics.ood_roc_curve(usual, strange)
    step = np.diff(false_positive_rate)
    area = step @ (0.5 * (true_positive_rate[1:] + true_positive_rate[:-1]))
    assert area == pytest.approx(above)
    assert (false_positive_rate[0], true_positive_rate[0]) == (0.0, 0.0)
    assert (false_positive_rate[-1], true_positive_rate[-1]) == (1.0, 1.0)


def test_ood_auroc_of_two_gaussians() -> None:
    # P(N(1, 1) > N(0, 1)) = Phi(1 / sqrt(2)).
    pytest.importorskip("sklearn", reason="needs the lab extra")
    rng = np.random.default_rng(8)
    area = metrics.ood_auroc(rng.normal(size=40_000), rng.normal(1.0, size=40_000))
    assert area == pytest.approx(0.5 * math.erfc(-0.5), abs=0.01)


# Classification


def test_reliability_of_binary_probabilities_by_hand() -> None:
    y_true = [0, 1, 1, 0, 1]
    y_prob = [0.0, 0.5, 0.6, 0.7, 1.0]
    curve = metrics.reliability_curve(y_true, y_prob, n_bins=4)
    # (0, 0.25], (0.25, 0.5], (0.5, 0.75], (0.75, 1]: the limit 0.5 belongs to the second.
    np.testing.assert_array_equal(curve.counts, [1, 1, 2, 1])
    np.testing.assert_allclose(curve.edges, [0.0, 0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(curve.confidence, [0.0, 0.5, 0.65, 1.0])
    np.testing.assert_allclose(curve.accuracy, [0.0, 1.0, 0.5, 1.0])
    ece = metrics.expected_calibration_error(y_true, y_prob, n_bins=4)
    assert ece == pytest.approx((0.0 + 0.5 + 2 * 0.15 + 0.0) / 5.0)
    empty = metrics.reliability_curve([1, 1], [0.9, 0.8], n_bins=2)
    np.testing.assert_array_equal(empty.counts, [0, 2])
    np.testing.assert_allclose(empty.confidence, [np.nan, 0.85])
    assert metrics.expected_calibration_error([1, 1], [0.9, 0.8], n_bins=2) == pytest.approx(0.15)


def test_ece_of_classes_by_hand() -> None:
    y_prob = [[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.3, 0.65, 0.05], [0.2, 0.4, 0.4]]
    # Confidences 0.7, 0.8, 0.65, 0.4; right, wrong, right, right (the first of equal ones).
    ece = metrics.expected_calibration_error([0, 1, 1, 1], y_prob, n_bins=2)
    assert ece == pytest.approx(0.25 * 0.6 + 0.75 * abs(2 / 3 - 2.15 / 3))
    one_bin = metrics.expected_calibration_error([0, 1, 1, 1], y_prob, n_bins=1)
    assert one_bin == pytest.approx(abs(0.75 - 2.55 / 4))
    # A missing class is left out.
    assert metrics.expected_calibration_error([0, np.nan, 1, 1], y_prob, n_bins=2) == pytest.approx(
        0.25 / 0.75 * 0.6 + 0.5 / 0.75 * abs(1.0 - 0.675)
    )


def test_reliability_is_that_of_scikit_learn() -> None:
    calibration = pytest.importorskip("sklearn.calibration", reason="needs the lab extra")
    rng = np.random.default_rng(9)
    y_prob = rng.random(500) ** 2
    y_true = rng.random(500) < np.sqrt(y_prob)
    for strategy in ("uniform", "quantile"):
        expected = calibration.calibration_curve(y_true, y_prob, n_bins=7, strategy=strategy)
        curve = metrics.reliability_curve(y_true, y_prob, n_bins=7, strategy=strategy)
        np.testing.assert_allclose(curve.accuracy, expected[0])
        np.testing.assert_allclose(curve.confidence, expected[1])
    assert curve.counts.min() >= 71 and curve.counts.max() <= 72


def test_ece_of_calibrated_and_of_overconfident_classes() -> None:
    rng = np.random.default_rng(10)
    y_prob = rng.dirichlet(np.full(4, 0.7), 40_000)
    y_true = (rng.random((40_000, 1)) > y_prob.cumsum(axis=1)).sum(axis=1)
    # By chance, at most sum over bins of sqrt(count) / n / 2 * sqrt(2 / pi) = 0.008 on average.
    assert metrics.expected_calibration_error(y_true, y_prob) < 0.015
    assert metrics.expected_calibration_error(y_true, y_prob, strategy="quantile") < 0.015
    # Always sure: the error is the share of wrong ones.
    sure = np.eye(4)[y_prob.argmax(axis=1)]
    wrong = (y_prob.argmax(axis=1) != y_true).mean()
    assert metrics.expected_calibration_error(y_true, sure) == pytest.approx(wrong)


def test_ece_of_columns_is_that_of_rows() -> None:
    y_true, y_prob = np.array([0, 1, 1]), np.array([0.2, 0.9, 0.4])
    ece = metrics.expected_calibration_error(y_true, y_prob)
    assert ece == metrics.expected_calibration_error(y_true[:, None], y_prob[:, None])
    assert ece == pytest.approx((0.2 + 0.1 + 0.6) / 3.0)


# What all Gaussian metrics have in common


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


# Refusals

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
