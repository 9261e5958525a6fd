"""Jacobians and draws of networks against the float64 reference and Monte Carlo."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the torch extra")

import torch
from helpers import Array, on_every_device, relative_error, same_bits

import tagix as tx
from tagix import nn, reference

NAMES = ["Hardtanh", "Sigmoid", "Tanh", "Softplus", "SiLU", "GELU", "ReLU", "LeakyReLU", "Exp"]


def shrunk(net: nn.Sequential, factor: float = 0.3) -> nn.Sequential:
    """The network with all its variances times a factor."""
    net.load_state_dict(
        {k: v * np.float32(factor if k.endswith("var") else 1) for k, v in net.state_dict().items()}
    )
    return net


def twin(net: nn.Sequential, *layers: Any) -> reference.Sequential:
    """The reference network of these layers with the parameters of a network."""
    other = reference.Sequential(*layers, seed=0)
    other.load_state_dict(net.state_dict())
    return other


def differences(net: reference.Sequential, x: Array, x_var: Array | None = None) -> Array:
    """d mean / d x by central differences in float64, (batch, outputs, features)."""
    h = 1e-5
    steps = h * np.eye(x.shape[1])
    return np.stack(
        [(net(x + e, x_var).mean - net(x - e, x_var).mean) / (2 * h) for e in steps], axis=-1
    )


def inputs(n_rows: int, n_features: int = 3, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((n_rows, n_features)).astype(np.float32)


@on_every_device
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("first", "second"), [("exact", "exact"), ("first_order", "exact"), ("exact", "first_order")]
)
def test_jacobian_of_every_activation(name: str, first: str, second: str, device: str) -> None:
    """Through means and variances of two hidden layers, with and without uncertain inputs."""

    def layers(module: Any) -> list[Any]:
        wide = 4 if name == "Exp" else 17
        gain = {"gain_weight": 0.5} if name == "Exp" else {}
        return [
            module.Linear(3, 20, **gain),
            getattr(module, name)(moments=first),
            module.Sequential(
                module.Linear(20, wide, **gain), getattr(module, name)(moments=second)
            ),
            module.Linear(wide, 2, bias=False),
        ]

    net = shrunk(nn.Sequential(*layers(nn), seed=1, device=device))
    other = twin(net, *layers(reference))
    for n_rows in (3, 70):
        x = inputs(n_rows)
        for x_var in (None, np.full_like(x, 0.05)):
            jacobian = net.jacobian(x, x_var)
            assert jacobian.shape == (n_rows, 2, 3) and jacobian.dtype == np.float32
            assert relative_error(jacobian, differences(other, x, x_var)) < 3e-5


@on_every_device
def test_jacobian_of_a_users_activation(device: str) -> None:
    def layers(module: Any, library: Any, moments: str) -> list[Any]:
        own = module.Activation(library.sin, library.cos, moments=moments)
        return [module.Linear(3, 20), own, module.Linear(20, 10), own, module.Linear(10, 2)]

    x = inputs(40)
    for moments in ("exact", "first_order"):
        net = shrunk(nn.Sequential(*layers(nn, np, moments), seed=1, device=device))
        other = twin(net, *layers(reference, torch, moments))
        # Below first-order activations means do not depend on variances: nothing is left out.
        assert relative_error(net.jacobian(x), differences(other, x)) < 3e-5


def test_jacobian_counts_the_variances() -> None:
    """What the Jacobians of the activations alone give is some percent off."""
    layers = [nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)]
    net = nn.Sequential(*layers, seed=0)
    x = inputs(200, 2)
    state = {k: v.astype(np.float64) for k, v in net.state_dict().items()}
    chain = np.eye(2)[None]
    for depth in (0, 2, 4):
        weight = state[f"{depth}.weight.mean"]
        chain = weight @ chain
        if depth == 4:
            break
        prefix = nn.Sequential(*layers[: depth + 1], seed=0)
        prefix.load_state_dict({k: v for k, v in net.state_dict().items() if int(k[0]) <= depth})
        mean, var = (np.asarray(p, np.float64) for p in prefix(x))
        probability = torch.special.ndtr(torch.as_tensor(mean / np.sqrt(var))).numpy()
        chain = probability[:, :, None] * chain
    assert 0.01 < relative_error(chain, net.jacobian(x)) < 1


def test_jacobian_of_draws() -> None:
    """The mean over weight draws of the Jacobian, by Monte Carlo."""
    net = shrunk(nn.Sequential(nn.Linear(2, 30), nn.Tanh(), nn.Linear(30, 2), seed=3))
    x = inputs(5, 2)
    jacobians = np.array([net.draw(seed).jacobian(x) for seed in range(3000)], np.float64)
    error = jacobians.std(axis=0) / np.sqrt(len(jacobians))
    assert (np.abs(jacobians.mean(axis=0) - net.jacobian(x)) < 5 * error + 1e-5).all()


@on_every_device
def test_draws(device: str) -> None:
    layers = [nn.Linear(3, 8), nn.Sequential(nn.GELU(), nn.Linear(8, 2))]
    net = nn.Sequential(*layers, seed=7, device=device, rule=tx.Capped())
    net._model.epochs_trained = 3
    before = net.state_dict()
    drawn = net.draw(5)
    assert same_bits(net.state_dict(), before)
    state = drawn.state_dict()
    assert same_bits(state, net.draw(5).state_dict())
    assert not same_bits(state, net.draw(6).state_dict())
    for key, value in state.items():
        assert (value == 0).all() if key.endswith("var") else (value != before[key]).all()
    assert (drawn.device, drawn.rule, drawn.seed) == (net.device, net.rule, net.seed)
    assert drawn.epochs_trained == 3 and repr(drawn) == repr(net)
    # A draw follows the parameters: nothing of the initial ones is left.
    net.load_state_dict({k: np.full_like(v, 2 if "mean" in k else 0) for k, v in before.items()})
    assert all((v == (2 if "mean" in k else 0)).all() for k, v in net.draw(5).state_dict().items())


@on_every_device
@pytest.mark.parametrize("name", [*NAMES, "Identity"])
def test_a_drawn_network_is_deterministic(name: str, device: str) -> None:
    """Exact moments at variance 0 are f itself, whatever form they are computed in."""
    layers = [nn.Linear(3, 12), getattr(nn, name)(), nn.Linear(12, 2)]
    net = shrunk(nn.Sequential(*layers, seed=4, device=device)).draw(1)
    state = {k: torch.as_tensor(v, dtype=torch.float64) for k, v in net.state_dict().items()}
    f = getattr(reference, name)()
    for n_rows in (2, 70):
        x = inputs(n_rows)
        z = torch.as_tensor(x, dtype=torch.float64) @ state["0.weight.mean"].T
        hidden = f.value(z + state["0.bias.mean"])
        expected = (hidden @ state["2.weight.mean"].T + state["2.bias.mean"]).numpy()
        mean, var = net(x)
        np.testing.assert_allclose(mean, expected, rtol=1e-5, atol=1e-5)
        assert (np.asarray(var) <= 1e-10).all()
        assert np.isfinite(net.jacobian(x)).all()


def test_variances_are_those_of_draws() -> None:
    """One hidden layer: its exact moments are those of the network, so Monte Carlo must agree."""
    net = shrunk(nn.Sequential(nn.Linear(2, 40), nn.ReLU(), nn.Linear(40, 1), seed=0))
    x = inputs(6, 2)
    means = np.array([net.draw(seed)(x).mean for seed in range(4000)], np.float64)
    prediction = net(x)
    error = means.std(axis=0) / np.sqrt(len(means))
    assert (np.abs(means.mean(axis=0) - prediction.mean) < 5 * error).all()
    np.testing.assert_allclose(means.var(axis=0), prediction.var, rtol=0.2)


@on_every_device
def test_no_rows_and_errors(device: str) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), seed=0, device=device)
    assert net.jacobian(np.zeros((0, 3))).shape == (0, 2, 3)
    assert net.covariance(np.zeros((0, 3))).shape == (0, 2, 2)
    for call in (net.jacobian, net.covariance):
        with pytest.raises(ValueError, match=r"x: got 2 features, needed 3"):
            call(np.zeros((5, 2)))
        with pytest.raises(ValueError, match=r"x: got"):
            call(np.full((5, 3), np.nan))
        with pytest.raises(ValueError, match=r"x_var: got"):
            call(np.zeros((5, 3)), -np.ones((5, 3)))
        with pytest.raises(TypeError, match=r"x: got"):
            call("text")
    with pytest.raises(ValueError, match=r"seed: got -1"):
        net.draw(-1)
    with pytest.raises(TypeError, match=r"seed: got 1.5"):
        net.draw(1.5)  # type: ignore[arg-type]
