"""Toy data: the shapes they are drawn from, scale and split."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tagix.datasets import ToyData, load_toy, moons, swiss_roll

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


@pytest.mark.parametrize("generate", [swiss_roll, moons])
def test_seed_fixes_the_points(generate) -> None:  # type: ignore[no-untyped-def]
    np.testing.assert_array_equal(generate(50, seed=1), generate(50, seed=1))
    assert not np.array_equal(generate(50, seed=1), generate(50, seed=2))


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
