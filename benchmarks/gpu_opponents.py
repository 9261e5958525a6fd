"""The workloads in PyTorch on a device, with all data there: back-propagation, and TAGI itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import Any

import torch
from torch import Tensor

from benchmarks.torch_network import torch_network
from benchmarks.torch_tagi import TorchTagi
from benchmarks.workloads import Call, Workload, batches_of
from tagix.bench.timing import Block, clock_seconds

NOISE_VAR = 1.0  # of the observations, wherever TAGI learns
_N_WARM_UP = 3  # steps before one is captured: libraries and optimizers set themselves up in them


@dataclass(frozen=True)
class Contender:
    """Something to be timed.

    Attributes:
        block: Makes so many calls and returns the seconds that they took.
        steps_per_call: Steps in a call.
        is_tagi: Whether it does the work of TAGI, rather than that of back-propagation.
        note: What to know of the times.
        details: Further numbers of the last block, by name.
    """

    block: Block
    steps_per_call: int = 1
    is_tagi: bool = False
    note: str = ""
    details: dict[str, float] = field(default_factory=dict)


Opponent = Callable[[Workload, str], Contender]


def device_block(call: Call, device: str) -> Block:
    """Times calls by events on the current stream of a CUDA device; by the clock on the CPU."""
    if device == "cpu":
        return partial(clock_seconds, call)

    def block(n_calls: int) -> float:
        start: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
        start.record()
        for _ in range(n_calls):
            call()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) * 1e-3

    return block


def synchronised_block(call: Call, device: str) -> Block:
    """Times calls by the clock, from an idle device to an idle device."""

    def block(n_calls: int) -> float:
        synchronise(device)
        start = time.perf_counter()
        for _ in range(n_calls):
            call()
        synchronise(device)
        return time.perf_counter() - start

    return block


def synchronise(device: str) -> None:
    """Wait until the device has nothing left to do."""
    if device == "cuda":
        torch.cuda.synchronize()


def captured(calls: Sequence[Call]) -> Call:
    """A function that replays one CUDA graph of all the calls, captured here after a warm-up.

    Raises:
        RuntimeError: Without a CUDA device, or if a call does what cannot be captured.
    """
    if not torch.cuda.is_available():
        raise RuntimeError("CUDA graphs need a CUDA device")
    stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_N_WARM_UP):
            for call in calls:
                call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        for call in calls:
            call()

    def replay() -> object:
        graph.replay()
        return calls  # kept: the graph works in the memory of what they hold

    return replay


def eager(workload: Workload, device: str) -> Contender:
    """PyTorch eager: a step of Adam as it comes, or a prediction without gradients."""
    net = torch_network(workload.sizes, device=device)
    return _in_turn(_steps(workload, device, net, net), device)


def fused(workload: Workload, device: str) -> Contender:
    """The same with Adam(fused=True), which updates all parameters in one kernel."""
    net = torch_network(workload.sizes, device=device)
    return _in_turn(_steps(workload, device, net, net, fused=True), device)


def graph(workload: Workload, device: str) -> Contender:
    """The same with Adam(fused=True, capturable=True), captured in a CUDA graph."""
    net = torch_network(workload.sizes, device=device)
    return _replayed(_steps(workload, device, net, net, fused=True, capturable=True), device)


def compiled(workload: Workload, device: str, mode: str = "reduce-overhead") -> Contender:
    """Fused Adam and the network through torch.compile, which captures its own graphs."""
    net = torch_network(workload.sizes, device=device)
    torch._dynamo.reset()  # of the networks compiled before, whose number is limited
    run = torch.compile(net, mode=mode, dynamic=False)
    begin: Call = torch.compiler.cudagraph_mark_step_begin
    calls = _steps(workload, device, net, run, fused=True)

    def step(call: Call) -> object:
        begin()
        return call()

    contender = _in_turn([partial(step, call) for call in calls], device)
    contender.block(_N_WARM_UP)  # compiles, and records the graphs
    return contender


def compiled_graph(workload: Workload, device: str) -> Contender:
    """The network through torch.compile, and the whole step captured in a CUDA graph."""
    net = torch_network(workload.sizes, device=device)
    torch._dynamo.reset()
    run = torch.compile(net, dynamic=False)
    return _replayed(_steps(workload, device, net, run, fused=True, capturable=True), device)


def tagi(workload: Workload, device: str) -> Contender:
    """TAGI written with PyTorch operations."""
    return _in_turn(_tagi_steps(workload, device), device, is_tagi=True)


def tagi_graph(workload: Workload, device: str) -> Contender:
    """The same, captured in a CUDA graph."""
    return _replayed(_tagi_steps(workload, device), device, is_tagi=True)


OPPONENTS: dict[str, Opponent] = {
    "eager": eager,
    "fused": fused,
    "graph": graph,
    "tagi": tagi,
    "tagi_graph": tagi_graph,
    "compiled": compiled,
    "compiled_graph": compiled_graph,
    "max_autotune": partial(compiled, mode="max-autotune"),
}


def default_opponents(device: str, quick: bool) -> list[str]:
    """The opponents that a run meets if none are named.

    max_autotune takes minutes to set up. The CPU has no graphs, and compiling for it says nothing
    about a GPU.
    """
    if device == "cpu":
        return ["eager", "tagi"]
    if quick:
        return ["eager", "graph", "tagi_graph"]
    return [name for name in OPPONENTS if name != "max_autotune"]


def resident_batches(workload: Workload, device: str) -> list[tuple[Tensor, Tensor]]:
    """Inputs and targets of a few steps, on the device."""
    arrays = batches_of(workload, workload.batch_size)
    return [(torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)) for x, y in arrays]


def _steps(
    workload: Workload,
    device: str,
    net: torch.nn.Module,
    run: Callable[[Tensor], Tensor],
    **options: Any,
) -> list[Call]:
    """One step for each resident batch: of Adam with these options, or a prediction by `run`."""
    batches = resident_batches(workload, device)
    if not workload.trains:

        def predict(x: Tensor) -> object:
            with torch.inference_mode():
                return run(x)

        return [partial(predict, x) for x, _ in batches]
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, **options)

    def step(x: Tensor, y: Tensor) -> object:
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.mse_loss(run(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return None

    return [partial(step, x, y) for x, y in batches]


def _tagi_steps(workload: Workload, device: str) -> list[Call]:
    torch.manual_seed(0)
    net = TorchTagi(workload.sizes, device)
    batches = resident_batches(workload, device)
    if not workload.trains:
        return [partial(net.predict, x) for x, _ in batches]
    return [partial(net.update, x, y, NOISE_VAR) for x, y in batches]


def _in_turn(calls: Sequence[Call], device: str, is_tagi: bool = False) -> Contender:
    """One step a call, of the next batch each time."""
    turns = cycle(calls)
    return Contender(device_block(lambda: next(turns)(), device), is_tagi=is_tagi)


def _replayed(calls: Sequence[Call], device: str, is_tagi: bool = False) -> Contender:
    """All batches in one graph, so that none is copied and few graphs are launched."""
    return Contender(device_block(captured(calls), device), len(calls), is_tagi)
