"""Distances between sets of points, and neighbours of samples, against known answers."""

from __future__ import annotations

import itertools
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tagix import metrics

pytest.importorskip("ot", reason="needs the lab extra")
pytest.importorskip("scipy", reason="needs the lab extra")

SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
LINE = np.arange(100.0)[:, np.newaxis]
LABELS = np.array([0, 0, 1, 1])


def normal(n: int, mean: float = 0.0, std: float = 1.0, n_features: int = 2, seed: int = 0) -> Any:
    return mean + std * np.random.default_rng(seed).standard_normal((n, n_features))


@pytest.mark.parametrize("n_features", [1, 2, 3])
@pytest.mark.parametrize("p", [1, 2])
def test_wasserstein_of_a_shift_is_its_length(p: int, n_features: int) -> None:
    points = normal(300, n_features=n_features)
    shift = np.array([3.0, -4.0, 12.0])[:n_features]
    shuffled = np.random.default_rng(1).permutation(points + shift)
    distance = metrics.wasserstein(points, shuffled, p)
    assert distance == pytest.approx(np.linalg.norm(shift), rel=1e-9)
    assert metrics.wasserstein(points, points[::-1], p) < 1e-9


def test_wasserstein_is_the_best_of_all_pairings() -> None:
    a, b = normal(6, seed=1), normal(6, 0.5, 2.0, seed=2)
    square = ((a[:, None] - b[None]) ** 2).sum(axis=2)
    pairings = [list(order) for order in itertools.permutations(range(6))]
    w_1 = min(np.sqrt(square[range(6), order]).mean() for order in pairings)
    w_2 = min(square[range(6), order].mean() for order in pairings) ** 0.5
    assert metrics.wasserstein(a, b) == pytest.approx(w_1, rel=1e-9)
    assert metrics.wasserstein(a, b, p=2) == pytest.approx(w_2, rel=1e-9)


@pytest.mark.parametrize("p", [1, 2])
def test_wasserstein_of_unequal_sizes_on_a_line(p: int) -> None:
    # W_p^p is the integral of |quantile_a - quantile_b|^p, and both are steps of width 1/12.
    a, b = normal(4, n_features=1, seed=3), normal(6, 1.0, n_features=1, seed=4)
    steps_a = np.repeat(np.sort(a[:, 0]), 3)
    steps_b = np.repeat(np.sort(b[:, 0]), 2)
    expected = np.mean(np.abs(steps_a - steps_b) ** p) ** (1.0 / p)
    assert metrics.wasserstein(a, b, p) == pytest.approx(expected, rel=1e-9)


def test_wasserstein_of_two_gaussians() -> None:
    # W2^2 = (m1 - m2)^2 + (s1 - s2)^2 in one dimension.
    a, b = normal(2000, n_features=1, seed=5), normal(2000, 3.0, 2.0, n_features=1, seed=6)
    # Standard error of the means' difference: sqrt((1 + 4) / 2000) = 0.05.
    assert metrics.wasserstein(a, b, 2) == pytest.approx(np.sqrt(10.0), abs=0.15)


def test_emd_of_a_shift_is_250_lengths() -> None:
    # As many rows as are drawn: every draw without replacement is the whole set.
    points = normal(250)
    draws = metrics.emd_draws(points, points + np.array([0.3, -0.4]))
    assert draws.shape == (5,) and draws.dtype == np.float64
    np.testing.assert_allclose(draws, 250 * 0.5, rtol=1e-9)
    assert metrics.emd(points, points + np.array([0.3, -0.4])) == pytest.approx(125.0, rel=1e-9)
    assert metrics.emd(LINE, LINE + 7.0, n_points=100) == pytest.approx(700.0, rel=1e-9)


def test_emd_of_draws_of_two_places() -> None:
    # All of a lies at 0, and of b a fifth at 2: the cost is twice the number of those drawn,
    # hypergeometric with mean 50 and variance 50 (4/5) (750/999).
    a, b = np.zeros((1000, 1)), np.repeat([[0.0], [2.0]], [800, 200], axis=0)
    draws = metrics.emd_draws(a, b, n_draws=40)
    assert draws.shape == (40,)
    std = 2.0 * np.sqrt(40.0 * 750 / 999)
    assert draws.mean() == pytest.approx(100.0, abs=4 * std / np.sqrt(40))
    assert draws.std(ddof=1) == pytest.approx(std, rel=0.5)
    np.testing.assert_allclose(draws % 2.0, 0.0, atol=1e-9)
    assert metrics.emd(a, b, n_draws=40) == pytest.approx(draws.mean())


