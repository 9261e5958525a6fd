"""The reference's diffusion schedule, time features and backprop peer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the torch extra")

import torch

import tagix
from tagix import reference


def test_cosine_schedule_at_known_points() -> None:
    alpha_bar, beta = reference.schedule("cosine", 40)
    assert (alpha_bar[0], beta[0]) == (1.0, 0.0)
    start = math.cos(math.pi / 2 * 0.008 / 1.008) ** 2
    # (t/T + s) / (1 + s) = 0.508 / 1.008 at t = T / 2.
    assert alpha_bar[20] == pytest.approx(math.cos(math.pi / 2 * 0.508 / 1.008) ** 2 / start, 1e-12)
    np.testing.assert_allclose(np.cumprod(1 - beta), alpha_bar, rtol=1e-12)
    assert (np.diff(alpha_bar) < 0).all()


def test_linear_schedule_is_that_of_1000_steps_rescaled() -> None:
    _, beta = reference.schedule("linear", 1000)
    assert beta[1] == pytest.approx(1e-4) and beta[-1] == pytest.approx(0.02)
    assert reference.schedule("linear", 40).alpha_bar[-1] < 1e-4
    assert reference.schedule("linear", 10).beta.max() == 0.999
    with pytest.raises(ValueError, match=r"^name: got 'quadratic'"):
        reference.schedule("quadratic", 40)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["cosine", "linear"])
@pytest.mark.parametrize("n_steps", [1, 2, 3, 7])
def test_schedule_takes_what_the_core_takes(name: Any, n_steps: int) -> None:
    if n_steps == 1:
        for make in (reference.schedule, lambda name, n: tagix.DiffusionModel(1, (), n, name)):
            with pytest.raises(ValueError, match=r"^n_steps: got 1, needed at least 2"):
                make(name, n_steps)
        return
    model = tagix.DiffusionModel(1, (), n_steps, name)
    np.testing.assert_allclose(
        reference.schedule(name, n_steps).alpha_bar, model.alpha_bar, rtol=1e-12
    )


def test_time_features_at_known_points() -> None:
    features = reference.time_features("cosine", [0, 10, 20], 40)
    half = math.sqrt(0.5)
    expected = np.array([[1, 1, 1, 1, -0.5], [half, 0, -half, -1, -0.25], [0, -1, 0, 1, 0]])
    np.testing.assert_allclose(features, expected, atol=1e-15)
    assert reference.time_features("scalar", [30], 40) == 0.75
    sinusoidal = reference.time_features("sinusoidal", [3], 40)
    assert sinusoidal.shape == (1, 16)
    np.testing.assert_allclose(sinusoidal[0, :2], [math.sin(3), math.cos(3)])
    np.testing.assert_allclose(sinusoidal[0, -2:], [math.sin(3e-4), math.cos(3e-4)])


def test_sampler_with_the_exact_score_of_a_gaussian() -> None:
    """For x_0 ~ N(c, s^2), eps_hat = sqrt(1 - abar) (x_t - sqrt(abar) c) / (abar s^2 + 1 - abar)
    is exact, and the mean and variance of the chain follow from its affine steps."""
    model = reference.BackpropDiffusion(1, seed=0)
    c, s2 = 0.7, 0.25
    alpha_bar = torch.as_tensor(model.alpha_bar, dtype=torch.float32)[:, None]

    def exact(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        a = alpha_bar[t]
        return (1 - a).sqrt() * (x_t - a.sqrt() * c) / (a * s2 + 1 - a)

    mean, var = 0.0, 1.0
    for t in range(39, 0, -1):
        a, previous = model.alpha_bar[t], model.alpha_bar[t - 1]
        beta = 1 - a / previous
        slope = (1 - beta / (a * s2 + 1 - a)) / math.sqrt(1 - beta)
        shift = beta * math.sqrt(a) * c / (a * s2 + 1 - a) / math.sqrt(1 - beta)
        mean, var = slope * mean + shift, slope**2 * var + (beta if t > 1 else 0)
    model._predict = exact  # type: ignore[method-assign]
    n = 200_000
    samples = model.sample(n, trajectory=True)
    assert samples.x.mean() == pytest.approx(mean, abs=5 * math.sqrt(var / n))
    assert samples.x.var() == pytest.approx(var, rel=5 * math.sqrt(2 / n))
    assert samples.trajectory is not None and samples.trajectory.shape == (40, n, 1)
    np.testing.assert_array_equal(samples.trajectory[-1], samples.x)
    assert mean == pytest.approx(c, abs=0.01)  # the chain of 40 steps is close to the data


def test_training_approaches_the_error_of_the_ideal_denoiser() -> None:
    """Two points at +-1 in one dimension: E eps has a closed form with tanh."""
    rng = np.random.default_rng(0)
    data = rng.choice([-1.0, 1.0], size=(20_000, 1))
    model = reference.BackpropDiffusion(1, hidden=(64, 64), seed=0)
    losses = model.fit(data, n_epochs=15)
    t = rng.integers(1, 40, size=20_000)
    a = model.alpha_bar[t][:, None]
    eps = rng.normal(size=data.shape)
    x_t = np.sqrt(a) * data + np.sqrt(1 - a) * eps
    ideal = (x_t - np.sqrt(a) * np.tanh(np.sqrt(a) * x_t / (1 - a))) / np.sqrt(1 - a)
    floor = np.mean((ideal - eps) ** 2)
    error = np.mean((model.predict(x_t, t).mean - eps) ** 2)
    assert floor < error < floor + 0.02
    assert losses[-1] < losses[0]


def test_same_seed_gives_the_same_model_and_samples() -> None:
    data = np.random.default_rng(1).normal(size=(1000, 2))

    def draw(seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        model = reference.BackpropDiffusion(2, hidden=(8,), seed=seed)
        model.fit(data, n_epochs=1, batch_size=300)
        return model.sample(50).x

    np.testing.assert_array_equal(draw(3), draw(3))
    assert (draw(3) != draw(4)).any()
