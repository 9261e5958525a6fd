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


def stand_in(monkeypatch: Any, model: reference.BackpropDiffusion, x_0: Any) -> list[int]:
    """Has the model predict, by its prediction type, what x_0(x_t, abar_t) says of x_0.

    Returns a list that fills with the timesteps it is asked at.
    """
    asked: list[int] = []

    def predict(x_t: torch.Tensor, t: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        (step,) = t.unique().tolist()
        asked.append(step)
        abar = float(model.alpha_bar[step])
        a, b = math.sqrt(abar), math.sqrt(1 - abar)
        x = x_t.double()
        guess = x_0(x, abar)
        eps = (x - a * guess) / b
        target = {"epsilon": eps, "sample": guess, "v_prediction": a * eps - b * guess}
        return target[model.prediction_type].float()

    monkeypatch.setattr(model, "_predict", predict)
    return asked


PREDICTION_TYPES = ["epsilon", "sample", "v_prediction"]


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize(
    ("n_steps", "variance_type"), [(None, "fixed_large"), (39, "fixed_small"), (6, "fixed_large")]
)
def test_ddpm_with_the_exact_prediction_for_a_gaussian(
    monkeypatch: Any, prediction_type: Any, n_steps: int | None, variance_type: Any
) -> None:
    """For x_0 ~ N(c, s^2), E(x_0 | x_t) = c + a s^2 (x_t - a c) / (a^2 s^2 + b^2) is exact; with
    it, mean and variance follow from the steps, by q(x_s | x_t, x_0) of Ho, Jain & Abbeel."""
    model = reference.BackpropDiffusion(1, prediction_type=prediction_type, seed=0)
    c, s2 = 0.7, 0.25
    asked = stand_in(
        monkeypatch,
        model,
        lambda x, abar: c + abar**0.5 * s2 * (x - abar**0.5 * c) / (abar * s2 + 1 - abar),
    )
    n = 100_000
    samples = model.sample(n, trajectory=True, n_steps=n_steps, variance_type=variance_type)
    # 39, 31.4, 23.8, 16.2, 8.6, 1 by np.linspace.
    timesteps = [39, 31, 24, 16, 9, 1] if n_steps == 6 else list(range(39, 0, -1))
    assert asked == timesteps
    assert samples.trajectory is not None
    assert samples.trajectory.shape == (len(timesteps) + 1, n, 1)
    np.testing.assert_array_equal(samples.trajectory[-1], samples.x)
    mean, var = 0.0, 1.0
    for i, t in enumerate(timesteps):
        s = timesteps[i + 1] if t > 1 else 0
        now, then = model.alpha_bar[t], model.alpha_bar[s]
        alpha = now / then
        weight_x = math.sqrt(alpha) * (1 - then) / (1 - now)
        weight_x_0 = math.sqrt(then) * (1 - alpha) / (1 - now)
        gain = math.sqrt(now) * s2 / (now * s2 + 1 - now)
        slope = weight_x + weight_x_0 * gain
        mean = slope * mean + weight_x_0 * (1 - gain * math.sqrt(now)) * c
        posterior_var = (1 - then) / (1 - now) * (1 - alpha)
        noise_var = 1 - alpha if variance_type == "fixed_large" else posterior_var
        var = slope**2 * var + (noise_var if t > 1 else 0.0)
        state = samples.trajectory[i + 1].astype(np.float64)
        assert state.mean() == pytest.approx(mean, abs=5 * math.sqrt(var / n))
        assert state.var() == pytest.approx(var, rel=5 * math.sqrt(2 / n))
    if n_steps != 6:
        assert mean == pytest.approx(c, abs=0.01)  # the chain of 39 steps is close to the data


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize("n_steps", [None, 1, 4])
def test_ddim_with_the_exact_prediction_for_a_point(
    monkeypatch: Any, prediction_type: Any, n_steps: int | None
) -> None:
    """For x_0 = c, DDIM keeps eps: x_t = a_t c + b_t eps at each timestep."""
    model = reference.BackpropDiffusion(2, prediction_type=prediction_type, seed=0)
    c = torch.tensor([0.5, -2.0], dtype=torch.float64)
    asked = stand_in(monkeypatch, model, lambda x, abar: c.expand_as(x))
    trajectory = model.sample(100, trajectory=True, sampler="ddim", n_steps=n_steps).trajectory
    assert trajectory is not None
    timesteps = {None: list(range(39, 0, -1)), 1: [39], 4: [39, 26, 14, 1]}[n_steps]
    assert asked == timesteps  # 39, 26.3, 13.7, 1
    abar = model.alpha_bar[[*timesteps, 0]][:, None, None]
    eps = (trajectory[0] - np.sqrt(abar[0]) * c.numpy()) / np.sqrt(1 - abar[0])
    expected = np.sqrt(abar) * c.numpy() + np.sqrt(1 - abar) * eps
    np.testing.assert_allclose(trajectory, expected, atol=2e-3 if n_steps == 1 else 2e-4)


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_training_targets_at_one_known_timestep(prediction_type: Any) -> None:
    """With a = 0.6, b = 0.8 and all data at c, each target is a line in x_t:
    eps = (x_t - 0.6 c) / 0.8,  x_0 = c,  v = 0.6 eps - 0.8 c = 0.75 x_t - 1.25 c."""
    model = reference.BackpropDiffusion(
        1, (), 2, [1.0, 0.36], learning_rate=0.0, prediction_type=prediction_type
    )
    c = 0.7
    lines = {"epsilon": (1.25, -0.75 * c), "sample": (0.0, c), "v_prediction": (0.75, -1.25 * c)}
    (layer,) = model.net
    assert isinstance(layer, torch.nn.Linear) and layer.weight.shape == (1, 1 + 5)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 0], layer.bias[0] = lines[prediction_type]
    (loss,) = model.fit(np.full((1000, 1), c), n_epochs=1, batch_size=300)
    assert loss < 1e-12
    with torch.no_grad():
        layer.bias += 0.5
    (loss,) = model.fit(np.full((1000, 1), c), n_epochs=1, batch_size=300)
    assert loss == pytest.approx(0.25, rel=1e-5)


