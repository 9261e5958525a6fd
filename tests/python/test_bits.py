"""What networks predict and learn is, bit for bit, what recorded_bits.json says.

A change of how the core is organized promises to change no number, and these tests hold it to that.
For each of the cases below the record has hashes of predictions, Jacobians and covariances, and of
parameters and predictions after updates and fits. A change that is meant to give other numbers
records them anew, and its commit says why they are others:

    python tests/python/test_bits.py --record

This replaces the records of all that runs here, which is every instruction set of this processor
and, where it is built, device cuda; the others stay as they are. To record both, use a build with
device cuda emulated, as tools/test.sh makes it.

The bits depend on what the keys of the record name:

- the instruction set: in what order sums are added up goes by the length of its vectors, and
  without fused multiply-adds every product is rounded;
- the precision;
- the device, where it is cuda;
- the compiler, which decides which products and sums become fused multiply-adds. Its name is read
  from the compiled core. That of nvcc is not there: on a GPU, record with the nvcc that you use.

Of what has no record, a test is skipped, and says what is missing. Bits of the CPU do not depend on
the number of threads, nor on whether the build has device cuda.

Inputs and targets are whole numbers over powers of two, made without the C library. For float32 the
core has exponentials, logarithms and sines of its own. What is left of the C library's functions,
all in float64, is the limit of the test for drift (erfc) and, by numpy, the tables of a diffusion
model (cos, exp). They are rounded to float32, so that a last bit of them hardly ever matters: all
cases have the same bits without what the C library and numpy do faster on new processors.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import needs_cuda

import tagix as tx
from tagix import _core, nn

Array = npt.NDArray[Any]
Hashes = dict[str, dict[str, str]]  # of each case, by what is hashed
Record = dict[str, Hashes]  # by what the bits depend on

RECORD = Path(__file__).with_name("recorded_bits.json")
HOW_TO_RECORD = "python tests/python/test_bits.py --record"

# All that there are, so that one which this processor lacks is a skip and not silence.
INSTRUCTION_SETS = ("x86-64-v4-bf16", "x86-64-v4", "x86-64-v3", "x86-64", "baseline")
PRECISIONS = ("float32", "mixed", "bfloat16")


# Data.


def numbers(*shape: int, seed: int) -> Array:
    """Multiples of 1/64 in [-2, 2), from the bits of a generator that numpy promises to keep."""
    raw = np.random.PCG64(seed).random_raw(int(np.prod(shape)))
    return ((raw >> np.uint64(56)).astype(np.float32) / 64 - 2).reshape(shape)


def variances(*shape: int, seed: int) -> Array:
    """Multiples of 1/256 in [0, 1)."""
    return (numbers(*shape, seed=seed) + 2) / 4


def three_columns(n_rows: int, seed: int) -> Array:
    return numbers(n_rows, 3, seed=seed)


def a_class_and_two_columns(n_rows: int, seed: int) -> Array:
    """Two columns and one of three classes as one-hot columns; every fourth row has none."""
    x = numbers(n_rows, 5, seed=seed)
    x[:, 2:] = np.eye(4, 3, dtype=np.float32)[np.arange(n_rows) % 4]
    return x


def two_targets(x: Array) -> Array:
    """Exact in float32, as a product of two inputs has 16 bits."""
    return np.stack([x[:, 0] * x[:, 1] - x[:, 2], x[:, 2] * x[:, 2] / 2], axis=1)


def one_target(x: Array) -> Array:
    return two_targets(x)[:, :1]


def missing_targets(x: Array) -> Array:
    """Some of one output, all of some rows, and all of the first row."""
    y = two_targets(x)
    y[1::3, 0] = np.nan
    y[::5] = np.nan
    return y


def targets_that_jump(x: Array) -> Array:
    """Far off what was learned before wherever the first input is large."""
    return np.where(x[:, :1] > 1, np.float32(20), one_target(x))


def labels(n_classes: int) -> Callable[[Array], Array]:
    """A class by the first input; -1, a missing one, where the second is large."""

    def of(x: Array) -> Array:
        classes = np.floor((x[:, 0] + 2) / 4 * n_classes).astype(np.int64)
        return np.where(x[:, 1] > 1.75, -1, classes)

    return of


# Cases.


@dataclass(frozen=True)
class Case:
    """A network, and what is done with it."""

    layers: tuple[nn.Layer | nn.Sequential, ...]
    options: Mapping[str, Any] = field(default_factory=dict)  # of the network
    inputs: Callable[[int, int], Array] = three_columns
    targets: Callable[[Array], Array] = two_targets
    noise: Any = 0.25  # of an update and a fit; a function gives it for a number of rows
    weighted: bool = False  # whether rows have weights
    uncertain: bool = False  # whether the inputs of a fit are
    rows: tuple[int, ...] = (3, 21)  # predicted at once: few have an executor of their own
    updates: Mapping[int, int] = field(default_factory=lambda: {1: 50, 16: 50})  # by batch size
    epochs: Mapping[int, int] = field(default_factory=lambda: {1: 1, 16: 3})  # of a fit, likewise
    every_precision: bool = False  # whether it has products that a precision rounds


def relu_layers(*widths: int, bias: bool = True) -> tuple[nn.Layer, ...]:
    layers: list[nn.Layer] = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out, bias), nn.ReLU()]
    return tuple(layers[:-1])


def ratio(z: Array) -> Array:
    """A function without the C library, for an activation of a user's own."""
    return z / (1 + z * z)


