"""Noise that depends on the input, against numbers that cuTAGI produced; see test_golden.

Its outputs alternate, value, head, value, head, ..., and here the heads follow the values.
"""

from __future__ import annotations

import numpy as np
import pytest
from helpers import GOLDEN, Array, assert_close_to_golden, load_golden, on_every_device

import tagix as tx
from tagix import nn

pytestmark = [
    pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no golden data in {GOLDEN}"),
    pytest.mark.parametrize("name", ["heteros_evenexp_b9", "heteros_evenexp_nan_b9"]),
]
VALUES, HEADS = slice(0, None, 2), slice(1, None, 2)


def stored(golden: dict[str, Array], prefix: str, parameter: str) -> tuple[Array, Array]:
    """Mean and variance of values or heads, or their changes, as the prefix says."""
    letter = "w" if parameter.endswith("weight") else "b"
    shape = (6, 4) if letter == "w" else (6,)
    rows = HEADS if "noise" in parameter else VALUES
    mean, var = (golden[f"s0/{prefix}{part}_{letter}"] for part in ("mu", "var"))
    return mean.reshape(shape)[rows], var.reshape(shape)[rows]


def network(golden: dict[str, Array], device: str) -> nn.Sequential:
    net = nn.Sequential(
        nn.Linear(4, 3), rule=tx.Capped(), noise=tx.Heteroscedastic(), seed=0, device=device
    )
    state = {}
    for parameter, _ in net.named_parameters():
        for moment, value in zip(("mean", "var"), stored(golden, "before/L0/", parameter),
                                 strict=True):  # fmt: skip
            state[f"{parameter}.{moment}"] = value
    net.load_state_dict(state)
    return net


def inputs(golden: dict[str, Array]) -> tuple[Array, Array, Array]:
    """x, y and x_var."""
    return golden["s0/mu_x"], golden["s0/y"], golden["s0/var_x"]


@on_every_device
def test_forward_and_innovations(name: str, device: str) -> None:
    golden = load_golden(name)
    x, y, x_var = inputs(golden)
    assert np.isnan(y).any() == ("nan" in name)
    net = network(golden, device)
    prediction = net(x, x_var)
    assert_close_to_golden(prediction.mean, golden["s0/mu_out"][:, VALUES])
    assert_close_to_golden(prediction.epistemic, golden["s0/var_out"][:, VALUES])
    # "EvenExp" has put E v in the place of the mean of a head.
    assert_close_to_golden(prediction.aleatoric, golden["s0/mu_out"][:, HEADS])
    assert_close_to_golden(
        prediction.var, golden["s0/var_out"][:, VALUES] + golden["s0/mu_out"][:, HEADS]
    )
    innovations = net._model.innovations(x, y, None, x_var)
    for position, part in enumerate(("mu", "var")):
        delta = golden[f"s0/delta_{part}_out"]
        assert_close_to_golden(innovations["output"][position, :, :3], delta[:, VALUES])
        assert_close_to_golden(innovations["output"][position, :, 3:], delta[:, HEADS])
        assert_close_to_golden(innovations["input"][position], golden[f"s0/delta_{part}_in"], 2e-3)
    for _, parameter, shape, start, _ in net._model.parameter_layout:
        end = start + int(np.prod(shape))
        delta_mean, delta_var = innovations["parameters"][:, 0, start:end]
        _, var = stored(golden, "before/L0/", parameter)
        golden_mean, golden_var = stored(golden, "L0/delta_", parameter)
        assert_close_to_golden(var.ravel() * delta_mean, golden_mean, 2e-3)
        assert_close_to_golden(var.ravel() ** 2 * delta_var, golden_var, 2e-3)


@on_every_device
def test_update(name: str, device: str) -> None:
    golden = load_golden(name)
    x, y, x_var = inputs(golden)
    net = network(golden, device)
    prediction = net.update(x, y, x_var=x_var)
    assert_close_to_golden(prediction.mean, golden["s0/mu_out"][:, VALUES])
    n_compared = 0
    for parameter, (mean, var) in net.named_parameters():
        after_mean, after_var = stored(golden, "after/L0/", parameter)
        assert_close_to_golden(mean, after_mean, 2e-3)
        assert_close_to_golden(var, after_var, 2e-3)
        n_compared += var.size
    assert n_compared == 6 * 4 + 6
