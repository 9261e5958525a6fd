"""Networks of any topology against float64 and against draws."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from helpers import Array, on_every_device
from modules import Twice, two_input_network

from tagix import nn

SHARE, CLIP = 0.01, 1 / 3  # of tagix.Information()


# Float64, by hand.


@dataclass
class Moments:
    mean: Array
    var: Array

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.mean + other.mean, self.var + other.var)


@dataclass
class Affine:
    """An affine map, with the innovations of a batch."""

    weight: Moments
    bias: Moments
    x: Moments = field(init=False)
    learned: tuple[Moments, Moments] = field(init=False)

    def forward(self, x: Moments) -> Moments:
        self.x, w = x, self.weight
        mean = x.mean @ w.mean.T + self.bias.mean
        second = x.mean**2 + x.var
        return Moments(mean, x.var @ (w.mean**2).T + second @ w.var.T + self.bias.var)

    def backward(self, delta: Moments) -> Moments:
        self.learned = (
            Moments(delta.mean.T @ self.x.mean, delta.var.T @ self.x.mean**2),
            Moments(delta.mean.sum(axis=0), delta.var.sum(axis=0)),
        )
        return Moments(delta.mean @ self.weight.mean, delta.var @ self.weight.mean**2)

    def update(self) -> None:
        for parameter, learned in zip((self.weight, self.bias), self.learned, strict=True):
            bound = CLIP * np.sqrt(parameter.var)
            parameter.var = parameter.var / (1 - parameter.var * learned.var)
            parameter.mean = parameter.mean + np.clip(parameter.var * learned.mean, -bound, bound)


class ReLU:
    jacobian: Array

    def forward(self, x: Moments) -> Moments:
        std = np.sqrt(x.var)
        u = x.mean / std
        cdf = 0.5 * (1 + np.vectorize(math.erf)(u / math.sqrt(2)))
        pdf = np.exp(-0.5 * u**2) / math.sqrt(2 * math.pi)
        mean = x.mean * cdf + std * pdf
        second = (x.mean**2 + x.var) * cdf + x.mean * std * pdf
        self.jacobian = cdf
        return Moments(mean, second - mean**2)

    def backward(self, delta: Moments) -> Moments:
        return Moments(delta.mean * self.jacobian, delta.var * self.jacobian**2)


class Reference:
    """What every reference network does with a batch."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.maps = {}
        for name in {key.rpartition(".")[0].rpartition(".")[0] for key in state}:
            parts = [
                Moments(*(state[f"{name}.{kind}.{m}"].astype(np.float64) for m in ("mean", "var")))
                for kind in ("weight", "bias")
            ]
            self.maps[name] = Affine(*parts)
        self.relus = [ReLU() for _ in range(4)]

    def forward(self, *inputs: Array) -> Moments:
        raise NotImplementedError

    def backward(self, delta: Moments) -> None:
        raise NotImplementedError

    def update(self, inputs: tuple[Array, ...], y: Array, noise_var: float) -> Moments:
        output = self.forward(*inputs)
        total = output.var * (1 + SHARE * (len(y) - 1)) + noise_var
        self.backward(Moments((y - output.mean) / total, -1 / total))
        for each in self.maps.values():
            each.update()
        return output

    def state(self) -> dict[str, Array]:
        return {
            f"{name}.{kind}.{moment}": getattr(getattr(each, kind), moment)
            for name, each in self.maps.items()
            for kind in ("weight", "bias")
            for moment in ("mean", "var")
        }


def known(x: Array) -> Moments:
    return Moments(x.astype(np.float64), np.zeros(x.shape))


class ResidualReference(Reference):
    """Linear, x + Linear(ReLU(Linear(x))), Linear."""

    def forward(self, *inputs: Array) -> Moments:
        h = self.maps["0"].forward(known(inputs[0]))
        inner = self.relus[0].forward(self.maps["1.body.0"].forward(h))
        return self.maps["2"].forward(h + self.maps["1.body.2"].forward(inner))

    def backward(self, delta: Moments) -> None:
        delta = self.maps["2"].backward(delta)
        inner = self.relus[0].backward(self.maps["1.body.2"].backward(delta))
        self.maps["0"].backward(delta + self.maps["1.body.0"].backward(inner))


