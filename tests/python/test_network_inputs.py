"""Networks of several inputs and of images in every call, and what they look like."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from helpers import on_every_device, same_bits
from modules import two_input_network

import tagix as tx
from tagix import nn


@on_every_device
def test_several_inputs_in_all_calls(device: str) -> None:
    rng = np.random.default_rng(7)
    a, b = (rng.standard_normal((30, n)).astype(np.float32) for n in (3, 2))
    y = np.stack([a[:, 0] + b[:, 0], a[:, 1] * b[:, 1]], axis=1)
    x, b_var = {"a": a, "b": b}, np.full_like(b, 0.5)
    net = two_input_network(device=device, noise=tx.Heteroscedastic())
    net.fit(x, y, n_epochs=2, batch_size=8, progress=False, validation=(x, y), x_var={"b": b_var})
    assert same_bits({"y": net(a=a, b=b).mean}, {"y": net(x).mean})
    # An input that x_var leaves out is known exactly.
    both = net(x, {"a": np.zeros_like(a), "b": b_var})
    np.testing.assert_allclose(net(x, x_var={"b": b_var}).var, both.var, rtol=1e-5)
    assert (net(x, x_var={"b": b_var}).var > net(x).var).any()
    jacobian = net.jacobian(x)
    assert {name: each.shape for name, each in jacobian.items()} == {
        "a": (30, 2, 3),
        "b": (30, 2, 2),
    }
    step = np.float32(1e-2)
    moved = net({"a": a, "b": b + step * np.array([[1, 0]], np.float32)}).mean
    back = net({"a": a, "b": b - step * np.array([[1, 0]], np.float32)}).mean
    np.testing.assert_allclose((moved - back) / (2 * step), jacobian["b"][:, :, 0], atol=2e-3)
    assert net.covariance(x).shape == (30, 2, 2)
    assert net.attribute_variance(x, {"b": b_var}).inputs.shape == (30, 2, 5)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), net.draw(1)):
        assert other.inputs == {"a": (3,), "b": (2,)}
        assert np.isfinite(other.update(x, y).mean).all()
    assert same_bits(copy.deepcopy(net).state_dict(), pickle.loads(pickle.dumps(net)).state_dict())


def test_images_are_seen_channels_first() -> None:
    x = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    net = nn.Sequential(nn.Flatten(), nn.Identity(), input_shape=(2, 3, 4), seed=0)
    # The channels of each position lie side by side.
    assert net(x).mean[0, :4].tolist() == [0, 12, 1, 13]
    assert [layer.output_shape for layer in net.summary()] == [(24,), (24,)]


def test_gated_is_a_product_of_a_map_and_a_gate() -> None:
    net = nn.Sequential(nn.Gated(3, 2), seed=0)
    value, gate = (nn.Sequential(nn.Linear(3, 2), *rest, seed=0) for rest in ((), (nn.Sigmoid(),)))
    state = net.state_dict()
    for part, name in ((value, "value"), (gate, "gate")):
        part.load_state_dict(
            {key: state[f"0.{name}.{key.removeprefix('0.')}"] for key in part.state_dict()}
        )
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
    got, a, b = net(x), value(x), gate(x)
    np.testing.assert_allclose(got.mean, a.mean * b.mean, rtol=1e-6)
    second = (a.mean**2 + a.var) * (b.mean**2 + b.var)
    np.testing.assert_allclose(got.var, second - (a.mean * b.mean) ** 2, rtol=1e-4)


def test_summary_and_flops_of_a_network() -> None:
    net = two_input_network()
    rows = [(row.name, row.layer, row.output_shape, row.n_parameters) for row in net.summary()]
    assert rows == [
        ("a", "Linear", (9,), 3 * 9 + 9),
        ("act", "ReLU", (9,), 0),
        ("b", "Linear", (7,), 2 * 7 + 7),
        ("head", "Linear", (2,), 16 * 2 + 2),
    ]
    first, last = 3 * 9 + 2 * 7, 16 * 2
    assert net.flops(10) == (10 * (2 * first + 3 * last), 10 * (4 * first + 7 * last))
    assert str(net) == (
        "Network\n"
        "layer          output  parameters\n"
        "       a       3\n"
        "       b       2\n"
        "a      Linear  9               36\n"
        "act    ReLU    9                0\n"
        "b      Linear  7               21\n"
        "head   Linear  2               34\n"
        "91 parameters"
    )
    with pytest.raises(ValueError, match=r"^input_shape: got none"):
        nn.Sequential(nn.ReLU(), seed=0).summary()
    with pytest.raises(ValueError, match=r"^batch_size: "):
        net.flops(0)