def test_emd_draws_are_fixed_by_the_seed() -> None:
    a, b = normal(400, seed=1), normal(500, seed=2)
    np.testing.assert_array_equal(metrics.emd_draws(a, b), metrics.emd_draws(a, b, seed=0))
    assert not np.array_equal(metrics.emd_draws(a, b), metrics.emd_draws(a, b, seed=1))
    np.testing.assert_array_equal(metrics.emd_draws(a, b, n_draws=2), metrics.emd_draws(a, b)[:2])


@pytest.mark.parametrize(("n_features", "tau"), [(1, 0.1), (2, 0.1), (3, 0.4)])
def test_nll_kernel_by_hand(n_features: int, tau: float) -> None:
    samples, real = normal(7, n_features=n_features), normal(5, 0.5, n_features=n_features, seed=1)
    square = ((samples[:, None] - real[None]) ** 2).sum(axis=2)
    density = (2.0 * np.pi * tau) ** (-n_features / 2) * np.exp(-square / (4.0 * tau))
    expected = -np.log(density.mean(axis=1).mean())
    assert metrics.nll_kernel(samples, real, tau=tau) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("mean", "std", "n_features"), [(0.0, 1.0, 2), (0.7, 0.5, 2), (0.4, 1, 3)])
def test_nll_kernel_of_two_gaussians(mean: float, std: float, n_features: int) -> None:
    # With s - x ~ N(mean, v) on each axis, v = std^2 + 1, the kernel has the expectation
    # (1 + v/(2 tau))^(-1/2) exp(-mean^2 / (4 tau + 2 v)) on each.
    tau, v = 0.1, std**2 + 1.0
    samples = normal(6000, mean, std, n_features, seed=1)
    real = normal(6000, n_features=n_features, seed=2)
    log_kernel = -0.5 * np.log1p(v / (2.0 * tau)) - mean**2 / (4.0 * tau + 2.0 * v)
    expected = n_features * (0.5 * np.log(2.0 * np.pi * tau) - log_kernel)
    assert metrics.nll_kernel(samples, real) == pytest.approx(expected, abs=0.03)


def test_nll_kernel_far_away() -> None:
    # Kernels that underflow: exp(-1e6 / 0.4). The nearest pair of the two samples decides.
    samples, real = np.array([[1000.0, 0.0], [2000.0, 0.0]]), np.zeros((3, 2))
    expected = 1e6 / 0.4 + np.log(2.0 * np.pi * 0.1) + np.log(2.0)
    assert metrics.nll_kernel(samples, real) == pytest.approx(expected, rel=1e-12)
    # And an origin far from both sets changes nothing.
    a, b = normal(50), normal(60, seed=1)
    near = metrics.nll_kernel(a, b)
    assert metrics.nll_kernel(a + 1e6, b + 1e6) == pytest.approx(near, rel=1e-8)


def test_pairs_of_points_are_taken_in_blocks() -> None:
    # 10 000 x 8000 pairs are 640 MB in float64.
    samples, real = normal(10_000, seed=1), normal(8000, seed=2)
    tracemalloc.start()
    try:
        score = metrics.nll_kernel(samples, real)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64e6
    # The mean over samples of means over real points, by parts of both.
    parts = [
        np.exp(-metrics.nll_kernel(some, others))
        for some in np.split(samples, 50)
        for others in np.split(real, 8)
    ]
    assert score == pytest.approx(-np.log(np.mean(parts)), rel=1e-10)


def test_mmd_by_hand() -> None:
    a, b, h = np.array([[0.0], [1.0]]), np.array([[0.0], [2.0], [3.0]]), 1.5

    def k(distance: float) -> float:
        return float(np.exp(-(distance**2) / (2.0 * h**2)))

    between = (k(0) + k(2) + k(3) + k(1) + k(1) + k(2)) / 6.0
    expected = k(1) + (k(2) + k(3) + k(1)) / 3.0 - 2.0 * between
    assert metrics.mmd(a, b, h) == pytest.approx(expected, rel=1e-12)
    assert metrics.mmd(b, a, h) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("mean", "std", "n_features"), [(0.0, 1.0, 2), (0.5, 1.0, 2), (0.3, 2, 3)])
