"""Speed of the workloads on a GPU beside PyTorch: the tables and their numbers."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import cycle, pairwise
from typing import Any

import numpy as np
import torch

import tagix as tx
from benchmarks import gpu_diffusion
from benchmarks.contest import in_a_line, numbers_of, ratio_cells, ratios_of
from benchmarks.gpu_opponents import (
    NOISE_VAR,
    OPPONENTS,
    Contender,
    device_block,
    resident_batches,
    synchronised_block,
)
from benchmarks.workloads import Workload, tagix_network
from tagix import _core, nn
from tagix.bench.timing import Spread, interleaved_blocks

# Floating point operations of an epoch of tagix: it is to take some 10 ms.
_FLOPS_PER_EPOCH = {"cuda": 2e11, "cpu": 2e8}
_TABLE_FLOATS = 2**25  # at most, of inputs and targets


def why_not(device: str) -> str | None:
    """Why a device cannot be measured here, in words; None where it can."""
    if device == "cpu":
        return None
    # Asked for by name, as a build of the library without that module can be measured on the CPU.
    cuda: Any = getattr(tx, "cuda", None)
    if cuda is None:
        return "this tagix has no tagix.cuda"
    reason: str | None = cuda.why_not()
    if reason is None and not torch.cuda.is_available():
        return f"PyTorch {torch.__version__} finds no CUDA device"
    return reason


def run(
    workloads: list[Workload],
    opponents: list[str],
    precisions: list[str],
    device: str,
    quick: bool,
    seconds_budget: float,
) -> dict[str, Any]:
    """Measure workloads beside opponents, print tables and return the numbers.

    Args:
        workloads: What to run.
        opponents: Names in OPPONENTS.
        precisions: Of tagix, in columns.
        device: "cuda"; or "cpu", to see that all this runs.
        quick: 3 short rounds in place of 9.
        seconds_budget: No opponent is set up once its workload's share of these is spent.
    """
    start = time.perf_counter()
    torch.set_num_threads(tx.get_num_threads())
    torch.set_float32_matmul_precision("highest")  # no TF32
    n_rounds, block_seconds = (3, 0.02) if quick else (9, 0.1)
    peaks = measure_peaks(device)
    print(f"{device_name(device)}, PyTorch {torch.__version__}, {n_rounds} rounds")
    print(
        f"peaks measured here: {peaks['flops'] / 1e12:.3g} TFLOP/s (float32 matrix product without"
        f" TF32), {peaks['bytes_per_second'] / 1e9:.4g} GB/s (copy, read and written)"
    )
    print("ratio = time of tagix / time of the opponent: median (least - greatest)\n")
    diffusion: dict[str, Any]
    try:
        diffusion = gpu_diffusion.run(device, quick)
    except Exception as error:  # the workloads are measured all the same
        diffusion = {"failures": {"diffusion": in_a_line(error)}}
        print(f"    does not run: {in_a_line(error)}")
    print(
        "\nshares of the peaks: FLOP of matrix products, and the fewest bytes that a step can move,"
        "\nwhich may be beyond that of memory where parameters stay in cache\n"
    )
    print(f"{'':30}{'us/step':>10}{'TFLOP/s':>9}{'FLOP':>7}{'bytes':>7}", end="")
    print("".join(f"  {'ratio of ' + precision:24}" for precision in precisions))
    results = []
    for k, workload in enumerate(workloads):
        if time.perf_counter() - start > seconds_budget:
            print(f"{workload.name} skipped: the {seconds_budget:.0f} s are spent")
            continue
        stop = start + seconds_budget * (k + 1) / (len(workloads) + 1)
        results.append(
            _measure(workload, opponents, precisions, device, peaks, n_rounds, block_seconds, stop)
        )
    return {
        "device": device_name(device),
        "platform": platform.platform(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "peaks": peaks,
        "seconds": time.perf_counter() - start,
        "diffusion": diffusion,
        "workloads": results,
    }


def device_name(device: str) -> str:
    """The card's name, or the backend's on the CPU."""
    if device == "cpu":
        return _core.backend_name("cpu")
    cuda: Any = getattr(tx, "cuda", None)
    return str(cuda.device_name())


def measure_peaks(device: str) -> dict[str, float]:
    """What the device reaches: "flops" of a float32 matrix product, "bytes_per_second" of a copy.

    FLOP/s without TF32; bytes read and written. Medians of 5.
    """
    size, n_copied = (8192, 2**28) if device == "cuda" else (512, 2**22)
    left, right = (torch.randn((size, size), device=device) for _ in range(2))
    source = torch.randn(n_copied, device=device)
    product, target = torch.empty_like(left), torch.empty_like(source)
    blocks = {
        "product": device_block(lambda: torch.mm(left, right, out=product), device),
        "copy": device_block(lambda: target.copy_(source), device),
    }
    seconds = interleaved_blocks(blocks, 5, block_seconds=0.05)
    times = {name: Spread.of(values).median for name, values in seconds.items()}
    return {
        "flops": 2 * size**3 / times["product"],
        "bytes_per_second": 2 * source.nbytes / times["copy"],
    }


def fewest_bytes(workload: Workload, is_tagi: bool) -> int:
    """Bytes that a step must move: its data and outputs once, and parameters with their state.

    TAGI reads two numbers for each parameter, and writes two to train; Adam reads and writes
    three, and a prediction by PyTorch reads one.
    """
    n_in, n_out = workload.sizes[0], workload.sizes[-1]
    n_parameters = sum(o * (i + 1) for i, o in pairwise(workload.sizes))
    if workload.trains:
        per_parameter, outputs = (4 if is_tagi else 6), n_out
    else:
        per_parameter, outputs = (2, 2 * n_out) if is_tagi else (1, n_out)
    return 4 * (workload.batch_size * (n_in + outputs) + per_parameter * n_parameters)


def tagix_contender(workload: Workload, device: str, precision: str) -> Contender:
    """Training by `fit`, an epoch a call, or predictions of data on the device.

    An epoch runs in the core from end to end. What a fit does before its second epoch (checks, the
    table's way to the device, the capture of graphs) is not part of the time; it is in `details`.
    """
    net = tagix_network(workload.sizes, device=device, precision=precision)
    if not workload.trains:
        return _prediction(net, workload, device)
    row_floats = workload.sizes[0] + workload.sizes[-1]
    n_batches = max(
        1,
        min(
            4096,
            int(_FLOPS_PER_EPOCH[device] / workload.tagix_flops()),
            _TABLE_FLOATS // (workload.batch_size * row_floats),
        ),
    )
    rng = np.random.default_rng(0)
    n_rows = n_batches * workload.batch_size
    x = rng.standard_normal((n_rows, workload.sizes[0]), dtype=np.float32)
    y = rng.standard_normal((n_rows, workload.sizes[-1]), dtype=np.float32)
    noise = tx.Homoscedastic(std=NOISE_VAR**0.5)
    details: dict[str, float] = {}

    def block(n_calls: int) -> float:
        ends: list[float] = []
        start = time.perf_counter()
        net.fit(
            x,
            y,
            noise=noise,
            n_epochs=n_calls + 1,
            batch_size=workload.batch_size,
            progress=False,
            callback=lambda record: ends.append(time.perf_counter()),
        )
        details["seconds_to_first_epoch_end"] = ends[0] - start
        return ends[-1] - ends[0]

    note = f"epochs of {n_batches} batches"
    return Contender(block, n_batches, is_tagi=True, note=note, details=details)


def _prediction(net: nn.Sequential, workload: Workload, device: str) -> Contender:
    """Of tensors on the device, or of numpy arrays if the network takes no such tensors."""
    tensors = [x for x, _ in resident_batches(workload, device)]
    try:
        mean = net(tensors[0]).mean
        inputs: list[Any] = list(tensors)
    except (TypeError, ValueError):
        inputs = [x.cpu().numpy() for x in tensors]
        mean = net(inputs[0]).mean
    kinds = [
        "tensors" if isinstance(array, torch.Tensor) else "numpy arrays"
        for array in (inputs[0], mean)
    ]
    turns = cycle(inputs)
    block = synchronised_block(lambda: net(next(turns)), device)
    return Contender(block, is_tagi=True, note=f"{kinds[0]} in, {kinds[1]} out")


@dataclass
class _Field:
    """Who takes part in a contest.

    Attributes:
        contenders: Those who are set up, by name.
        failures: Why the others are not, in words.
        setup_seconds: What setting them up took, by name, of those who failed at it, too.
    """

    contenders: dict[str, Contender] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    setup_seconds: dict[str, float] = field(default_factory=dict)

    def set_up(self, name: str, make: Callable[[], Contender]) -> None:
        """Make a contender; one that does not work here is named, not hidden."""
        start = time.perf_counter()
        try:
            self.contenders[name] = make()
        except Exception as error:
            self.failures[name] = in_a_line(error)
        self.setup_seconds[name] = time.perf_counter() - start


def _field(
    workload: Workload, opponents: list[str], precisions: list[str], device: str, stop: float
) -> _Field:
    """All contenders of a workload; from the clock's ``stop`` on no opponent is set up."""

    def tagix(precision: str) -> Contender:
        contender = tagix_contender(workload, device, precision)
        contender.block(1)
        return contender

    contest = _Field()
    for name in precisions:
        contest.set_up(name, partial(tagix, name))
    for name in opponents:
        if time.perf_counter() > stop:
            contest.failures[name] = "its share of the time is spent"
        else:
            contest.set_up(name, partial(OPPONENTS[name], workload, device))
    return contest


def _seconds_per_step(
    contenders: dict[str, Contender], device: str, n_rounds: int, block_seconds: float
) -> dict[str, list[float]]:
    """By contender and round."""
    blocks = {name: contender.block for name, contender in contenders.items()}
    n_warm_up = 3 if device == "cuda" else 1
    per_call = interleaved_blocks(blocks, n_rounds, block_seconds, n_warm_up)
    return {
        name: [value / contenders[name].steps_per_call for value in values]
        for name, values in per_call.items()
    }


def _measure(
    workload: Workload,
    opponents: list[str],
    precisions: list[str],
    device: str,
    peaks: dict[str, float],
    n_rounds: int,
    block_seconds: float,
    stop: float,
) -> dict[str, Any]:
    """Time one workload, print its lines and return its numbers."""
    contest = _field(workload, opponents, precisions, device, stop)
    contenders, failures = contest.contenders, contest.failures
    precisions = [name for name in precisions if name in contenders]
    opponents = [name for name in opponents if name in contenders]
    seconds = _seconds_per_step(contenders, device, n_rounds, block_seconds)
    times = {name: Spread.of(values) for name, values in seconds.items()}
    ratios = ratios_of(seconds, opponents, precisions)

    def print_line(label: str, name: str, ending: str) -> None:
        work = _shares_of_peaks(workload, contenders[name].is_tagi, times[name].median, peaks)
        print(f"    {label:26}{work}  {ending}".rstrip(), flush=True)

    print(f"{workload.name} {workload.description}")
    for name in precisions:
        print_line(f"tagix {name}", name, contenders[name].note)
    for name, failure in failures.items():
        label = name if name in OPPONENTS else f"tagix {name}"
        print(f"    {label:26}not run: {failure}")
    for name in opponents:
        print_line(name, name, ratio_cells(ratios[name].values()))
    return {
        **asdict(workload),
        "tagix_flops": workload.tagix_flops(),
        "torch_flops": workload.torch_flops(),
        "tagix_fewest_bytes": fewest_bytes(workload, True),
        "torch_fewest_bytes": fewest_bytes(workload, False),
        **numbers_of(times, ratios),
        "notes": {name: contender.note for name, contender in contenders.items()},
        "details": {name: contender.details for name, contender in contenders.items()},
        "setup_seconds": contest.setup_seconds,
        "failures": failures,
    }


def _shares_of_peaks(
    workload: Workload, is_tagi: bool, seconds: float, peaks: dict[str, float]
) -> str:
    """Microseconds and TFLOP/s of a step, and what these and its bytes are of the peaks."""
    flops = workload.tagix_flops() if is_tagi else workload.torch_flops()
    rate, bandwidth = flops / seconds, fewest_bytes(workload, is_tagi) / seconds
    return (
        f"{seconds * 1e6:>10.4g}{rate / 1e12:>9.3g}"
        f"{rate / peaks['flops']:>7.1%}{bandwidth / peaks['bytes_per_second']:>7.1%}"
    )


def failures_of_tagix(results: dict[str, Any]) -> list[str]:
    """What tagix could not do in what run returned, in words; opponents may fail."""
    found = [f"{name}: {why}" for name, why in results["diffusion"].get("failures", {}).items()]
    for workload in results["workloads"]:
        found += [
            f"{workload['name']} {name}: {why}"
            for name, why in workload["failures"].items()
            if name not in OPPONENTS
        ]
    return found
