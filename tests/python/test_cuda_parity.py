"""What device cuda computes is what the CPU computes, and the same bits each time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from device_models import DEVICES, TOLERANCE, agree, small, small_diffusion
from helpers import needs_cuda, regression_data, relative_error, same_bits, state_error

import tagix as tx
from tagix import nn


@needs_cuda
def test_equal_seeds_give_equal_parameters_on_both() -> None:
    assert same_bits(small("cuda").state_dict(), small("cpu").state_dict())


LAYERS: dict[str, Callable[[], list[nn.Layer | nn.Sequential]]] = {
    "ReLU": lambda: [nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2)],
    "no bias": lambda: [nn.Linear(3, 8, bias=False), nn.LeakyReLU(0.2), nn.Linear(8, 2)],
    "quadrature": lambda: [nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 2)],
    "first order": lambda: [nn.Linear(3, 8), nn.Sigmoid("first_order"), nn.Linear(8, 2)],
    "nested": lambda: [nn.Sequential(nn.Linear(3, 8), nn.SiLU()), nn.Linear(8, 2), nn.Softplus()],
    "user": lambda: [nn.Linear(3, 8), nn.Activation(np.sin, np.cos), nn.Linear(8, 2)],
    "user first order": lambda: [
        nn.Linear(3, 8),
        nn.Activation(np.sin, np.cos, moments="first_order"),
        nn.Linear(8, 2),
    ],
}


@needs_cuda
@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_updates_are_those_of_the_cpu(
    layers: Callable[[], list[nn.Layer | nn.Sequential]],
) -> None:
    nets = [nn.Sequential(*layers(), seed=0, device=device) for device in DEVICES]
    x, y = regression_data(60)
    y[::7, 1] = np.nan
    generator = np.random.default_rng(1)
    noise = generator.uniform(0.1, 0.5, y.shape)
    x_var = generator.uniform(0, 0.1, x.shape)
    for first, last in ((0, 1), (1, 5), (5, 30), (30, 60)):
        rows = slice(first, last)
        before = [net.update(x[rows], y[rows], noise[rows], x_var[rows]) for net in nets]
        assert agree(before[1], before[0])
    assert state_error(nets[1].state_dict(), nets[0].state_dict()) <= TOLERANCE
    assert agree(nets[1](x, x_var), nets[0](x, x_var))


@needs_cuda
@pytest.mark.parametrize("rule", [tx.Information(), tx.Capped()], ids=str)
@pytest.mark.parametrize("noise_kind", ["model", "outputs", "targets"])
def test_fit_is_that_of_the_cpu(rule: tx.UpdateRule, noise_kind: str) -> None:
    x, y = regression_data(90)
    y[::5, 0] = np.nan
    noise: Any = {
        "model": tx.Homoscedastic(std=[0.5, 0.6], decay=0.8),
        "outputs": np.array([0.25, 0.3]),
        "targets": np.random.default_rng(0).uniform(0.2, 0.4, y.shape),
    }[noise_kind]
    nets = [small(device, rule=rule) for device in DEVICES]
    options: dict[str, Any] = {"n_epochs": 3, "batch_size": 32, "validation": (x[:30], y[:30])}
    histories = [net.fit(x, y, noise=noise, **options, progress=False) for net in nets]
    assert state_error(nets[1].state_dict(), nets[0].state_dict()) <= TOLERANCE
    assert [net.epochs_trained for net in nets] == [3, 3]
    one, other = histories
    assert one.n_rows == other.n_rows == [90] * 3
    for name in (
        "train_mse",
        "predicted_var",
        "train_log_likelihood",
        "validation_mse",
        "validation_log_likelihood",
    ):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=TOLERANCE)
    np.testing.assert_array_equal(other.noise_var, one.noise_var)


@needs_cuda
def test_two_runs_give_the_same_bits() -> None:
    x, y = regression_data(70)
    states, samples = [], []
    for _ in range(2):
        net = small("cuda")
        net.fit(x, y, noise=0.25, n_epochs=2, batch_size=32, progress=False)
        net.update(x[:9], y[:9], 0.25)
        states.append(net.state_dict())
        model = small_diffusion("cuda")
        model.fit(x[:, :2], n_epochs=2, batch_size=32, progress=False)
        samples.append(model.sample(10))
    assert same_bits(*states)
    assert samples[0].x.tobytes() == samples[1].x.tobytes()
    assert samples[0].var.tobytes() == samples[1].var.tobytes()


@needs_cuda
def test_no_rows() -> None:
    assert small("cuda")(np.zeros((0, 3))).mean.shape == (0, 2)


@needs_cuda
def test_a_network_without_parameters() -> None:
    x, y = regression_data(10)
    net, expected = (nn.Sequential(nn.Tanh(), seed=0, device=device) for device in ("cuda", "cpu"))
    assert agree(net(x, x * x), expected(x, x * x))
    assert agree(net.update(x[:, :2], y, 0.25, y * y), expected.update(x[:, :2], y, 0.25, y * y))
    net.fit(x[:, :2], y, noise=0.25, n_epochs=1, progress=False)
    assert net.state_dict() == {} and agree(net.to("cpu")(x, x * x), expected(x, x * x))


@needs_cuda
@pytest.mark.parametrize("standardize", [False, True])
def test_diffusion_is_that_of_the_cpu(standardize: bool) -> None:
    data = regression_data(80)[0][:, :2] * np.array([3, 0.5]) + np.array([1, -2])
    models = [small_diffusion(device, standardize=standardize) for device in DEVICES]
    histories = [model.fit(data, n_epochs=3, batch_size=32, progress=False) for model in models]
    np.testing.assert_allclose(histories[1].train_mse, histories[0].train_mse, rtol=TOLERANCE)
    np.testing.assert_array_equal(models[1].shift, models[0].shift)
    assert state_error(models[1].net.state_dict(), models[0].net.state_dict()) <= TOLERANCE
    for trajectory in (False, True):
        one, other = (model.sample(9, trajectory=trajectory) for model in models)
        assert relative_error(other.x, one.x) <= 1e-4
        assert relative_error(other.var, one.var) <= 1e-4
        if trajectory:
            assert one.trajectory is not None and other.trajectory is not None
            assert relative_error(other.trajectory, one.trajectory) <= 1e-4
            np.testing.assert_allclose(other.trajectory[0], one.trajectory[0], rtol=1e-5)
    t = np.arange(8)
    assert agree(models[1].predict(data[:8], t), models[0].predict(data[:8], t))
