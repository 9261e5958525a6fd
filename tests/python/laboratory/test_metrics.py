"""Metrics on points whose distances are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tagix import metrics

SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


def test_off_manifold_share_counts_points_beyond_the_radius() -> None:
    pytest.importorskip("scipy", reason="needs the lab extra")
    # Distances to the nearest corner: 0, 0.25, 0.5 and sqrt(2).
    samples = np.array([[0.0, 0.0], [1.25, 0.0], [0.5, 0.0], [2.0, 2.0]], dtype=np.float32)
    shares = [metrics.off_manifold_share(samples, SQUARE, r) for r in (0.0, 0.25, 0.3, 1.4, 1.5)]
    assert shares == [0.75, 0.5, 0.5, 0.25, 0.0]


def test_off_manifold_radius_is_the_quantile_of_distances() -> None:
    pytest.importorskip("scipy", reason="needs the lab extra")
    axis = np.arange(11.0)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    # Held-out points at distances 0, 0.01, ..., 0.4 from grid points.
    offsets = np.linspace(0.0, 0.4, 41)
    held_out = grid[:41] + np.stack([np.zeros(41), offsets], axis=1)
    assert metrics.off_manifold_radius(grid, held_out, 1.0) == pytest.approx(0.4)
    assert metrics.off_manifold_radius(grid, held_out, 0.5) == pytest.approx(0.2)
    assert metrics.off_manifold_radius(grid, held_out) == pytest.approx(0.3996)  # 0.999


def test_off_manifold_share_of_held_out_is_one_in_a_thousand() -> None:
    pytest.importorskip("scipy", reason="needs the lab extra")
    rng = np.random.default_rng(0)
    train, held_out = rng.standard_normal((3000, 3)), rng.standard_normal((2000, 3))
    radius = metrics.off_manifold_radius(train, held_out)
    assert metrics.off_manifold_share(held_out, train, radius) == pytest.approx(0.001)


@pytest.mark.parametrize("n_features", [1, 2, 5])
def test_sliced_wasserstein_of_a_shift(n_features: int) -> None:
    pytest.importorskip("ot", reason="needs the lab extra")
    # W2 of a set and its shift by d is |d . u| along u, and E (d . u)^2 = |d|^2 / n_features.
    rng = np.random.default_rng(1)
    points = rng.standard_normal((200, n_features))
    shift = rng.standard_normal(n_features)
    distance = metrics.sliced_wasserstein(points, points + shift, n_projections=4000)
    expected = np.linalg.norm(shift) / np.sqrt(n_features)
    assert distance == pytest.approx(expected, rel=0.04)


def test_sliced_wasserstein_of_a_scaling_and_unequal_sizes() -> None:
    pytest.importorskip("ot", reason="needs the lab extra")
    # For N(0, 1) and N(0, 9) each projection has W2 = 3 - 1.
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((20_000, 2)), 3.0 * rng.standard_normal((10_000, 2))
    assert metrics.sliced_wasserstein(a, b, n_projections=20) == pytest.approx(2.0, rel=0.03)
    assert metrics.sliced_wasserstein(a, a) == pytest.approx(0.0, abs=1e-6)
    assert metrics.sliced_wasserstein(a, b, 5, seed=3) == metrics.sliced_wasserstein(a, b, 5, 3)
    assert metrics.sliced_wasserstein(a, b, 5, seed=3) != metrics.sliced_wasserstein(a, b, 5, 4)


class LinearDenoiser:
    """The ideal denoiser of standard normal data: E eps = sqrt(1 - alpha_bar) x_t."""

    def __init__(self, alpha_bar: npt.ArrayLike) -> None:
        self.alpha_bar = np.asarray(alpha_bar, dtype=np.float64)
        self.n_steps = len(self.alpha_bar)
        self.seen: list[npt.NDArray[np.int64]] = []

    def predict(
        self, x_t: npt.NDArray[np.float32], t: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        assert x_t.dtype == np.float32
        self.seen.append(t)
        signal = self.alpha_bar[t][:, np.newaxis]
        return np.sqrt(1.0 - signal) * x_t, np.broadcast_to(signal, x_t.shape)


def test_denoising_mse_of_the_ideal_denoiser_of_a_gaussian() -> None:
    # For standard normal data Var(eps | x_t) = alpha_bar, so the error is its mean over 1 .. T - 1.
    alpha_bar = np.linspace(1.0, 0.05, 20)
    model = LinearDenoiser(alpha_bar)
    held_out = np.random.default_rng(5).standard_normal((20_000, 2))
    error = metrics.denoising_mse(model, held_out)
    assert error == pytest.approx(alpha_bar[1:].mean(), abs=0.02)
    (steps,) = model.seen
    assert steps.shape == (20_000,)
    # Every timestep but 0 has its share, within 5 standard deviations.
    counts = np.bincount(steps, minlength=20)
    assert counts[0] == 0
    np.testing.assert_allclose(counts[1:], 20_000 / 19, atol=5 * np.sqrt(20_000 / 19))


def test_denoising_mse_standardises_by_the_model() -> None:
    # The same ideal error for data of any mean and scale, if the model says which.
    alpha_bar = np.linspace(1.0, 0.05, 20)
    model: Any = LinearDenoiser(alpha_bar)
    standard = np.random.default_rng(5).standard_normal((20_000, 2))
    expected = metrics.denoising_mse(model, standard)
    model.shift, model.scale = np.array([5.0, -300.0]), np.array([0.25, 64.0])
    error = metrics.denoising_mse(model, model.shift + model.scale * standard)
    assert error == pytest.approx(expected, rel=1e-6)
    assert error == pytest.approx(alpha_bar[1:].mean(), abs=0.02)


def test_denoising_mse_draws_are_fixed_by_the_seed() -> None:
    model = LinearDenoiser(np.linspace(1.0, 0.1, 10))
    held_out = np.random.default_rng(5).standard_normal((300, 2)).astype(np.float32)
    assert metrics.denoising_mse(model, held_out) == metrics.denoising_mse(model, held_out, seed=0)
    assert metrics.denoising_mse(model, held_out) != metrics.denoising_mse(model, held_out, seed=1)
    np.testing.assert_array_equal(model.seen[0], model.seen[1])


def test_denoising_mse_of_a_zero_prediction_is_the_noise_variance() -> None:
    class Zero(LinearDenoiser):
        def predict(self, x_t, t):  # type: ignore[no-untyped-def]
            return np.zeros_like(x_t), np.ones_like(x_t)

    error = metrics.denoising_mse(Zero([1.0, 0.5]), np.ones((10, 3)))
    assert error == pytest.approx(1.0, abs=5 * np.sqrt(2.0 / 60_000))


def test_kernel_denoiser_of_two_points() -> None:
    # x_0 = +-1 with equal weight: E x_0 = tanh(x_t sqrt(alpha_bar) / (1 - alpha_bar)).
    alpha_bar = np.array([1.0, 0.9, 0.5, 0.1])
    x_t, t = np.array([[0.3], [-1.2], [2.0], [0.01]]), np.array([1, 2, 3, 1])
    mean, var = metrics.KernelDenoiser([[-1.0], [1.0]], alpha_bar).predict(x_t, t)
    signal = alpha_bar[t][:, np.newaxis]
    x_0 = np.tanh(x_t * np.sqrt(signal) / (1.0 - signal))
    np.testing.assert_allclose(mean, (x_t - np.sqrt(signal) * x_0) / np.sqrt(1.0 - signal))
    np.testing.assert_allclose(var, signal / (1.0 - signal) * (1.0 - x_0**2), atol=1e-12)


def test_kernel_denoiser_error_is_its_predicted_variance() -> None:
    # Over draws whose x_0 is a train point, E (eps - E eps)^2 = E Var eps.
    rng = np.random.default_rng(8)
    train = rng.standard_normal((40, 2))
    denoiser = metrics.KernelDenoiser(train, [1.0, 0.7, 0.4, 0.1])
    t = rng.integers(1, 4, 20_000)
    signal = denoiser.alpha_bar[t][:, np.newaxis]
    eps = rng.standard_normal((20_000, 2))
    x_t = np.sqrt(signal) * train[rng.integers(0, 40, 20_000)] + np.sqrt(1.0 - signal) * eps
    mean, var = denoiser.predict(x_t, t)
    square = (eps - mean) ** 2
    assert square.mean() == pytest.approx(var.mean(), abs=4 * square.std() / np.sqrt(square.size))
    # In denoising_mse it is what no model beats: below the linear denoiser, above 0.
    assert metrics.denoising_mse(denoiser, train) == pytest.approx(var.mean(), abs=0.03)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.off_manifold_share(SQUARE, SQUARE, -1.0), "radius: got -1"),
        (lambda: metrics.off_manifold_share(SQUARE, SQUARE, float("nan")), "radius: got nan"),
        (lambda: metrics.off_manifold_share(SQUARE[0], SQUARE, 1.0), r"samples: got shape \(2,\)"),
        (lambda: metrics.off_manifold_share(SQUARE, SQUARE[:, :1], 1.0), "equal n_features"),
        (lambda: metrics.off_manifold_share(SQUARE * np.nan, SQUARE, 1.0), "samples: got NaN"),
        (lambda: metrics.off_manifold_radius(SQUARE, SQUARE, 0.0), "quantile: got 0"),
        (lambda: metrics.off_manifold_radius(SQUARE[:0], SQUARE), r"train: got shape \(0, 2\)"),
        (lambda: metrics.sliced_wasserstein(SQUARE, SQUARE[:, :1]), "equal n_features"),
        (lambda: metrics.sliced_wasserstein(SQUARE, SQUARE, 0), "n_projections: got 0"),
        (lambda: metrics.denoising_mse(LinearDenoiser([1.0]), SQUARE), "model: got n_steps 1"),
        (lambda: metrics.denoising_mse(LinearDenoiser([1.0, 0.5]), SQUARE[0]), "held_out: got"),
        (
            lambda: metrics.KernelDenoiser(SQUARE, [1.0, 0.5]).predict(SQUARE, np.zeros(4, int)),
            r"t: got \[0 0 0 0\]",
        ),
    ],
)
def test_metrics_refuse(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.off_manifold_share("all", SQUARE, 1.0), "samples: got a str, needed"),
        (lambda: metrics.off_manifold_share(SQUARE, SQUARE, "1"), "radius: got '1', needed"),
        (lambda: metrics.off_manifold_radius(SQUARE, SQUARE, None), "quantile: got None, needed"),
        (lambda: metrics.sliced_wasserstein(SQUARE, SQUARE, 1.5), r"n_projections: got 1\.5, need"),
        (lambda: metrics.sliced_wasserstein(SQUARE, SQUARE, seed="a"), "seed: got 'a', needed"),
        (lambda: metrics.denoising_mse(LinearDenoiser([1.0, 0.5]), None), "held_out: got a NoneT"),
    ],
)
def test_metrics_refuse_types(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TypeError, match=f"^{message}"):
        call()
