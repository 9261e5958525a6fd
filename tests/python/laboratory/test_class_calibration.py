"""Calibration of probabilities of classes."""

from __future__ import annotations

import numpy as np
import pytest

from tagix import metrics


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
