"""Rankings by uncertainty, against expectations and cases worked by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from gaussian_predictions import calibrated

from tagix import metrics


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
