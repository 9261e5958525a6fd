"""Convolutions and pooling against numbers of cuTAGI, with the tolerances of test_golden.

cuTAGI's images are NCHW, flattened; the core's rows have the channels last.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import GOLDEN, Array, assert_close_to_golden, load_golden, on_every_device

import tagix as tx
from tagix import nn

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no golden data in {GOLDEN}")


class PaddedAfter(nn.Module):
    """Windows of 3 by 3, 2 apart, with one position more at the right and at the bottom."""

    def __init__(self) -> None:
        self.map = nn.Conv2d(1, 2, 1, bias=False)

    def forward(self, x: Any) -> Any:
        mapped = self.map(x)
        axis = [3, 2, 0, 1, 1]
        windows = ("window", axis + axis, 1.0)
        return type(mapped)(mapped._frame, mapped._frame.builder().largest(mapped._number, windows))


def one_channel(*pooling: nn.Layer) -> list[nn.Layer]:
    return [nn.Conv2d(1, 2, 1, bias=False), *pooling]


NETWORKS: dict[str, tuple[tuple[int, ...], Callable[[], Any]]] = {
    "conv2d_k3_s1_p0": ((2, 6, 6), lambda: [nn.Conv2d(2, 3, 3)]),
    "conv2d_k3_s1_p1": ((2, 6, 6), lambda: [nn.Conv2d(2, 3, 3, padding=1)]),
    "conv2d_k3_s2_pt2": (
        (1, 6, 6),
        lambda: [nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(1, 2, 3, stride=2)],
    ),
    "tconv2d_k3_s1_p1": ((2, 4, 4), lambda: [nn.ConvTranspose2d(2, 3, 3, padding=1)]),
    "avgpool2d_k2_s2": ((1, 6, 6), lambda: one_channel(nn.AvgPool2d(2))),
    "maxpool2d_k2_s2": ((1, 6, 6), lambda: one_channel(nn.MaxPool2d(2))),
    "maxpool2d_k3_s2_p1_pt2": ((1, 6, 6), PaddedAfter),
}


def make(name: str, device: str) -> nn.Network:
    shape, layers = NETWORKS[name]
    made = layers()
    if isinstance(made, nn.Module):
        return nn.Network(made, inputs=shape, rule=tx.Capped(), seed=0, device=device)
    return nn.Sequential(*made, input_shape=shape, rule=tx.Capped(), seed=0, device=device)


def channels_last(values: Array, shape: tuple[int, ...]) -> Array:
    """(batch, flattened NCHW) as rows of the core."""
    return np.moveaxis(values.reshape(-1, *shape), 1, -1).reshape(len(values), -1)


@pytest.mark.parametrize("name", NETWORKS)
@on_every_device
def test_forward_and_innovations(name: str, device: str) -> None:
    golden = {key.removeprefix("s0/"): value for key, value in load_golden(name).items()}
    shape, net = NETWORKS[name][0], make(name, device)
    parameters = {key: value.shape for key, value in net.state_dict().items()}
    places = {key: "mu" if key.endswith("mean") else "var" for key in parameters}
    stored = {key: f"{places[key]}_{'w' if 'weight' in key else 'b'}" for key in parameters}
    net.load_state_dict(
        {key: golden[f"before/L0/{stored[key]}"].reshape(of) for key, of in parameters.items()}
    )
    x, x_var = (golden[key].reshape(-1, *shape) for key in ("mu_x", "var_x"))
    prediction = net(x, x_var)
    assert_close_to_golden(prediction.mean, golden["mu_out"])
    assert_close_to_golden(prediction.var, golden["var_out"])

    out_shape = prediction.mean.shape[1:]
    y, noise_var = (channels_last(golden[key], out_shape) for key in ("y", "var_y"))
    innovations = net._model.innovations(
        channels_last(golden["mu_x"], shape), y, noise_var, channels_last(golden["var_x"], shape)
    )
    for k, moment in enumerate(("mu", "var")):
        of_output = channels_last(golden[f"delta_{moment}_out"], out_shape)
        assert_close_to_golden(innovations["output"][k], of_output)
        of_input = channels_last(golden[f"delta_{moment}_in"], shape)
        assert_close_to_golden(innovations["input"][k], of_input, 2e-3)
    for _, parameter, extents, start, axes in net._model.parameter_layout:
        kind = "w" if "weight" in parameter else "b"
        end = start + math.prod(extents)
        var = golden[f"before/L0/var_{kind}"].reshape(extents).transpose(axes).ravel()
        for k, moment in enumerate(("mu", "var")):
            of_cutagi = golden[f"L0/delta_{moment}_{kind}"].reshape(extents).transpose(axes)
            delta = innovations["parameters"][k, 0, start:end]
            assert_close_to_golden(var ** (k + 1) * delta, of_cutagi.ravel(), 2e-3)
