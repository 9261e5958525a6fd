"""The float64 reference against numbers that cuTAGI produced (float32, one thread)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import GOLDEN, GOLDEN_NETWORKS, load_golden

pytest.importorskip("torch", reason="needs the torch extra")

import torch

from tagix import reference
from tagix.reference.activations import ElementwiseActivation

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no golden data in {GOLDEN}")

Arrays = Mapping[str, npt.NDArray[Any]]

# The layers of each network as cuTAGI names them, by what they are here.
ACTIVATIONS: dict[str, ElementwiseActivation] = {
    "ReLU": reference.ReLU(moments="first_order"),
    "MixtureReLU": reference.ReLU(),
    "Sigmoid": reference.Sigmoid(moments="first_order"),
    "Tanh": reference.Tanh(moments="first_order"),
    "Softplus": reference.Softplus(moments="first_order"),
    "MixtureTanh": reference.Hardtanh(),
}


def network(golden: Arrays) -> reference.Sequential:
    layers: list[reference.Linear | ElementwiseActivation] = []
    for index, line in enumerate(str(golden["layer_info"]).split()):
        kind, sizes = line.rstrip(")").split("(")
        if kind == "Linear":
            n_in, n_out = (int(size) for size in sizes.split(","))
            bias = golden.get(f"s0/before/L{index}/mu_b", np.empty(0)).size > 0
            layers.append(reference.Linear(n_in, n_out, bias))
        else:
            layers.append(ACTIVATIONS[kind])
    return reference.Sequential(*layers, rule=reference.Capped())


def steps(golden: Arrays) -> list[str]:
    return sorted({key.split("/")[0] for key in golden if "/" in key})


def parameter_keys(name: str) -> tuple[str, str]:
    """The layer and the letter under which the files keep a parameter such as "2.weight"."""
    layer, _, kind = name.partition(".")
    return f"L{layer}", kind[0]


def before(golden: Arrays, step: str, net: reference.Sequential) -> dict[str, npt.NDArray[Any]]:
    state = {}
    for key, value in net.state_dict().items():
        name, part = key.rsplit(".", 1)
        layer, letter = parameter_keys(name)
        stored = golden[f"{step}/before/{layer}/{'mu' if part == 'mean' else 'var'}_{letter}"]
        state[key] = stored.reshape(value.shape)
    return state


def assert_close(actual: npt.ArrayLike, golden: npt.NDArray[Any], rtol: float) -> None:
    """|error| <= atol + rtol |golden|, with an atol of 1e-5, or of 1e-5 of smaller arrays."""
    atol = 1e-5 * min(1.0, float(np.abs(golden).max()))
    np.testing.assert_allclose(np.reshape(actual, golden.shape), golden, rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", GOLDEN_NETWORKS)
def test_forward_and_innovations(name: str) -> None:
    golden = load_golden(name)
    net = network(golden)
    summed = 1e-2 if name == "linear_capped_b256" else 2e-3  # cancellation in float32 sums
    for step in steps(golden):
        state = before(golden, step, net)
        net.load_state_dict(state)
        x, x_var, y, noise_var = (golden[f"{step}/{k}"] for k in ("mu_x", "var_x", "y", "var_y"))
        result = net.innovations(x, y, noise_var, x_var)
        assert_close(result.prediction.mean, golden[f"{step}/mu_out"], 1e-4)
        assert_close(result.prediction.var, golden[f"{step}/var_out"], 1e-4)
        assert_close(result.output.mean, golden[f"{step}/delta_mu_out"], 1e-4)
        assert_close(result.output.var, golden[f"{step}/delta_var_out"], 1e-4)
        assert_close(result.input.mean, golden[f"{step}/delta_mu_in"], summed)
        assert_close(result.input.var, golden[f"{step}/delta_var_in"], summed)
        for parameter, (information, precision) in result.parameters.items():
            layer, letter = parameter_keys(parameter)
            var = state[f"{parameter}.var"].astype(np.float64)
            deltas = f"{step}/{layer}/delta_"
            assert_close(var * information, golden[f"{deltas}mu_{letter}"], summed)
            assert_close(-(var**2) * precision, golden[f"{deltas}var_{letter}"], summed)


@pytest.mark.parametrize("name", GOLDEN_NETWORKS)
def test_capped_update_from_stored_deltas(name: str) -> None:
    """From stored deltas: whether a variance is reset must not hang on the deltas' rounding."""
    golden = load_golden(name)
    net = network(golden)
    batch_size = int(golden["batch"])
    for step in steps(golden):
        state = before(golden, step, net)
        for parameter in {key.rsplit(".", 1)[0] for key in state}:
            layer, letter = parameter_keys(parameter)
            mean = torch.as_tensor(state[f"{parameter}.mean"]).double().reshape(-1)
            var = torch.as_tensor(state[f"{parameter}.var"]).double().reshape(-1)
            deltas = f"{step}/{layer}/delta_"
            delta_mean = torch.as_tensor(golden[f"{deltas}mu_{letter}"]).double()
            delta_var = torch.as_tensor(golden[f"{deltas}var_{letter}"]).double()
            new_mean, new_var = reference.Capped().step(
                mean, var, delta_mean / var, -delta_var / var**2, batch_size
            )
            after = f"{step}/after/{layer}/"
            np.testing.assert_allclose(
                new_mean.numpy(), golden[f"{after}mu_{letter}"], rtol=1e-5, atol=1e-7
            )
            np.testing.assert_allclose(
                new_var.numpy(), golden[f"{after}var_{letter}"], rtol=1e-5, atol=1e-7
            )


def test_files_exercise_clip_and_reset() -> None:
    """The update test above is only as good as the cases in the files."""
    golden = load_golden("linear_capped_b256")
    var, after = golden["s0/before/L0/var_w"], golden["s0/after/L0/var_w"]
    assert np.count_nonzero(np.abs(golden["s0/L0/delta_mu_w"]) > np.sqrt(var) / 3) == 15
    assert np.count_nonzero(after == np.float32(1e-5)) == 15


@pytest.mark.parametrize(
    ("name", "activation"),
    [
        ("relu", ACTIVATIONS["ReLU"]),
        ("mixture_relu", ACTIVATIONS["MixtureReLU"]),
        ("tanh", ACTIVATIONS["Tanh"]),
        ("sigmoid", ACTIVATIONS["Sigmoid"]),
        ("softplus", ACTIVATIONS["Softplus"]),
        ("mixture_tanh", ACTIVATIONS["MixtureTanh"]),
    ],
)
def test_activations_grid(name: str, activation: ElementwiseActivation) -> None:
    golden = load_golden("activations_grid")
    mean, var = (torch.as_tensor(golden[key]).double() for key in ("mu_z", "var_z"))
    result = activation.forward(mean, var)
    for key, value in zip(("mu_a", "var_a", "jcb"), result, strict=True):
        np.testing.assert_allclose(value.numpy(), golden[f"{name}/{key}"], rtol=1e-4, atol=1e-5)