def by_class(n_steps: int = 2) -> reference.BackpropDiffusion:
    """Predicts x_0 = 2 for class 0, 5 for class 1 and 1 without a label, whatever x_t and t."""
    alpha_bar = np.linspace(1.0, 0.1, n_steps)
    model = reference.BackpropDiffusion(
        1, (), n_steps, alpha_bar, "scalar", 0.0, 0, prediction_type="sample", n_classes=2
    )
    (layer,) = model.net
    assert isinstance(layer, torch.nn.Linear)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, 0.0, 1.0, 4.0]]))
        layer.bias.fill_(1.0)
    return model


def test_labels_reach_the_network() -> None:
    mean, var = by_class().predict([[0.0], [3.0], [1.0]], [0, 1, 1], [1, 0, -1])
    np.testing.assert_array_equal(mean, [[5.0], [2.0], [1.0]])
    assert not var.any()
    np.testing.assert_array_equal(by_class().predict([[0.0]], [1]).mean, [[1.0]])


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, [1, 1, 1]),
        ({"label": 1}, [5, 5, 5]),
        ({"label": [0, 1, -1]}, [2, 5, 1]),
        ({"label": 1, "guidance": 1.0}, [5, 5, 5]),
        ({"label": 1, "guidance": 0.0}, [1, 1, 1]),
        ({"label": 1, "guidance": 2.5}, [11, 11, 11]),  # 1 + 2.5 (5 - 1)
        ({"label": [0, 1, -1], "guidance": 3.0}, [4, 13, 1]),
        ({"label": 1, "guidance": 0.0, "guidance_convention": "weight"}, [5, 5, 5]),
        ({"label": 1, "guidance": -1.0, "guidance_convention": "weight"}, [1, 1, 1]),
        # (1 + 1.5) 5 - 1.5
        ({"label": 1, "guidance": 1.5, "guidance_convention": "weight"}, [11, 11, 11]),
    ],
)
def test_guidance(sampler: Any, arguments: dict[str, Any], expected: list[float]) -> None:
    # Both chains end at the last prediction of x_0, here the guided one.
    x = by_class().sample(3, sampler=sampler, **arguments).x
    np.testing.assert_allclose(x[:, 0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("p_uncond", [0.0, 0.2, 1.0])
def test_labels_are_dropped_at_their_rate(p_uncond: float) -> None:
    # With data at 1, the squared error is (5 - 1)^2 for a row of class 1 and 0 without its label.
    n = 100_000
    loss = by_class().fit(np.ones((n, 1)), np.ones(n, int), p_uncond=p_uncond, n_epochs=2)
    deviation = 16 * math.sqrt(p_uncond * (1 - p_uncond) / n)
    np.testing.assert_allclose(loss, 16 * (1 - p_uncond), atol=5 * deviation + 1e-6)
    assert (loss[0] != loss[1]) == (0 < p_uncond < 1)
    half = by_class().fit(np.ones((n, 1)), np.repeat([1, -1], n // 2), p_uncond=0.0, n_epochs=1)
    np.testing.assert_allclose(half, 8.0, rtol=1e-5)
    assert by_class().fit(np.ones((n, 1)), n_epochs=1) == [0.0]


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_classes_of_two_gaussians(prediction_type: Any) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 6000)
    centers = np.array([[-1.0, 0.5], [1.0, -0.5]])
    data = centers[labels] + 0.1 * rng.standard_normal((6000, 2))
    model = reference.BackpropDiffusion(
        2, (64, 64), prediction_type=prediction_type, n_classes=2, seed=0
    )
    model.fit(data, labels, n_epochs=20, batch_size=128)
    wanted = np.repeat([0, 1], 500)
    for arguments in ({}, {"guidance": 1.5}, {"sampler": "ddim", "n_steps": 10}):
        x = model.sample(1000, label=wanted, **arguments).x
        distance = np.linalg.norm(x[:, None] - centers, axis=2)
        assert (distance.argmin(axis=1) == wanted).mean() > 0.98, arguments
        assert np.median(distance.min(axis=1)) < 0.3, arguments
    anyone = model.sample(1000).x
    share = np.linalg.norm(anyone[:, None] - centers, axis=2).argmin(axis=1).mean()
    assert 0.3 < share < 0.7


def test_schedule_by_array_and_log_sigma_features() -> None:
    # sigma = sqrt((1 - abar) / abar) = 3/4 and 4/3.
    model = reference.BackpropDiffusion(1, (), 3, [1.0, 0.64, 0.36], "log_sigma", seed=0)
    np.testing.assert_array_equal(model.alpha_bar, [1.0, 0.64, 0.36])
    np.testing.assert_allclose(model.beta, [0.0, 0.36, 1 - 0.36 / 0.64])
    (layer,) = model.net
    assert isinstance(layer, torch.nn.Linear)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, 1.0]]))
        layer.bias.zero_()
    mean = model.predict(np.zeros((3, 1)), [0, 1, 2]).mean[:, 0]
    feature = math.log(0.75) / 4
    np.testing.assert_allclose(mean, [feature, feature, -feature], rtol=1e-6)
    named = reference.BackpropDiffusion(1, (8,), 20, "linear", seed=1)
    given = reference.BackpropDiffusion(
        1, (8,), 20, reference.schedule("linear", 20).alpha_bar, seed=1
    )
    np.testing.assert_array_equal(named.sample(10).x, given.sample(10).x)


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


