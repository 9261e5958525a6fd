"""Toy data: the shapes they are drawn from, scale and split."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tagix import metrics
from tagix.datasets import (
    CLASSROOM_ARGUMENTS,
    TOY_CLASSES,
    TOY_GENERATORS,
    ToyData,
    blobs,
    checkerboard,
    circles,
    helix,
    load_classroom,
    load_toy,
    manycircles,
    moons,
    rings,
    spirals,
    swiss_roll,
)

pytest.importorskip("sklearn", reason="needs the lab extra")
pytest.importorskip("scipy", reason="needs the lab extra")


def test_swiss_roll_lies_along_its_spiral() -> None:
    points = swiss_roll(20_000, seed=3)
    assert points.shape == (20_000, 2) and points.dtype == np.float32
    # The noiseless roll is (u cos u, u sin u), u from 1.5 pi to 4.5 pi; the noise has std 0.5.
    u = np.linspace(1.5 * np.pi, 4.5 * np.pi, 4000)
    spiral = np.stack([u * np.cos(u), u * np.sin(u)], axis=1)
    distance = np.linalg.norm(points[:1000, None] - spiral[None], axis=2).min(axis=1)
    # Across the curve only one of the two noise coordinates shows; the ends add a little.
    assert np.sqrt(np.mean(distance**2)) == pytest.approx(0.5, rel=0.06)


def test_moons_lie_along_two_half_circles() -> None:
    points = moons(20_000, seed=3)
    assert points.shape == (20_000, 2) and points.dtype == np.float32
    angle = np.linspace(0.0, np.pi, 2000)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
    circles = np.concatenate([upper, lower])
    distance = np.linalg.norm(points[:1000, None] - circles[None], axis=2).min(axis=1)
    assert np.sqrt(np.mean(distance**2)) == pytest.approx(0.05, rel=0.06)


def on_circle(angle: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def assert_normal(residual: npt.NDArray[Any], cov: npt.ArrayLike) -> None:
    """Mean 0 and this covariance, within 5 standard errors of n normal rows."""
    residual, cov = np.asarray(residual, dtype=np.float64), np.asarray(cov)
    n, var = len(residual), np.diag(cov)
    assert (np.abs(residual.mean(axis=0)) < 5 * np.sqrt(var / n)).all()
    error = np.sqrt((np.outer(var, var) + cov**2) / n)
    assert (np.abs(residual.T @ residual / n - cov) < 5 * error).all()


def assert_shares(labels: npt.NDArray[np.int64], shares: npt.ArrayLike) -> None:
    """Each label's share, within 5 standard errors of n independent draws."""
    expected, n = np.asarray(shares), len(labels)
    actual = np.bincount(labels, minlength=len(expected)) / n
    assert actual.shape == expected.shape
    assert (np.abs(actual - expected) <= 5 * np.sqrt(expected * (1 - expected) / n)).all()