def test_mmd_of_two_gaussians(mean: float, std: float, n_features: int) -> None:
    # E k(x, y) = (h^2/(h^2 + v))^(d/2) exp(-|m|^2/(2 (h^2 + v))) for x - y ~ N(m, v I).
    h = 1.3

    def expected_kernel(m: float, v: float) -> float:
        total = h**2 + v
        return float((h**2 / total) ** (n_features / 2) * np.exp(-n_features * m**2 / (2 * total)))

    expected = (
        expected_kernel(0.0, 2.0)
        + expected_kernel(0.0, 2.0 * std**2)
        - 2.0 * expected_kernel(mean, 1.0 + std**2)
    )
    estimates = [
        metrics.mmd(
            normal(300, n_features=n_features, seed=2 * i),
            normal(200, mean, std, n_features, seed=2 * i + 1),
            h,
        )
        for i in range(60)
    ]
    error = np.std(estimates, ddof=1) / np.sqrt(len(estimates))
    assert np.mean(estimates) == pytest.approx(expected, abs=4 * error)
    assert error < 0.004


def test_mmd_takes_the_median_distance() -> None:
    a, b = np.array([[0.0], [1.0]]), np.array([[3.0], [7.0]])
    # Distances 1, 2, 3, 4, 6, 7: their median, not the root of that of their squares.
    assert metrics.mmd(a, b) == pytest.approx(metrics.mmd(a, b, 3.5), rel=1e-12)
    # Of many points some do: the median distance of standard normal ones in the plane is
    # 2 sqrt(log 2), and h does not jump with the rows picked.
    many = normal(5000, seed=1)
    h = 2.0 * np.sqrt(np.log(2.0))
    shifted = normal(5000, 0.2, seed=2)
    assert metrics.mmd(many, shifted) == pytest.approx(metrics.mmd(many, shifted, h), rel=0.05)


def test_precision_and_recall_of_disjoint_and_equal_sets() -> None:
    assert metrics.precision_recall(LINE, LINE + 1000.0) == (0.0, 0.0)
    assert metrics.precision_recall(LINE, LINE) == (1.0, 1.0)
    result = metrics.precision_recall(normal(200), 1e6 + normal(300, seed=1))
    assert (result.precision, result.recall) == (0.0, 0.0)


def test_precision_and_recall_of_half_the_support() -> None:
    # Samples 0 .. 49 of real points 0 .. 99. The 3rd neighbour of 49 is 46, so its ball reaches 52;
    # the balls of 48 (47, 49, 46) and of all further in have radius 2.
    half = LINE[:50]
    assert metrics.precision_recall(half, LINE) == (1.0, 0.53)
    assert metrics.precision_recall(LINE, half) == (0.53, 1.0)
    # To the first neighbour all balls have radius 1, edge included.
    assert metrics.precision_recall(half, LINE, k=1) == (1.0, 0.51)
    assert metrics.precision_recall(half - 0.5, LINE, k=1) == (1.0, 0.5)


def test_precision_of_samples_between_real_points() -> None:
    # Real points 0, 10, .., 90 have balls of radius 10 (k = 1): all from -10 to 100 are inside.
    samples = np.array([[-10.5], [-10.0], [37.0], [100.0], [100.5]])
    assert metrics.precision_recall(samples, LINE[::10], k=1).precision == 0.6


def test_precision_of_coinciding_points() -> None:
    # The nearest neighbours of a point given three times are its copies: a ball of radius 0.
    real = np.array([[0.0, 0.0]] * 3 + [[5.0, 0.0]] * 3)
    samples = np.array([[0.0, 0.0], [5.0, 0.0], [0.1, 0.0], [2.5, 0.0]])
    assert metrics.precision_recall(samples, real, k=2).precision == 0.5


def test_precision_and_recall_in_blocks() -> None:
    # More pairs than a block holds, and a support known to be the segment: samples on twice of it.
    real = np.linspace(0.0, 1.0, 3001)[:, np.newaxis]
    samples = np.linspace(0.0, 2.0, 2001)[:, np.newaxis]
    precision, recall = metrics.precision_recall(samples, real)
    # The last ball reaches from 1 to 1.001: samples 0, 0.001, .., 1.001, but for rounding 1.001.
    assert precision == pytest.approx(1001.5 / 2001, abs=0.6 / 2001)
    assert recall == 1.0