def slope_of_ratio(z: Array) -> Array:
    return (1 - z * z) / ((1 + z * z) * (1 + z * z))


def layerwise(case: Case) -> Case:
    """The same network with an identity before its last layer that is a user's own.

    No executor fuses it, so that the network runs one layer after the other.
    """
    identity = nn.Activation(np.copy, np.ones_like, moments="first_order")
    return replace(case, layers=(*case.layers[:-1], identity, case.layers[-1]))


def activation_cases() -> Iterator[tuple[str, Case]]:
    """Every activation once, in a tiny network, by both kinds of moments."""
    kinds: list[tuple[type[Any], dict[str, Any]]] = [
        (nn.ReLU, {}),
        (nn.LeakyReLU, {"negative_slope": 0.125}),
        (nn.Hardtanh, {}),
        (nn.Sigmoid, {}),
        (nn.Tanh, {}),
        (nn.Softplus, {}),
        (nn.SiLU, {}),
        (nn.GELU, {}),
        (nn.Exp, {}),
        (nn.Activation, {"value": ratio, "derivative": slope_of_ratio}),
    ]
    for kind, arguments in kinds:
        gain = 0.25 if kind is nn.Exp else 1.0  # what is learned must not overflow
        for moments in ("exact", "first_order"):
            layers = (
                nn.Linear(3, 7, gain_weight=gain),
                kind(**arguments, moments=moments),
                nn.Linear(7, 2, gain_weight=gain),
            )
            yield f"{kind.__name__}, {moments}", Case(layers)
    yield "Identity", Case((nn.Linear(3, 7), nn.Identity(), nn.Linear(7, 2)))