def test_moons_labels_tell_the_half_circles() -> None:
    points, labels = moons(1001, noise=0.0, seed=4, return_labels=True)
    upper, lower = points[labels == 0], points[labels == 1]
    np.testing.assert_allclose(np.linalg.norm(upper, axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(lower - [1.0, 0.5], axis=1), 1.0, atol=1e-6)
    assert upper[:, 1].min() > -1e-6 and lower[:, 1].max() < 0.5 + 1e-6
    assert (len(upper), len(lower)) == (500, 501)


@pytest.mark.parametrize("factor", [0.7, 0.3])
def test_circles_have_their_radii(factor: float) -> None:
    points, labels = circles(40_000, factor=factor, seed=5, return_labels=True)
    for label, radius in ((0, 1.0), (1, factor)):
        distance = np.linalg.norm(points[labels == label].astype(np.float64), axis=1)
        assert len(distance) == 20_000
        # Along the radius the noise is normal; across it, it adds noise^2 / (2 radius).
        assert distance.mean() == pytest.approx(radius + 0.04**2 / (2 * radius), abs=0.0015)
        assert distance.std() == pytest.approx(0.04, rel=0.03)
    assert not np.array_equal(points, circles(40_000, factor=factor, noise=0.1, seed=5))


def test_blobs_have_their_means_covariances_and_shares() -> None:
    points, labels = blobs(200_000, seed=6, return_labels=True)
    assert_shares(labels, [0.8, 0.2])
    assert_normal(points[labels == 0] - [0.3, 0.4], [[0.005, 0.0], [0.0, 0.005]])
    # The parts of label 1 are 4 and 9 of their standard deviations from x + y = 1.2.
    part = points[labels == 1]
    near = part.sum(axis=1) < 1.2
    assert_shares(near.astype(np.int64), [0.8, 0.2])
    assert_normal(part[near] - [0.2, 0.3], [[0.01, 0.004], [0.004, 0.01]])
    assert_normal(part[~near] - [0.8, 0.8], [[0.005, -0.004], [-0.004, 0.005]])


def test_manycircles_are_eight_gaussians() -> None:
    points, labels = manycircles(100_000, seed=7, return_labels=True)
    assert_shares(labels, np.full(8, 1 / 8))
    for k in range(8):
        centre = on_circle(2 * np.pi * k / 8)
        assert_normal(points[labels == k] - centre, 0.25**2 * np.eye(2))
    quiet = manycircles(100, noise=0.0, seed=7)
    np.testing.assert_allclose(np.linalg.norm(quiet, axis=1), 1.0, atol=1e-6)


def test_helix_strands_are_half_a_turn_apart() -> None:
    points, labels = helix(50_000, noise=0.0, seed=8, return_labels=True)
    assert points.shape == (50_000, 3)
    assert_shares(labels, [0.5, 0.5])
    height = points[:, 2].astype(np.float64)
    # A turn rises by 1, and at height -1 strand 0 is at angle 0 and strand 1 at pi.
    expected = on_circle(2 * np.pi * (height + 1.0) + np.pi * labels)
    np.testing.assert_allclose(points[:, :2], expected, atol=2e-6)
    # Heights are uniform in [-1, 1]: mean 0, mean square 1/3, mean fourth power 1/5.
    assert -1.0 <= height.min() < -0.999 and 0.999 < height.max() <= 1.0
    assert height.mean() == pytest.approx(0.0, abs=5 * np.sqrt(1 / 3 / 50_000))
    assert np.mean(height**2) == pytest.approx(1 / 3, abs=5 * np.sqrt((1 / 5 - 1 / 9) / 50_000))


def test_helix_noise_is_normal_around_its_strand() -> None:
    points, labels = helix(1000, seed=8, return_labels=True)
    u = np.linspace(0.0, 4.0 * np.pi, 8000)
    for k in (0, 1):
        strand = np.column_stack([on_circle(u + np.pi * k), u / (2 * np.pi) - 1.0])
        mine = points[labels == k]
        distance = np.linalg.norm(mine[:, None] - strand[None], axis=2).min(axis=1)
        # Two of the three coordinates of the noise show.
        assert np.sqrt(np.mean(distance**2)) == pytest.approx(0.05 * np.sqrt(2), rel=0.08)


def test_rings_have_their_radii() -> None:
    points, labels = rings(80_000, seed=9, return_labels=True)
    assert_shares(labels, np.full(4, 1 / 4))
    for k in range(4):
        ring = points[labels == k].astype(np.float64)
        radius, distance = (k + 1) / 4, np.linalg.norm(ring, axis=1)
        assert distance.mean() == pytest.approx(radius + 0.02**2 / (2 * radius), abs=0.001)
        assert distance.std() == pytest.approx(0.02, rel=0.03)
        # Even all around: the mean direction has a standard deviation of 1 / sqrt(2 n).
        direction = (ring / distance[:, np.newaxis]).mean(axis=0)
        assert np.abs(direction).max() < 5 / np.sqrt(2 * len(ring))


def test_checkerboard_fills_the_dark_squares_evenly() -> None:
    points = checkerboard(80_000, seed=10).astype(np.float64)
    corner = np.floor(points)
    assert points.min() >= -2.0 and points.max() < 2.0
    np.testing.assert_array_equal(corner.sum(axis=1) % 2, 0)
    column, row = (corner + 2).astype(np.int64).T
    dark = np.array([[(x + y) % 2 == 0 for x in range(4)] for y in range(4)])
    assert_shares(4 * row + column, dark.ravel() / 8)
    inside = points - corner
    # Uniform in [0, 1): mean 1/2, variance 1/12, fourth central moment 1/80; no correlation.
    assert inside.mean(axis=0) == pytest.approx(0.5, abs=5 * np.sqrt(1 / 12 / 80_000))
    centred = inside - 0.5
    error = np.sqrt((1 / 80 - 1 / 144) / 80_000)
    assert np.mean(centred**2, axis=0) == pytest.approx(1 / 12, abs=5 * error)
    assert np.mean(centred.prod(axis=1)) == pytest.approx(0.0, abs=5 / 12 / np.sqrt(80_000))


def test_spirals_wind_from_a_sixth_to_the_unit_circle() -> None:
    points, labels = spirals(50_000, noise=0.0, seed=11, return_labels=True)
    assert_shares(labels, [0.5, 0.5])
    radius = np.linalg.norm(points.astype(np.float64), axis=1)
    np.testing.assert_allclose(
        points, radius[:, np.newaxis] * on_circle(3 * np.pi * radius + np.pi * labels), atol=2e-6
    )
    # The radius squared is uniform in [1/36, 1].
    assert radius.min() == pytest.approx(1 / 6, abs=1e-3) and radius.max() <= 1.0 + 1e-6
    width = 1 - 1 / 36
    error = width / np.sqrt(12 * 50_000)
    assert np.mean(radius**2) == pytest.approx((1 + 1 / 36) / 2, abs=5 * error)
    assert np.var(radius**2) == pytest.approx(width**2 / 12, rel=0.03)
    # Noise: points of either arm stay nearer to it than to the other.
    noisy, labels = spirals(1000, seed=11, return_labels=True)
    u = np.linspace(0.5 * np.pi, 3 * np.pi, 4000)
    arms = np.stack([u[:, np.newaxis] / (3 * np.pi) * on_circle(u + np.pi * k) for k in (0, 1)])
    distance = np.linalg.norm(noisy[:, None, None] - arms[None], axis=3).min(axis=2)
    np.testing.assert_array_equal(distance.argmin(axis=1), labels)
    assert np.sqrt(np.mean(distance.min(axis=1) ** 2)) == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize("name", TOY_GENERATORS)
def test_seed_fixes_the_points(name: str) -> None:
    generate = TOY_GENERATORS[name]
    points = generate(51, seed=1)
    assert points.shape == (51, 3 if name == "helix" else 2) and points.dtype == np.float32
    assert points.flags.c_contiguous and np.isfinite(points).all()
    np.testing.assert_array_equal(points, generate(51, seed=1))
    assert not np.array_equal(points, generate(51, seed=2))
    if name in TOY_CLASSES:
        same, labels = generate(51, seed=1, return_labels=True)
        np.testing.assert_array_equal(points, same)
        assert labels.shape == (51,) and labels.dtype == np.int64


@pytest.mark.parametrize("name", TOY_CLASSES)
def test_labels_are_all_classes_in_random_order(name: str) -> None:
    _, labels = TOY_GENERATORS[name](4000, seed=3, return_labels=True)
    np.testing.assert_array_equal(np.unique(labels), np.arange(TOY_CLASSES[name]))
    # Shares are alike in both halves, within 5 standard errors of their difference.
    first, second = labels[:2000] == 0, labels[2000:] == 0
    assert abs(first.mean() - second.mean()) < 5 * np.sqrt(2 * 0.25 / 2000)


@pytest.mark.parametrize("name", TOY_GENERATORS)
def test_generators_refuse(name: str) -> None:
    generate = TOY_GENERATORS[name]
    for arguments, error, message in (
        ({"n_samples": 0}, ValueError, "n_samples: got 0, needed at least 1"),
        ({"n_samples": 2.0}, TypeError, "n_samples: got 2.0, needed an integer"),
        ({"seed": -1}, ValueError, "seed: got -1"),
        ({"seed": 2**32}, ValueError, "seed: got 4294967296"),
        ({"seed": None}, TypeError, "seed: got None"),
    ):
        with pytest.raises(error, match=f"^{message}"):
            generate(**{"n_samples": 10, **arguments})
    if name not in ("blobs", "checkerboard"):
        for noise, error in ((-0.1, ValueError), (np.nan, ValueError), ("a", TypeError)):
            with pytest.raises(error, match=r"^noise: got"):
                generate(10, noise=noise)
    if name in TOY_CLASSES:
        with pytest.raises(TypeError, match=r"^return_labels: got 'yes'"):
            generate(10, return_labels="yes")


def test_circles_refuse_a_factor_of_one() -> None:
    for factor in (1.0, -0.1, np.nan):
        with pytest.raises(ValueError, match=r"^factor: got"):
            circles(10, factor=factor)
    with pytest.raises(TypeError, match=r"^factor: got 'a'"):
        circles(10, factor="a")  # type: ignore[call-overload]


@pytest.mark.parametrize(("name", "radius"), [("swiss_roll", 0.0358), ("moons", 0.0364)])
def test_load_toy_has_the_published_radius(name: str, radius: float) -> None:
    data = load_toy(name)
    assert isinstance(data, ToyData)
    assert data.train.shape == (100_000, 2) and data.held_out.shape == (20_000, 2)
    assert data.train.dtype == np.float32 and data.held_out.dtype == np.float32
    assert data.off_manifold_radius == pytest.approx(radius, abs=5e-5)


def test_load_toy_standardises_by_one_mean_and_std_of_train() -> None:
    data = load_toy("swiss_roll", n_train=5000, n_held_out=1000)
    raw_train = swiss_roll(5000, seed=1).astype(np.float64)
    raw_held_out = swiss_roll(1000, seed=2).astype(np.float64)
    mean, std = raw_train.mean(), raw_train.std()
    np.testing.assert_allclose(data.train, (raw_train - mean) / std, atol=1e-6)
    np.testing.assert_allclose(data.held_out, (raw_held_out - mean) / std, atol=1e-6)
    assert data.train.mean(dtype=np.float64) == pytest.approx(0.0, abs=1e-6)
    assert data.train.std(dtype=np.float64) == pytest.approx(1.0, abs=1e-6)
    # The axes keep their own means, so the shape is not stretched.
    assert np.abs(data.train.mean(axis=0)).min() > 0.01


@pytest.mark.parametrize("name", TOY_GENERATORS)
def test_load_toy_has_points_and_labels_of_every_shape(name: str) -> None:
    data = load_toy(name, n_train=3000, n_held_out=1000, seed=3)
    generate, n_classes = TOY_GENERATORS[name], TOY_CLASSES.get(name)
    assert data.name == name and data.n_classes == n_classes
    if n_classes is None:
        assert data.train_labels is None and data.held_out_labels is None
        raw_train, raw_held_out = generate(3000, seed=7), generate(1000, seed=8)
    else:
        raw_train, train_labels = generate(3000, seed=7, return_labels=True)
        raw_held_out, held_out_labels = generate(1000, seed=8, return_labels=True)
        np.testing.assert_array_equal(data.train_labels, train_labels)
        np.testing.assert_array_equal(data.held_out_labels, held_out_labels)
    mean, std = raw_train.mean(dtype=np.float64), raw_train.std(dtype=np.float64)
    np.testing.assert_allclose(data.train, (raw_train - mean) / std, atol=1e-5)
    np.testing.assert_allclose(data.held_out, (raw_held_out - mean) / std, atol=1e-5)
    share = metrics.off_manifold_share(data.held_out, data.train, data.off_manifold_radius)
    assert share == pytest.approx(0.001)


def test_load_toy_seeds_share_no_set() -> None:
    sets = [load_toy("moons", n_train=100, n_held_out=100, seed=seed) for seed in range(3)]
    raw = [moons(100, seed=generator_seed) for generator_seed in range(1, 7)]
    assert len({array.tobytes() for array in raw}) == 6
    assert len({array.tobytes() for data in sets for array in (data.train, data.held_out)}) == 6


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": "torus"}, ValueError, "name: got 'torus'"),
        ({"name": "moons", "n_train": 0}, ValueError, "n_train: got 0"),
        ({"name": "moons", "n_held_out": -1}, ValueError, "n_held_out: got -1"),
        ({"name": "moons", "n_train": 2.5}, TypeError, "n_train: got 2.5, needed an integer"),
        ({"name": "moons", "seed": -1}, ValueError, "seed: got -1"),
    ],
)
def test_load_toy_refuses(
    arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        load_toy(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CLASSROOM_ARGUMENTS)
def test_load_classroom_scales_each_axis_by_the_train_set(name: str) -> None:
    data = load_classroom(name)
    n_features = 3 if name == "helix" else 2
    assert data.name == name and data.n_classes == TOY_CLASSES[name]
    assert data.train.shape == data.held_out.shape == (8000, n_features)
    assert data.train.dtype == data.held_out.dtype == np.float32
    np.testing.assert_array_equal(data.train.min(axis=0), -1.0)
    np.testing.assert_array_equal(data.train.max(axis=0), 1.0)
    # Held-out points lie on the same scale, some a little outside, and share no point with train.
    assert 0.9 < np.abs(data.held_out).max() < 1.5
    assert not set(map(bytes, data.train)) & set(map(bytes, data.held_out))
    for labels in (data.train_labels, data.held_out_labels):
        assert labels.shape == (8000,) and labels.dtype == np.int64
        np.testing.assert_array_equal(np.unique(labels), np.arange(data.n_classes))
    back = data.low + (data.train + 1.0) * (data.high - data.low) / 2.0
    raw, labels = TOY_GENERATORS[name](
        8000, seed=42, return_labels=True, **CLASSROOM_ARGUMENTS[name]
    )
    np.testing.assert_allclose(back, raw, atol=1e-6)
    np.testing.assert_array_equal(data.train_labels, labels)


def test_load_classroom_is_scikit_learn_of_random_state_42() -> None:
    from sklearn.datasets import make_circles, make_moons

    drawn = {
        "moons": make_moons(8000, noise=0.04, random_state=42),
        "circles": make_circles(8000, noise=0.04, factor=0.7, random_state=42),
    }
    for name, (points, labels) in drawn.items():
        data = load_classroom(name)
        low, high = points.min(axis=0), points.max(axis=0)
        np.testing.assert_allclose(data.train, 2 * (points - low) / (high - low) - 1, atol=1e-6)
        np.testing.assert_array_equal(data.train_labels, labels)


@pytest.mark.parametrize(
    ("name", "emd", "nll"),
    [
        ("moons", 26.1, 0.946),
        ("circles", 25.6, 0.995),
        ("manycircles", 27.2, 0.596),
        ("blobs", 17.1, -0.005),
    ],
)
def test_load_classroom_has_the_published_floors(name: str, emd: float, nll: float) -> None:
    pytest.importorskip("ot", reason="needs the lab extra")
    # Scores of held-out against train points over seeds. The extremes, and so the scale and the
    # scores, vary from seed to seed; the published ones are of one draw, and their scale by one.
    sets = [load_classroom(name, seed=seed) for seed in range(42, 50)]
    nlls = [metrics.nll_kernel(data.held_out, data.train) for data in sets]
    assert abs(np.mean(nlls) - nll) < 3 * np.std(nlls, ddof=1)
    assert np.std(nlls) < 0.05
    emds = np.concatenate([metrics.emd_draws(data.held_out, data.train) for data in sets])
    # The published number is the mean of 5 draws.
    assert abs(emds.mean() - emd) < 3 * emds.std(ddof=1) * np.sqrt(1 / 5 + 1 / 40)


def test_load_classroom_seeds_share_no_set() -> None:
    sets = [load_classroom("blobs", n_samples=50, seed=seed) for seed in (0, 1, 42, 2**31 - 1)]
    assert len({array.tobytes() for data in sets for array in (data.train, data.held_out)}) == 8
    again = load_classroom("blobs", n_samples=50, seed=42)
    np.testing.assert_array_equal(again.train, sets[2].train)
    np.testing.assert_array_equal(again.held_out, sets[2].held_out)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": "swiss_roll"}, ValueError, "name: got 'swiss_roll', needed one of moons, "),
        ({"name": "moons", "n_samples": 1}, ValueError, "n_samples: got 1, needed at least 2"),
        ({"name": "moons", "n_samples": 9.5}, TypeError, "n_samples: got 9.5, needed an integer"),
        ({"name": "moons", "seed": -1}, ValueError, "seed: got -1"),
        ({"name": "moons", "seed": 2**31}, ValueError, "seed: got 2147483648"),
    ],
)
def test_load_classroom_refuses(
    arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{message}"):
        load_classroom(**arguments)  # type: ignore[arg-type]


def test_missing_scikit_learn_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Absent("sklearn"), *sys.meta_path])
    with pytest.raises(ImportError, match=r'scikit-learn .* pip install "tagix\[lab\]"'):
        swiss_roll(10)


class _Absent:
    """An import finder for which a package is not installed."""

    def __init__(self, root: str) -> None:
        self._root = root

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.split(".")[0] == self._root:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