def test_knn_accuracy_by_hand() -> None:
    # Neighbours of 1.2: 1, 2, 0 with labels 3, 7, 3; of 4.1: 4, 5, 3 with labels 7, 7, 3.
    real = np.arange(6.0)[:, np.newaxis]
    real_labels = [3, 3, 7, 3, 7, 7]
    samples = np.array([[1.2], [4.1]])
    for labels, share in (([3, 7], 1.0), ([3, 3], 0.5), ([7, 7], 0.5), ([7, 3], 0.0)):
        assert metrics.knn_accuracy(samples, labels, real, real_labels, k=3) == share
    # One neighbour: 1 and 4; all of them: three against three, and the smaller label wins.
    assert metrics.knn_accuracy(samples, [3, 7], real, real_labels, k=1) == 1.0
    assert metrics.knn_accuracy(samples, [3, 7], real, real_labels, k=6) == 0.5


def test_knn_accuracy_takes_15_neighbours() -> None:
    # 7 points of label 1 next to the sample, then 8 of label 0, then any number of label 1.
    real = np.arange(1.0, 41.0)[:, np.newaxis]
    real_labels = np.repeat([1, 0, 1], [7, 8, 25])
    for label, share in ((0, 1.0), (1, 0.0)):
        accuracy = metrics.knn_accuracy([[0.0]], [label], real, real_labels)
        assert accuracy == share
    assert metrics.knn_accuracy([[0.0]], [1], real, real_labels, k=17) == 1.0