class TwoInputsReference(Reference):
    """Two inputs, each with a layer, under one head."""

    def forward(self, *inputs: Array) -> Moments:
        parts = [
            relu.forward(self.maps[name].forward(known(x)))
            for name, x, relu in zip("ab", inputs, self.relus, strict=False)
        ]
        mean, var = (np.hstack([getattr(p, m) for p in parts]) for m in ("mean", "var"))
        return self.maps["head"].forward(Moments(mean, var))

    def backward(self, delta: Moments) -> None:
        delta = self.maps["head"].backward(delta)
        for name, part, relu in zip("ab", (slice(0, 9), slice(9, 16)), self.relus, strict=False):
            below = relu.backward(Moments(delta.mean[:, part], delta.var[:, part]))
            self.maps[name].backward(below)


def residual_network(**options: Any) -> nn.Sequential:
    body = nn.Sequential(nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 12))
    return nn.Sequential(nn.Linear(3, 12), nn.Residual(body), nn.Linear(12, 2), seed=1, **options)


@on_every_device
@pytest.mark.parametrize(
    ("make", "reference", "widths"),
    [(residual_network, ResidualReference, (3,)), (two_input_network, TwoInputsReference, (3, 2))],
)
def test_50_updates_follow_float64(
    device: str, make: Callable[..., Any], reference: type[Reference], widths: tuple[int, ...]
) -> None:
    net = make(device=device)
    truth = reference(net.state_dict())
    rng = np.random.default_rng(3)
    for step in range(50):
        inputs = tuple(rng.uniform(-1.5, 1.5, (16, n)).astype(np.float32) for n in widths)
        y = np.stack([np.sin(inputs[0][:, 0]), inputs[-1][:, 1] * inputs[0][:, 2]], axis=1)
        x: Any = inputs[0] if len(inputs) == 1 else dict(zip("ab", inputs, strict=True))
        predicted = net.update(x, y, 0.25)
        expected = truth.update(inputs, y.astype(np.float64), 0.25)
        for got, wanted in ((predicted.mean, expected.mean), (predicted.var, expected.var)):
            assert np.abs(got - wanted).max() < 1e-5 * np.abs(wanted).max(), step
    state = net.state_dict()
    for name, wanted in truth.state().items():
        assert np.abs(state[name] - wanted).max() < 1e-5 * np.abs(wanted).max(), name


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Tanh(), nn.Identity()], ids=str)
def test_x_plus_f_of_x_has_the_moments_of_draws(activation: nn.Layer) -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Residual(activation), seed=4)
    functions: dict[str, Callable[[Array], Array]] = {
        "ReLU": lambda z: np.maximum(z, 0),
        "Tanh": np.tanh,
        "Identity": lambda z: z,
    }
    x = np.array([[0.7, -1.2]], np.float32)
    state, rng, n = net.state_dict(), np.random.default_rng(5), 400_000
    draws = [
        state[f"0.{kind}.mean"]
        + np.sqrt(state[f"0.{kind}.var"]) * rng.standard_normal((n, *state[f"0.{kind}.mean"].shape))
        for kind in ("weight", "bias")
    ]
    z = draws[0] @ x[0] + draws[1]
    y = z + functions[type(activation).__name__](z)
    mean, var = (array[0] for array in net(x))
    fourth = ((y - y.mean(axis=0)) ** 4).mean(axis=0)
    assert (np.abs(y.mean(axis=0) - mean) < 5 * np.sqrt(var / n)).all()
    assert (np.abs(y.var(axis=0) - var) < 5 * np.sqrt((fourth - var**2) / n)).all()


class Nested(nn.Module):
    def __init__(self) -> None:
        self.twice, self.named = Twice(), {"mean": nn.Linear(4, 4)}

    def forward(self, x: nn.Value) -> nn.Value:
        return self.twice(self.twice(x)) + self.named["mean"](x)


def test_a_layer_that_is_called_twice_has_one_set_of_parameters() -> None:
    net = nn.Network(Nested(), (4,), seed=6)
    assert list(net.state_dict()) == [
        f"{layer}.{kind}.{moment}"
        for layer in ("twice.shared", "named.mean")
        for kind in ("weight", "bias")
        for moment in ("mean", "var")
    ]
    one = nn.Network(Twice(), (4,), seed=6)
    pair = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), seed=6)
    state = one.state_dict()
    pair.load_state_dict({f"{at}.{k.split('.', 1)[1]}": v for at in "02" for k, v in state.items()})
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_allclose(one(x).mean, pair(x).mean, rtol=1e-5, atol=1e-6)
    # Both uses learn: the innovations of one are the sums of the two's.
    y = np.ones((3, 4), np.float32)
    shared = one._model.innovations(x, y, np.array([0.5], np.float32))["parameters"]
    separate = pair._model.innovations(x, y, np.array([0.5], np.float32))["parameters"]
    both = separate[:, :, :20] + separate[:, :, 20:]
    np.testing.assert_allclose(shared, both, rtol=1e-5, atol=1e-6)
