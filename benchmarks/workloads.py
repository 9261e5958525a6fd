"""The workloads, and one call of each in tagix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

import tagix as tx
from tagix import nn

# Inputs differ from call to call, as in training; few enough to stay in cache.
_N_BATCHES = 8

Call = Callable[[], object]
Moments = Literal["exact", "first_order"]


@dataclass(frozen=True)
class Workload:
    """A multilayer perceptron with ReLU between its layers.

    Attributes:
        name: "W1" and so on.
        description: What it stands for.
        sizes: Width of input, hidden layers and output.
        batch_size: Rows per call.
        trains: Whether a call is a training step, rather than a prediction.
        steps_per_call: Training steps in a call of tagix; the opponents make one step a call.
    """

    name: str
    description: str
    sizes: tuple[int, ...]
    batch_size: int
    trains: bool = True
    steps_per_call: int = 1

    def tagix_flops(self) -> int:
        """Floating point operations of one tagix step, in matrix products only.

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
        Workload("W4", "one sample at a time, as a stream", _SMALL, 1, steps_per_call=256),
        Workload("W5", "prediction of 10 000 rows", _SMALL, 10_000, trains=False),
    )
}


def at_batch_size(workload: Workload, batch_size: int) -> Workload:
    """The same workload with other batches."""
    return replace(workload, description=f"batch {batch_size}", batch_size=batch_size)


def tagix_network(
    sizes: Sequence[int],
    *,
    device: str = "cpu",
    precision: str = "float32",
    moments: Moments = "exact",
) -> nn.Sequential:
    """A network of tagix of these widths, input and output included, with ReLU between layers."""
    layers: list[nn.Layer] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.ReLU(moments=moments)]
    return nn.Sequential(*layers[:-1], seed=0, device=device, precision=precision)


def tagix_call(workload: Workload, precision: str, moments: Moments) -> Call:
    """A function that makes one tagix training step, or prediction with variance.

    A stream is one call of `fit` at batch size 1, which loops in the core.

    Args:
        workload: What to run.
        precision: Of the network.
        moments: Those of its ReLU, "exact" or "first_order".
    """
    net = tagix_network(workload.sizes, precision=precision, moments=moments)
    noise = tx.Homoscedastic(std=1.0)
    batches = cycle(batches_of(workload, workload.batch_size * workload.steps_per_call))
    if workload.steps_per_call > 1:

        def stream() -> object:
            x, y = next(batches)
            return net.fit(
                x, y, noise=noise, n_epochs=1, batch_size=workload.batch_size, progress=False
            )

        return stream
    if not workload.trains:
        return lambda: net(next(batches)[0])

    def step() -> object:
        x, y = next(batches)
        return net.update(x, y, noise=noise)

    return step


def batches_of(
    workload: Workload, n_rows: int
) -> list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """Inputs and targets of n_rows rows, standard normal, for a few calls in turn."""
    rng = np.random.default_rng(0)
    n_in, n_out = workload.sizes[0], workload.sizes[-1]
    batches = []
    for _ in range(_N_BATCHES):
        x = rng.standard_normal((n_rows, n_in), dtype=np.float32)
        y = rng.standard_normal((n_rows, n_out), dtype=np.float32)
        batches.append((x, y))
    return batches
