"""The workloads, and one call of each in tagix and in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, pairwise

import numpy as np
import numpy.typing as npt
import torch

import tagix as tx
from tagix import nn

# Inputs differ from call to call, as in training; few enough to stay in cache.
_N_BATCHES = 8

Call = Callable[[], object]


@dataclass(frozen=True)
class Workload:
    """A multilayer perceptron with ReLU between its layers.

    Attributes:
        name: "W1" and so on.
        description: What it stands for.
        sizes: Width of input, hidden layers and output.
        batch_size: Rows per call.
        trains: Whether a call is a training step, rather than a prediction.
    """

    name: str
    description: str
    sizes: tuple[int, ...]
    batch_size: int
    trains: bool = True

    def tagix_flops(self) -> int:
        """Floating point operations of one tagix call, in matrix products only.

        A layer takes 7 products to train: 3 forward, 2 for the hidden deltas, 2 for the weight
        deltas. The input is known exactly and needs no deltas, so the first layer takes 4.
        """
        return self._flops(*((4, 7) if self.trains else (2, 3)))

    def torch_flops(self) -> int:
        """Floating point operations of one PyTorch call: 3 products a layer, 2 in the first."""
        return self._flops(*((2, 3) if self.trains else (1, 1)))

    def _flops(self, first_products: int, later_products: int) -> int:
        first, *later = (2 * self.batch_size * i * o for i, o in pairwise(self.sizes))
        return first_products * first + later_products * sum(later)


_SMALL = (3, 64, 64, 64, 64, 2)
WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload("W1", "swiss roll diffusion step", _SMALL, 2048),
        Workload("W2", "the same at width 512", (3, 512, 512, 512, 512, 2), 2048),
        Workload("W3", "one layer of 512, forward and update", (512, 512), 1024),
        Workload("W4", "one sample at a time", _SMALL, 1),
        Workload("W5", "prediction of 10 000 rows", _SMALL, 10_000, trains=False),
    )
}


def tagix_call(workload: Workload) -> Call:
    """A function that makes one fp32 tagix training step, or prediction with variance."""
    layers: list[nn.Layer] = []
    for n_in, n_out in pairwise(workload.sizes):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    net = nn.Sequential(*layers[:-1], seed=0)
    batches = cycle(_batches(workload))
    if not workload.trains:
        return lambda: net(next(batches)[0])
    noise = tx.Homoscedastic(std=1.0)

    def step() -> object:
        x, y = next(batches)
        return net.update(x, y, noise=noise)

    return step


def torch_call(workload: Workload) -> Call:
    """A function that makes one fp32 step of PyTorch eager with Adam, or one prediction."""
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for n_in, n_out in pairwise(workload.sizes):
        layers += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers[:-1])
    batches = cycle([(torch.from_numpy(x), torch.from_numpy(y)) for x, y in _batches(workload)])
    if not workload.trains:

        def predict() -> object:
            with torch.inference_mode():
                return net(next(batches)[0])

        return predict
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def step() -> object:
        x, y = next(batches)
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.mse_loss(net(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss

    return step


def sgemm_call(size: int = 1024) -> tuple[Call, int]:
    """A square fp32 matrix product in PyTorch and its FLOPs: the machine's practical peak."""
    a = torch.randn(size, size)
    out = torch.empty(size, size)
    return lambda: torch.mm(a, a, out=out), 2 * size**3


def _batches(
    workload: Workload,
) -> list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    rng = np.random.default_rng(0)
    n_in, n_out = workload.sizes[0], workload.sizes[-1]
    batches = []
    for _ in range(_N_BATCHES):
        x = rng.standard_normal((workload.batch_size, n_in), dtype=np.float32)
        y = rng.standard_normal((workload.batch_size, n_out), dtype=np.float32)
        batches.append((x, y))
    return batches