def cases() -> dict[str, Case]:
    mlp = relu_layers(3, 17, 2)
    one_output = relu_layers(3, 17, 1)
    own = nn.Activation(ratio, slope_of_ratio)
    few: dict[str, Any] = {"updates": {16: 2}, "epochs": {16: 1}}
    large: dict[str, Any] = {"rows": (5000,), "updates": {5000: 1}, "epochs": {}}
    found = dict(activation_cases()) | {
        # Topologies.
        "Linear": Case((nn.Linear(3, 2),), every_precision=True),
        "Linear, Linear": Case((nn.Linear(3, 5), nn.Linear(5, 2, init="xavier"))),
        "1 hidden layer": Case(mlp, every_precision=True),
        "2 hidden layers": Case(relu_layers(3, 19, 33, 2), every_precision=True),
        "3 hidden layers": Case(relu_layers(3, 21, 9, 37, 2), every_precision=True),
        "no bias": Case(relu_layers(3, 19, 2, bias=False)),
        "one output": Case(one_output, targets=one_target),
        "nested": Case(
            (
                nn.Sequential(nn.Linear(3, 11), nn.Sequential(nn.ReLU(), nn.Linear(11, 6))),
                nn.Sequential(nn.Tanh()),
                nn.Linear(6, 2),
            )
        ),
        "activations at both ends": Case(
            (nn.Tanh(), nn.Linear(3, 10), nn.SiLU(), nn.ReLU(), nn.Linear(10, 2), nn.Softplus())
        ),
        "activations alone": Case(
            (nn.Tanh(), nn.ReLU()), targets=lambda x: x / 2, updates={16: 1}, epochs={}
        ),
        "own activation at the end": Case((nn.Linear(3, 9), nn.ReLU(), nn.Linear(9, 2), own)),
        "own activation, nested": Case(
            (nn.Sequential(nn.Linear(3, 9), own), nn.ReLU(), nn.Linear(9, 2, bias=False))
        ),
        "ClassEmbedding": Case(
            (nn.ClassEmbedding(2, 3, 4), nn.Linear(6, 13), nn.ReLU(), nn.Linear(13, 2)),
            inputs=a_class_and_two_columns,
        ),
        # Sizes: CUDA has products of at least 64 in each dimension on tensor cores, and fuses
        # networks of at most 128 features; the CPU fuses those of at most 131 072 parameters.
        "wide": Case(
            relu_layers(3, 70, 90, 2),
            rows=(100,),
            updates={100: 2},
            epochs={},
            every_precision=True,
        ),
        "wider": Case(relu_layers(3, 150, 2), **few),
        "many parameters": Case(relu_layers(3, 300, 450, 2), **few),
        "many rows": Case(mlp, **large, every_precision=True),
        "many rows, own activation": Case((nn.Linear(3, 9), own, nn.Linear(9, 2)), **large),
        # Noise.
        "noise of each output": Case(mlp, noise=np.array([0.25, 0.5], np.float32)),
        "noise of each target": Case(
            mlp, noise=lambda n_rows: variances(n_rows, 2, seed=4) + np.float32(0.125)
        ),
        "noise that decays": Case(mlp, noise=tx.Homoscedastic([1, 2], min_std=0.5, decay=0.75)),
        "known noise": Case(mlp, {"noise": tx.Homoscedastic([0.5, 0.75])}, noise=None),
        "inferred noise": Case(
            mlp, {"noise": tx.Homoscedastic(learn=True)}, noise=None, every_precision=True
        ),
        "Heteroscedastic, exp": Case(
            mlp, {"noise": tx.Heteroscedastic()}, noise=None, every_precision=True
        ),
        "Heteroscedastic, softplus": Case(
            mlp, {"noise": tx.Heteroscedastic("softplus", gain=0.5)}, noise=None
        ),
        "Heteroscedastic, Capped": Case(
            mlp, {"noise": tx.Heteroscedastic(), "rule": tx.Capped()}, noise=None
        ),
        "Heteroscedastic, own activation": Case(
            (nn.Linear(3, 9), own, nn.Linear(9, 2)), {"noise": tx.Heteroscedastic()}, noise=None
        ),
        # Classes.
        "Softmax": Case(
            relu_layers(3, 17, 4), {"likelihood": tx.Softmax(4)}, targets=labels(4), noise=None
        ),
        "HierarchicalSoftmax": Case(
            relu_layers(3, 17, 4),
            {"likelihood": tx.HierarchicalSoftmax(5)},
            targets=labels(5),
            noise=None,
        ),
        "Remax": Case(
            relu_layers(3, 17, 4), {"likelihood": tx.Remax(4)}, targets=labels(4), noise=None
        ),
        # What is learned of targets.
        "Information": Case(mlp, {"rule": tx.Information(share=0.125, clip=0.25)}),
        "Capped": Case(mlp, {"rule": tx.Capped()}),
        "Capped at 3": Case(mlp, {"rule": tx.Capped(3)}),
        "weights of rows": Case(mlp, weighted=True),
        "weights of rows, Softmax": Case(
            relu_layers(3, 17, 4),
            {"likelihood": tx.Softmax(4)},
            targets=labels(4),
            noise=None,
            weighted=True,
        ),
        "uncertain inputs": Case(mlp, uncertain=True, updates={}),
        "missing targets": Case(mlp, targets=missing_targets),
        "missing targets, Heteroscedastic": Case(
            mlp, {"noise": tx.Heteroscedastic()}, targets=missing_targets, noise=None
        ),
        "Forgetting": Case(
            mlp, {"forgetting": tx.Forgetting(process_noise=2**-10, drift_level=None)}
        ),
        "Forgetting, drift": Case(
            one_output,
            {"forgetting": tx.Forgetting(process_noise=2**-16, window=8)},
            targets=targets_that_jump,
        ),
    }
    one_by_one = (
        "Tanh, exact",
        "Linear",
        "2 hidden layers",
        "activations at both ends",
        "nested",
        "no bias",
        "ClassEmbedding",
        "wide",
        "many rows",
        "Heteroscedastic, exp",
        "inferred noise",
        "Softmax",
        "Forgetting",
        "missing targets",
    )
    return found | {f"{name}, layerwise": layerwise(found[name]) for name in one_by_one}


