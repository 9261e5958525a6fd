"""Precisions below float32, against the float64 reference and against what float32 learns."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers import Array, regression_data

import tagix as tx
from tagix import _core, metrics, nn
from tagix.datasets import load_toy

needs_bfloat16 = pytest.mark.skipif(
    not _core.has_precision("bfloat16"), reason="this processor has no products of bfloat16"
)


def network(precision: str, seed: int = 0) -> nn.Sequential:
    layers: list[nn.Layer] = []
    for n_in, n_out in pairwise((3, 64, 64, 64, 64, 2)):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1], seed=seed, precision=precision)


def norm_error(actual: Array, expected: Array) -> float:
    """|actual - expected| / |expected| in the Euclidean norm."""
    expected = np.asarray(expected, np.float64)
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


@needs_bfloat16
@pytest.mark.parametrize("precision, tolerance", [("mixed", 1e-3), ("bfloat16", 1e-2)])
def test_the_change_of_an_update_is_that_of_float64(precision: str, tolerance: float) -> None:
    pytest.importorskip("torch", reason="needs the torch extra")
    import torch

    from tagix import reference

    x, y = regression_data(2048)
    net = network(precision)
    layers: list[torch.nn.Module] = []
    for n_in, n_out in pairwise((3, 64, 64, 64, 64, 2)):
        layers += [reference.Linear(n_in, n_out), reference.ReLU()]
    truth = reference.Sequential(*layers[:-1])
    before = net.state_dict()
    truth.load_state_dict(before)
    net.update(x, y, noise=0.09)
    truth.update(x, y, 0.09)
    after, expected = net.state_dict(), truth.state_dict()
    for moment in ("mean", "var"):
        names = [name for name in before if name.endswith(moment)]
        got = np.concatenate([(after[name] - before[name]).ravel() for name in names])
        wanted = np.concatenate(
            [(np.asarray(expected[name]) - before[name]).ravel() for name in names]
        )
        assert norm_error(got, wanted) <= tolerance


@needs_bfloat16
def test_a_diffusion_model_learns_as_well_as_in_float32() -> None:
    """The held-out error on the swiss roll stays within the spread over seeds."""
    data = load_toy("swiss_roll")
    errors: dict[str, list[float]] = {}
    for precision in ("float32", "mixed", "bfloat16"):
        for seed in range(3):
            model = tx.DiffusionModel(2, standardize=False, seed=seed, precision=precision)
            model.fit(data.train, n_epochs=3, progress=False)
            error = metrics.denoising_mse(model, data.held_out)
            errors.setdefault(precision, []).append(error)
    spread = max(errors["float32"]) - min(errors["float32"])
    for precision in ("mixed", "bfloat16"):
        assert abs(np.mean(errors[precision]) - np.mean(errors["float32"])) <= spread


@needs_bfloat16
@pytest.mark.parametrize("precision", ["mixed", "bfloat16"])
def test_the_same_seed_gives_the_same_bits_at_any_number_of_threads(precision: str) -> None:
    x, y = regression_data(1000)
    states = []
    before = tx.get_num_threads()
    try:
        for n_threads in (1, 2, 3):
            tx.set_num_threads(n_threads)
            net = network(precision)
            net.fit(x, y, noise=0.09, n_epochs=2, batch_size=300, progress=False)
            states.append(net.state_dict())
    finally:
        tx.set_num_threads(before)
    for state in states[1:]:
        assert all(state[name].tobytes() == states[0][name].tobytes() for name in state)


@needs_bfloat16
def test_a_few_rows_are_not_rounded() -> None:
    x, _ = regression_data(8)
    mean, var = network("bfloat16")(x)
    expected_mean, expected_var = network("float32")(x)
    assert mean.tobytes() == expected_mean.tobytes()
    assert var.tobytes() == expected_var.tobytes()


@needs_bfloat16
def test_precision_outlives_files_and_pickles(tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="needs the safetensors extra")
    net = network("mixed")
    assert net.precision == "mixed"
    assert pickle.loads(pickle.dumps(net)).precision == "mixed"
    net.save(tmp_path / "net.safetensors")
    loaded = tx.load(tmp_path / "net.safetensors")
    assert isinstance(loaded, nn.Sequential) and loaded.precision == "mixed"
    model = tx.DiffusionModel(2, precision="bfloat16", seed=0)
    model.save(tmp_path / "model.safetensors")
    again = tx.load(tmp_path / "model.safetensors")
    assert isinstance(again, tx.DiffusionModel) and again.net.precision == "bfloat16"


def test_a_processor_without_bfloat16_runs_float32_and_says_so() -> None:
    """At a lower instruction set: a warning and float32 results; the wish itself is kept."""
    program = """
import pickle, warnings
import numpy as np
from tagix import nn

x = np.linspace(-1, 1, 60, dtype=np.float32).reshape(20, 3)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    net = nn.Sequential(nn.Linear(3, 5), seed=0, precision="mixed")
assert len(caught) == 1 and caught[0].category is RuntimeWarning, caught
assert "precision: got 'mixed', but cpu (x86-64, float32) has no products" in str(caught[0].message)
assert caught[0].filename == "<string>", caught[0].filename
assert net.precision == "float32"
assert net(x).mean.tobytes() == nn.Sequential(nn.Linear(3, 5), seed=0)(x).mean.tobytes()
warnings.simplefilter("ignore")
assert net.__getstate__()["precision"] == "mixed"
"""
    if "x86-64" not in _core.instruction_sets():
        pytest.skip("needs an x86-64 processor")
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "TAGIX_INSTRUCTION_SET": "x86-64"},
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    "precision, error", [("half", ValueError), ("Float32", ValueError), (16, TypeError)]
)
def test_unknown_precisions_are_refused(precision: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"precision: got .*needed 'float32', 'mixed' or 'bfloat16'"):
        nn.Sequential(nn.Linear(2, 1), precision=precision)  # type: ignore[arg-type]
    with pytest.raises(error, match=r"precision: got"):
        tx.DiffusionModel(2, precision=precision)  # type: ignore[arg-type]
