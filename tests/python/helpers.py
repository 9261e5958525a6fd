"""Golden files, error measures, threads and a guard against half-done calls, for many files."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tagix as tx
from tagix import nn

Array = npt.NDArray[Any]
State = Mapping[str, Array]
NoiseModel = tx.Homoscedastic | tx.Heteroscedastic

# Noise that a network is made with, to be inferred beside the values, and to be known.
INFERRED: dict[str, NoiseModel] = {
    "exp": tx.Heteroscedastic(),
    "softplus": tx.Heteroscedastic("softplus", gain=0.5),
    "homoscedastic": tx.Homoscedastic(learn=True),
}
KNOWN = tx.Homoscedastic([0.5, 0.8])

# With TAGIX_REQUIRE_CUDA=1, tests on device cuda fail where there is none; with "emulated", one of
# them fails on any but the emulated one.
REQUIRED_CUDA = os.environ.get("TAGIX_REQUIRE_CUDA", "")
needs_cuda = pytest.mark.skipif(
    not REQUIRED_CUDA and not tx.cuda.is_available(), reason=str(tx.cuda.why_not())
)

# For tests that hold on every device.
on_every_device = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])

GOLDEN = Path(__file__).resolve().parents[2].parent / "shared" / "golden"
# Written by releases before this one.
OLD_FILES = Path(__file__).parent / "old_files"


# The networks of the golden data that the layers here cover.
GOLDEN_NETWORKS = [
    "linear_5_7_b1",
    "linear_5_7_b4",
    "linear_5_7_b33",
    "linear_nobias_b4",
    "linear_nanobs_b4",
    "linear_capped_b1",
    "linear_capped_b256",
    "mlp_relu_3steps",
    "mlp_mixture_relu_3steps",
    "mlp_sigmoid_3steps",
    "mlp_softplus_3steps",
    "mlp_mixture_tanh_3steps",
    "mlp_seed_3_64x4_2_b64",
]


def load_golden(name: str) -> dict[str, Array]:
    """All arrays of one golden file, by the keys that its README explains."""
    with np.load(GOLDEN / f"{name}.npz") as archive:
        return {key: archive[key] for key in archive.files}


def golden_layers(golden: Mapping[str, Array]) -> list[tuple[str, tuple[int, ...], bool]]:
    """The layers of a golden network: cuTAGI's name, its sizes, and whether it has a bias."""
    layers = []
    for index, line in enumerate(str(golden["layer_info"]).split()):
        name, sizes = line.rstrip(")").split("(")
        bias = golden.get(f"s0/before/L{index}/mu_b", np.empty(0)).size > 0
        layers.append((name, tuple(int(size) for size in sizes.split(",") if size), bias))
    return layers


def golden_steps(golden: Mapping[str, Array]) -> list[str]:
    return sorted({key.split("/")[0] for key in golden if "/" in key})


def golden_parameter(golden: Mapping[str, Array], prefix: str, name: str) -> tuple[Array, Array]:
    """Mean and variance (or their changes, as the prefix says) of a parameter such as "2.weight".

    The prefix ends where the layer begins, or just before "mu_w": "s0/before/", "s0/{}/delta_".
    """
    layer, _, kind = name.partition(".")
    prefix = prefix.format(f"L{layer}") if "{}" in prefix else f"{prefix}L{layer}/"
    return golden[f"{prefix}mu_{kind[0]}"], golden[f"{prefix}var_{kind[0]}"]


def assert_close_to_golden(actual: npt.ArrayLike, golden: Array, rtol: float = 1e-4) -> None:
    """Within a relative tolerance, with an absolute part as test_golden has it."""
    atol = 1e-5 * min(1.0, float(np.abs(golden).max()))
    np.testing.assert_allclose(np.reshape(actual, golden.shape), golden, rtol=rtol, atol=atol)


def relative_error(actual: npt.ArrayLike, expected: npt.ArrayLike) -> float:
    """max |actual - expected| / max |expected|, over all elements of an array."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def state_error(actual: State, expected: State) -> float:
    """The largest relative_error of any parameter array."""
    assert set(actual) == set(expected)
    return max(relative_error(actual[key], expected[key]) for key in expected)


def with_given_parameters(model: Any) -> Any:
    """A diffusion model that takes samples without a fit: its variances are halved."""
    state = model.net.state_dict()
    model.net.load_state_dict({k: v / (2 if k.endswith("var") else 1) for k, v in state.items()})
    return model


def same_bits(actual: State, expected: State) -> bool:
    return list(actual) == list(expected) and all(
        actual[key].tobytes() == expected[key].tobytes() for key in expected
    )


@contextmanager
def unchanged(net: nn.Sequential) -> Iterator[None]:
    """Asserts that parameters and epoch count are the same bits after the block as before."""
    before = {key: value.copy() for key, value in net.state_dict().items()}
    epochs = net.epochs_trained
    yield
    assert same_bits(net.state_dict(), before)
    assert net.epochs_trained == epochs


def regression_data(n_rows: int, seed: int = 0) -> tuple[Array, Array]:
    """Inputs (n_rows, 3) and two smooth targets with noise of standard deviation 0.3, float32."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((n_rows, 3))
    y = np.stack([np.sin(x[:, 0]) + x[:, 1] * x[:, 2], np.cos(x.sum(axis=1))], axis=1)
    y += 0.3 * generator.standard_normal(y.shape)
    return x.astype(np.float32), y.astype(np.float32)


def small(seed: int = 0, **options: Any) -> nn.Sequential:
    """A network for regression_data."""
    return nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2), seed=seed, **options)


def rewrite_file(
    path: Path,
    change: Callable[[dict[str, Any], dict[str, Array]], object],
    metadata: dict[str, str] | None = None,
) -> None:
    """Change what a file describes and holds, and write it anew, with the checksum of that."""
    import safetensors
    from safetensors.numpy import save_file

    from tagix.io._safetensors import checksum

    with safetensors.safe_open(path, framework="numpy") as file:
        kept = dict(file.metadata())
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    description = json.loads(kept["description"])
    change(description, tensors)
    kept["description"] = json.dumps(description)
    kept |= metadata or {}
    if "crc32" in kept and all(
        array.dtype.str in ("<f4", "<f8", "<i8") for array in tensors.values()
    ):
        kept["crc32"] = checksum(kept, tensors)
    save_file(tensors, path, metadata=kept)


def in_threads(functions: list[Callable[[], object]]) -> None:
    """Runs functions at a time, each in a thread, and raises the first of their exceptions."""
    errors: list[BaseException] = []

    def guarded(function: Callable[[], object]) -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive(), "deadlock"
    if errors:
        raise errors[0]