# What is hashed.


def digest(*arrays: Any) -> str:
    """16 hexadecimal digits of the shapes and the bytes of arrays."""
    result = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array)
        assert np.isfinite(array).all()  # so that a hash is of numbers, and not of what went wrong
        result.update(f"{array.dtype.str}{array.shape}".encode())
        result.update(array.tobytes())
    return result.hexdigest()[:16]


def state(net: nn.Sequential) -> list[Array]:
    return [np.array([net.n_drifts]), *net.state_dict().values()]


def predicted(prediction: tx.Prediction) -> list[Array]:
    return [prediction.mean, prediction.var, prediction.epistemic, prediction.aleatoric]


def case_hashes(case: Case, device: str, precision: str) -> dict[str, str]:
    """The hashes of a case, by what was done."""

    def network() -> nn.Sequential:
        options = {"device": device, "precision": precision, **case.options}
        return nn.Sequential(*case.layers, seed=5, **options)

    def inputs(seed: int) -> Iterator[tuple[Array, Array | None]]:
        for n_rows in case.rows:
            x = case.inputs(n_rows, seed)
            yield from ((x, None), (x, variances(*x.shape, seed=seed + 1)))

    def predictions(net: nn.Sequential) -> list[Array]:
        arrays = []
        for x, x_var in inputs(seed=1):
            arrays += predicted(net(x, x_var))
            if net.likelihood is not None:
                arrays.append(net.predict_proba(x, x_var))
        return arrays

    def data(n_rows: int, seed: int) -> dict[str, Any]:
        x = case.inputs(n_rows, seed)
        noise = case.noise(n_rows) if callable(case.noise) else case.noise
        weight = variances(n_rows, seed=seed + 1) * 2 + 0.5 if case.weighted else None
        return {"x": x, "y": case.targets(x), "noise": noise, "sample_weight": weight}

    net = network()
    hashes = {
        "predict": digest(*predictions(net)),
        "jacobian": digest(*(net.jacobian(x, x_var) for x, x_var in inputs(seed=1))),
        "covariance": digest(*(net.covariance(x, x_var) for x, x_var in inputs(seed=1))),
    }
    for batch_size, n_updates in case.updates.items():
        net, before = network(), []
        for step in range(n_updates):
            rows = data(batch_size, seed=100 + step)
            # Every third batch has uncertain inputs.
            x_var = variances(*rows["x"].shape, seed=step) if step % 3 == 2 else None
            before += predicted(net.update(**rows, x_var=x_var))
        hashes[f"update by {batch_size}"] = digest(*before, *state(net), *predictions(net))
    if case.updates:
        drawn = net.draw(3)
        hashes["draw"] = digest(*state(drawn), *predictions(drawn))
    for batch_size, n_epochs in case.epochs.items():
        net = network()
        # A last batch of 5, which is few, after batches of 16.
        rows = data(53, 7)
        x_var = variances(*rows["x"].shape, seed=9) if case.uncertain else None
        history = net.fit(
            **rows, x_var=x_var, n_epochs=n_epochs, batch_size=batch_size, progress=False
        )
        hashes[f"fit by {batch_size}"] = digest(
            *state(net), *predictions(net), np.array(history.train_mse, np.float32)
        )
    return hashes


