"""What networks predict and learn is, bit for bit, what recorded_bits.json says.

A change of how the core is organized promises to change no number, and these tests hold it to that.
For each of the cases in bit_cases.py the record has hashes of predictions, Jacobians and
covariances, and of parameters and predictions after updates and fits. A change that is meant to
give other numbers records them anew, and its commit says why they are others:

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

Inputs and targets are made without the C library. For float32 the core has exponentials, logarithms
and sines of its own. What is left of the C library's functions, all in float64, is the limit of the
test for drift (erfc) and, by numpy, the tables of a diffusion model (cos, exp). They are rounded to
float32, so that a last bit of them hardly ever matters: all cases have the same bits without what
the C library and numpy do faster on new processors.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bit_cases import Array, Case, cases, numbers, variances
from helpers import needs_cuda

import tagix as tx
from tagix import _core, nn

Hashes = dict[str, dict[str, str]]  # of each case, by what is hashed
Record = dict[str, Hashes]  # by what the bits depend on

RECORD = Path(__file__).with_name("recorded_bits.json")
HOW_TO_RECORD = "python tests/python/test_bits.py --record"

# All that there are, so that one which this processor lacks is a skip and not silence.
INSTRUCTION_SETS = ("x86-64-v4-bf16", "x86-64-v4", "x86-64-v3", "x86-64", "baseline")
PRECISIONS = ("float32", "mixed", "bfloat16")


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
        hashes["draw"] = digest(*state(network().draw(3)))
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
