"""One step of each workload in PyTorch, four ways, and in cuTAGI, on the CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import cycle, pairwise

import torch

from benchmarks.torch_network import torch_network
from benchmarks.workloads import Call, Workload, batches_of


def eager_call(workload: Workload) -> Call:
    """PyTorch eager: a step of Adam as it comes, or a prediction without gradients."""
    net = torch_network(workload.sizes)
    return _torch_call(workload, net, fused=False, parameters=net.parameters())


def fused_call(workload: Workload) -> Call:
    """The same with Adam(fused=True)."""
    net = torch_network(workload.sizes)
    return _torch_call(workload, net, fused=True, parameters=net.parameters())


def autocast_call(workload: Workload) -> Call:
    """As fused_call, with the network under autocast to bfloat16."""
    net = torch_network(workload.sizes)

    def run(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output: torch.Tensor = net(x)
            return output.float()

    return _torch_call(workload, run, fused=True, parameters=net.parameters())


def compiled_call(workload: Workload) -> Call:
    """The same with fused Adam and the network through torch.compile, compiled here."""
    net = torch_network(workload.sizes)
    call = _torch_call(workload, torch.compile(net), fused=True, parameters=net.parameters())
    for _ in range(3):
        call()
    return call


def pytagi_call(workload: Workload) -> Call:
    """cuTAGI, which knows first-order ReLU only: less work than exact moments.

    Raises:
        ImportError: pytagi is not installed.
    """
    import pytagi.nn as pytagi_nn
    from pytagi.nn import OutputUpdater

    layers = []
    for n_in, n_out in pairwise(workload.sizes):
        layers += [pytagi_nn.Linear(n_in, n_out), pytagi_nn.ReLU()]
    net = pytagi_nn.Sequential(*layers[:-1])
    net.set_threads(torch.get_num_threads())
    updater = OutputUpdater(net.device)
    batches = cycle(
        [(x, y.ravel(), 0 * y.ravel() + 1) for x, y in batches_of(workload, workload.batch_size)]
    )

    def predict() -> object:
        net(next(batches)[0])
        return net.get_outputs()

    def step() -> object:
        x, y, noise_var = next(batches)
        net(x)
        updater.update(net.output_z_buffer, y, noise_var, net.input_delta_z_buffer)
        net.backward()
        net.step()
        return None

    return step if workload.trains else predict


OPPONENTS: dict[str, Callable[[Workload], Call]] = {
    "eager": eager_call,
    "fused": fused_call,
    "compiled": compiled_call,
    "autocast": autocast_call,
    "pytagi": pytagi_call,
}


def installed_opponents() -> list[str]:
    """The names of the opponents whose packages can be imported."""
    names = [name for name in OPPONENTS if name != "pytagi"]
    with contextlib.suppress(ImportError):
        import pytagi.nn  # noqa: F401

        names.append("pytagi")
    return names


def _torch_call(
    workload: Workload,
    net: Callable[[torch.Tensor], torch.Tensor],
    fused: bool,
    parameters: Iterator[torch.nn.Parameter],
) -> Call:
    arrays = batches_of(workload, workload.batch_size)
    batches = cycle([(torch.from_numpy(x), torch.from_numpy(y)) for x, y in arrays])
    if not workload.trains:

        def predict() -> object:
            with torch.inference_mode():
                return net(next(batches)[0])

        return predict
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=fused)

    def step() -> object:
        x, y = next(batches)
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.mse_loss(net(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss

    return step