def diffusion_hashes(device: str, precision: str, **settings: Any) -> dict[str, str]:
    """A small model, with classes if the settings say so, and samples with their uncertainty."""
    model = tx.DiffusionModel(
        2, (16, 9), n_steps=8, seed=5, device=device, precision=precision, **settings
    )
    rows = numbers(53, 2, seed=9)
    if "n_classes" in settings:
        label = 1
        model.fit(rows, np.arange(53) % 3, n_epochs=2, batch_size=16, progress=False)
        drawn = model.sample(9, label=label, guidance=2.0, uncertainty=True, seed=2)
    else:
        label = None
        model.fit(rows, n_epochs=2, batch_size=16, progress=False)
        drawn = model.sample(9, trajectory=True, uncertainty=True, seed=2)
    by_heun = model.sample(9, label=label, sampler=tx.samplers.Heun(n_steps=4), seed=2)
    return {
        "fit": digest(*state(model.net)),
        "sample": digest(drawn.x, drawn.var, drawn.epistemic, drawn.aleatoric, drawn.score),
        "sample by Heun": digest(by_heun.x, by_heun.var),
    }


DIFFUSION: dict[str, dict[str, Any]] = {
    "DiffusionModel": {},
    "DiffusionModel, classes": {"n_classes": 3, "class_features": "embedding"},
}


def hashes(device: str, precision: str) -> Hashes:
    """Those of all cases."""
    found = {
        name: case_hashes(case, device, precision)
        for name, case in cases().items()
        if case.every_precision or precision == "float32"
    }
    for name, settings in DIFFUSION.items():
        found[name] = diffusion_hashes(device, precision, **settings)
    return found


# The record.


def compiler() -> str:
    """What the core was compiled with, as compilers write it into what they compile."""
    compiled = Path(_core.__file__).read_bytes()
    clang = re.search(rb"clang version (\d+)", compiled)
    if clang:  # first, since the C library's start-up code may well be GCC's
        return f"Clang {clang[1].decode()}"
    gcc = re.search(rb"GCC: \([^)]*\) (\d+)", compiled)
    return f"GCC {gcc[1].decode()}" if gcc else "an unknown compiler"


def found_here(device: str) -> Record:
    """The hashes of a device at every precision that it has, in this process."""
    tx.set_num_threads(1)
    return {
        f"{_core.backend_name(device, precision)}, {compiler()}": hashes(device, precision)
        for precision in PRECISIONS
        if _core.has_precision(precision, device)
    }


def found_by(device: str, instruction_set: str | None = None) -> Record:
    """The same in a process of its own, as the instruction set is chosen once in each."""
    environment = dict(os.environ)
    if instruction_set is not None:
        environment["TAGIX_INSTRUCTION_SET"] = instruction_set
    result = subprocess.run(
        [sys.executable, "-W", "error", __file__, "--print", device],
        capture_output=True,
        text=True,
        timeout=600,
        env=environment,
    )
    assert result.returncode == 0, result.stderr
    found: Record = json.loads(result.stdout)
    return found


def recorded() -> Record:
    record: Record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    return record