@pytest.mark.parametrize(
    "arguments", [{}, {"label": 1, "guidance": 2.0}, {"label": 0, "sampler": "ddim", "n_steps": 5}]
)
def test_same_seed_gives_the_same_model_and_samples(arguments: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    data, labels = rng.normal(size=(1000, 2)), rng.integers(0, 2, 1000)

    def draw(seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        model = reference.BackpropDiffusion(2, hidden=(8,), seed=seed, n_classes=2)
        model.fit(data, labels, n_epochs=1, batch_size=300)
        return model.sample(50, **arguments).x

    np.testing.assert_array_equal(draw(3), draw(3))
    assert (draw(3) != draw(4)).any()


def peer(**arguments: Any) -> reference.BackpropDiffusion:
    return reference.BackpropDiffusion(1, (), 3, **arguments)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: peer(prediction_type="noise"), ValueError, "prediction_type: got 'noise'"),
        (lambda: peer(schedule="quadratic"), ValueError, "name: got 'quadratic'"),
        (lambda: peer(time_features="fourier"), ValueError, "kind: got 'fourier'"),
        (lambda: peer(schedule=[1.0, 0.5]), ValueError, "schedule: got alpha_bar of shape"),
        (lambda: peer(schedule=[1.0, 0.5, 0.5]), ValueError, "schedule: needed alpha_bar"),
        (lambda: peer(schedule=[0.9, 0.5, 0.1]), ValueError, "schedule: needed alpha_bar"),
        (lambda: peer(schedule=[1.0, 0.5, 0.0]), ValueError, "schedule: needed alpha_bar"),
        (lambda: peer(schedule=[1.0, np.nan, 0.1]), ValueError, "schedule: needed alpha_bar"),
        (lambda: peer(n_classes=0), ValueError, "n_classes: got 0"),
        (lambda: peer(n_classes=1.5), TypeError, "n_classes: got 1.5"),
        (lambda: peer().fit([1.0]), ValueError, "X: got shape"),
        (lambda: peer().fit(np.zeros((0, 1))), ValueError, "X: got shape"),
        (lambda: peer().fit([[1.0]], [0]), ValueError, "labels: got labels, needed None"),
        (lambda: by_class().fit([[1.0]], [2]), ValueError, "labels: got 2 to 2"),
        (lambda: by_class().fit([[1.0]], [-2]), ValueError, "labels: got -2 to -2"),
        (lambda: by_class().fit([[1.0]], [0, 1]), ValueError, "labels: got shape"),
        (lambda: by_class().fit([[1.0]], [0.0]), TypeError, "labels: got an array of float64"),
        (lambda: by_class().fit([[1.0]], [0], p_uncond=1.1), ValueError, "p_uncond: got 1.1"),
        (lambda: peer().fit([[1.0]], n_epochs=0), ValueError, "n_epochs: got 0"),
        (lambda: peer().fit([[1.0]], batch_size=0), ValueError, "batch_size: got 0"),
        (lambda: peer().predict([[1.0]], [1], [0]), ValueError, "labels: got labels"),
        (lambda: peer().sample(5, label=0), ValueError, "label: got labels, needed None"),
        (lambda: by_class().sample(5, label=2), ValueError, "label: got 2 to 2"),
        (lambda: by_class().sample(5, label=[0, 1]), ValueError, "label: got shape"),
        (lambda: by_class().sample(5, label=0.5), TypeError, "label: got an array of float64"),
        (lambda: by_class().sample(5, guidance=2.0), ValueError, "guidance: got 2.0 without"),
        (
            lambda: by_class().sample(5, label=0, guidance=2.0, guidance_convention="w"),
            ValueError,
            "guidance_convention: got 'w'",
        ),
        (lambda: peer().sample(5, sampler="euler"), ValueError, "sampler: got 'euler'"),
        (lambda: peer().sample(5, variance_type="a"), ValueError, "variance_type: got 'a'"),
        (lambda: peer().sample(5, n_steps=3), ValueError, "n_steps: got 3, needed at most 2"),
        (lambda: peer().sample(0), ValueError, "n: got 0"),
    ],
)
def test_peer_refuses(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        call()