def test_knn_accuracy_of_overlapping_classes() -> None:
    # Two normal clouds 2 apart: the best rule is right with probability Phi(1) = 0.841, and that of
    # 15 neighbours is at most a little worse.
    rng = np.random.default_rng(0)
    labels, real_labels = rng.integers(0, 2, 5000), rng.integers(0, 2, 5000)
    samples = rng.standard_normal((5000, 1)) + 2.0 * labels[:, np.newaxis]
    real = rng.standard_normal((5000, 1)) + 2.0 * real_labels[:, np.newaxis]
    accuracy = metrics.knn_accuracy(samples, labels, real, real_labels)
    assert 0.81 < accuracy < 0.841 + 0.02


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.wasserstein(SQUARE, SQUARE[:, :1]), "a, b: got shapes .* equal n_feat"),
        (lambda: metrics.wasserstein(SQUARE, SQUARE, 3), "p: got 3, needed at most 2"),
        (lambda: metrics.wasserstein(SQUARE, SQUARE, 0), "p: got 0, needed at least 1"),
        (lambda: metrics.wasserstein(SQUARE[0], SQUARE), r"a: got shape \(2,\)"),
        (lambda: metrics.emd(SQUARE, SQUARE), "a: got 4 rows, needed at least 250"),
        (lambda: metrics.emd(LINE, LINE[:9], n_points=10), "b: got 9 rows, needed at least 10"),
        (lambda: metrics.emd(LINE, LINE, n_points=0), "n_points: got 0"),
        (lambda: metrics.emd(LINE, LINE, n_points=5, n_draws=0), "n_draws: got 0"),
        (lambda: metrics.emd_draws(LINE, LINE, n_points=5, seed=-1), "seed: got -1"),
        (lambda: metrics.emd(LINE, SQUARE, n_points=2), "a, b: got shapes"),
        (lambda: metrics.emd(LINE * np.nan, LINE, n_points=2), "a: got NaN or infinity"),
        (lambda: metrics.nll_kernel(SQUARE, SQUARE, tau=0.0), r"tau: got 0\.0, needed a finite"),
        (lambda: metrics.nll_kernel(SQUARE, SQUARE, tau=np.inf), "tau: got inf"),
        (lambda: metrics.nll_kernel(SQUARE, SQUARE, tau=np.nan), "tau: got nan"),
        (lambda: metrics.nll_kernel(SQUARE, LINE), "samples, real: got shapes"),
        (lambda: metrics.nll_kernel(SQUARE, SQUARE[:0]), r"real: got shape \(0, 2\)"),
        (lambda: metrics.mmd(SQUARE, LINE), "a, b: got shapes"),
        (lambda: metrics.mmd(SQUARE, SQUARE, -1.0), r"bandwidth: got -1\.0"),
        (lambda: metrics.mmd(SQUARE[:1], SQUARE), "a: got 1 row, needed at least 2"),
        (lambda: metrics.mmd(SQUARE, SQUARE[:1], 1.0), "b: got 1 row, needed at least 2"),
        (lambda: metrics.mmd(SQUARE * 0, SQUARE * 0), "bandwidth: the median distance"),
        (lambda: metrics.precision_recall(SQUARE, LINE), "samples, real: got shapes"),
        (lambda: metrics.precision_recall(SQUARE, SQUARE, 0), "k: got 0"),
        (lambda: metrics.precision_recall(SQUARE, SQUARE, 4), "samples: got 4 rows, needed more"),
        (lambda: metrics.precision_recall(LINE, LINE[:3]), "real: got 3 rows, needed more than k"),
        (lambda: metrics.knn_accuracy(SQUARE, LABELS, SQUARE, LABELS), "real: got 4 rows, needed"),
        (lambda: metrics.knn_accuracy(SQUARE, LABELS, SQUARE, LABELS, 0), "k: got 0"),
        (
            lambda: metrics.knn_accuracy(SQUARE, LABELS[:3], SQUARE, LABELS, 1),
            r"labels: got shape \(3,\), needed \(4,\)",
        ),
        (
            lambda: metrics.knn_accuracy(SQUARE, LABELS, SQUARE, LABELS[:, np.newaxis], 1),
            r"real_labels: got shape \(4, 1\), needed \(4,\)",
        ),
        (
            lambda: metrics.knn_accuracy(SQUARE, LABELS - 1, SQUARE, LABELS, 1),
            "labels: got -1, needed labels that real_labels has",
        ),
    ],
)
def test_metrics_refuse(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        call()


@pytest.mark.parametrize(
    ("package", "named", "call"),
    [
        ("ot", "POT", lambda: metrics.emd(SQUARE, SQUARE, n_points=2)),
        ("ot", "POT", lambda: metrics.wasserstein(SQUARE, SQUARE)),
        ("scipy.spatial", "scipy", lambda: metrics.precision_recall(SQUARE, SQUARE, 1)),
        ("scipy.spatial", "scipy", lambda: metrics.knn_accuracy(SQUARE, LABELS, SQUARE, LABELS, 1)),
    ],
)
def test_missing_packages_name_the_extra(
    package: str, named: str, call: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    # None makes Python raise ModuleNotFoundError, as for a package that is not installed.
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf'^{named} is not .* pip install "tagix\[lab\]"'):
        call()


def test_transport_that_does_not_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ot.emd2", lambda *_, **__: (0.0, {"warning": "no more iterations"}))
    with pytest.raises(RuntimeError, match="optimal transport: no more iterations"):
        metrics.wasserstein(SQUARE, SQUARE)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.wasserstein("all", SQUARE), "a: got a str, needed"),
        (lambda: metrics.wasserstein(SQUARE, SQUARE, 1.5), r"p: got 1\.5, needed an integer"),
        (lambda: metrics.emd(SQUARE, None), "b: got a NoneType"),
        (lambda: metrics.emd(SQUARE, SQUARE, n_points=2.0), r"n_points: got 2\.0, needed an int"),
        (lambda: metrics.emd(SQUARE, SQUARE, n_draws="5"), "n_draws: got '5', needed an integer"),
        (lambda: metrics.emd(SQUARE, SQUARE, seed=None), "seed: got None, needed an integer"),
        (lambda: metrics.nll_kernel(SQUARE, SQUARE, tau="1"), "tau: got '1', needed a number"),
        (lambda: metrics.mmd(SQUARE, SQUARE, "1"), "bandwidth: got '1', needed a number"),
        (lambda: metrics.precision_recall(SQUARE, SQUARE, 1.5), r"k: got 1\.5, needed an integer"),
        (lambda: metrics.knn_accuracy(SQUARE, LABELS, SQUARE, LABELS, None), "k: got None, needed"),
        (
            lambda: metrics.knn_accuracy(SQUARE, LABELS + 0.5, SQUARE, LABELS, 1),
            "labels: got an array of float64, needed integers",
        ),
        (
            lambda: metrics.knn_accuracy(SQUARE, LABELS, SQUARE, LABELS > 0, 1),
            "real_labels: got an array of bool, needed integers",
        ),
    ],
)
def test_metrics_refuse_types(call: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError, match=f"^{message}"):
        call()