def write_record() -> None:
    """Replace what was recorded for all that runs here; one line for each case."""
    record = recorded()
    for instruction_set in _core.instruction_sets():
        record |= found_by("cpu", instruction_set)
    if tx.cuda.is_available():
        record |= found_by("cuda")
    parts = []
    for key in sorted(record):
        lines = [
            f"    {json.dumps(name)}: {json.dumps(record[key][name], sort_keys=True)}"
            for name in sorted(record[key])
        ]
        parts.append(f"  {json.dumps(key)}: {{\n" + ",\n".join(lines) + "\n  }")
    RECORD.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def differences(found: Hashes, expected: Hashes) -> list[str]:
    """What is not the same, a line for each case."""
    lines = []
    for name in sorted(found.keys() | expected.keys()):
        here, there = found.get(name, {}), expected.get(name, {})
        if not here or not there:
            lines.append(f"{name}: {'recorded, but no case' if there else 'not recorded'}")
        elif here != there:
            parts = sorted(here.keys() | there.keys())
            lines.append(f"{name}: {', '.join(p for p in parts if here.get(p) != there.get(p))}")
    return lines


def check(found: Record) -> None:
    """Fails where bits are not those recorded, and skips where there is no record."""
    assert found
    record = recorded()
    report = [
        f"{key}, {line}"
        for key in sorted(found.keys() & record.keys())
        for line in differences(found[key], record[key])
    ]
    assert not report, f"other bits than in {RECORD.name}\n" + "\n".join(report)
    missing = sorted(found.keys() - record.keys())
    if missing:
        names = "; ".join(missing)
        pytest.skip(f"{RECORD.name} has no record of: {names}. To make one: {HOW_TO_RECORD}")


# Tests.


@pytest.mark.parametrize("instruction_set", INSTRUCTION_SETS)
def test_the_cpu_gives_the_recorded_bits(instruction_set: str) -> None:
    if instruction_set not in _core.instruction_sets():
        pytest.skip(f"this build or this processor has no {instruction_set}")
    check(found_by("cpu", instruction_set))


def test_every_instruction_set_is_tested() -> None:
    assert set(_core.instruction_sets()) <= set(INSTRUCTION_SETS)


@needs_cuda
def test_cuda_gives_the_recorded_bits() -> None:
    check(found_by("cuda"))


@pytest.mark.parametrize("name", ["many rows", "many rows, own activation", "many parameters"])
def test_threads_change_no_bit(name: str) -> None:
    """Of cases with enough work for more than one."""
    found = []
    for n_threads in (1, 2):
        tx.set_num_threads(n_threads)  # conftest.py puts it back
        found.append(case_hashes(cases()[name], "cpu", "float32"))
    assert found[0] == found[1]


def test_there_is_drift_where_a_case_says_so() -> None:
    case = cases()["Forgetting, drift"]
    net = nn.Sequential(*case.layers, seed=5, **case.options)
    x = case.inputs(53, 7)
    net.fit(x, case.targets(x), noise=case.noise, n_epochs=1, batch_size=1, progress=False)
    assert net.n_drifts > 0


def test_one_bit_is_a_difference() -> None:
    """Of one parameter out of all, and so is a case that either side lacks."""
    net = nn.Sequential(nn.Linear(3, 2), seed=5)
    before = digest(*state(net))
    parameters = net.state_dict()
    weight = parameters["0.weight.var"]
    weight[1, 2] = np.nextafter(weight[1, 2], np.float32(0))
    net.load_state_dict(parameters)
    after = digest(*state(net))
    same: Hashes = {"a": {"predict": before, "draw": before}}
    assert differences(same, same) == []
    assert differences({"a": {"predict": after, "draw": before}}, same) == ["a: predict"]
    assert differences({"a": {"predict": before}}, same) == ["a: draw"]
    assert differences({}, same) == ["a: recorded, but no case"]
    assert differences(same, {}) == ["a: not recorded"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--record", action="store_true", help="replace the records of what is here")
    action.add_argument("--print", metavar="DEVICE", help="print the hashes of 'cpu' or 'cuda'")
    arguments = parser.parse_args()
    if arguments.record:
        write_record()
    else:
        json.dump(found_here(arguments.print), sys.stdout)


if __name__ == "__main__":
    main()
