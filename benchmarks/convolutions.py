"""Speed of convolutional networks beside PyTorch: two convolutions with a ReLU between them.

Both have their arrays in the order that they compute in, channels last, and PyTorch's best of both
layouts counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

import tagix as tx
from tagix import _core, nn
from tagix.bench.threads import set_threads
from tagix.bench.timing import CallTimes, interleaved_calls

BATCH_SIZE = 128


@dataclass(frozen=True)
class Images:
    """Two convolutions of this kernel and stride, that keep the number of channels."""

    name: str
    channels: int
    size: int
    kernel: int = 3
    stride: int = 1

    @property
    def text(self) -> str:
        """As the table names it."""
        stride = f", stride {self.stride}" if self.stride > 1 else ""
        return (
            f"{self.name} {self.kernel}x{self.kernel}, {self.channels} channels, "
            f"{self.size}x{self.size}{stride}"
        )

    @property
    def sizes(self) -> list[int]:
        """Of the image, and after each convolution."""
        return [self.size, -(-self.size // self.stride), -(-self.size // self.stride**2)]

    def flops(self, n_products: tuple[int, int]) -> int:
        """Multiplications and additions of so many products in each of the two convolutions."""
        each = 2 * BATCH_SIZE * self.channels**2 * self.kernel**2
        return sum(each * n * size**2 for n, size in zip(n_products, self.sizes[1:], strict=True))


CASES = [
    Images("a", 32, 28),
    Images("b", 64, 14),
    Images("c", 128, 8),
    Images("5x5", 32, 28, kernel=5),
    Images("1x1", 128, 14, kernel=1),
    Images("stride", 32, 28, stride=2),
]


def tagix_calls(case: Images) -> tuple[Callable[[], object], Callable[[], object]]:
    """A training step, and a prediction with its variance."""
    channels, padding = case.channels, case.kernel // 2
    convolutions = [
        nn.Conv2d(channels, channels, case.kernel, case.stride, padding) for _ in range(2)
    ]
    net = nn.Sequential(
        convolutions[0],
        nn.ReLU(),
        convolutions[1],
        input_shape=(channels, case.size, case.size),
        noise=tx.Homoscedastic(0.5),
        seed=0,
    )
    generator = np.random.default_rng(0)
    x, y = (
        generator.standard_normal((BATCH_SIZE, channels * size**2), dtype=np.float32)
        for size in (case.sizes[0], case.sizes[-1])
    )
    noise_var = np.array(0.25, np.float32)
    model = net._model
    return lambda: model.update(x, y, noise_var), lambda: model.predict(x, None, noise_var, False)


def torch_calls(
    case: Images, layout: torch.memory_format
) -> tuple[Callable[[], object], Callable[[], object]]:
    """The same by PyTorch eager with Adam: the squared error, and the output alone."""
    torch.manual_seed(0)
    channels, padding = case.channels, case.kernel // 2
    net = torch.nn.Sequential(
        torch.nn.Conv2d(channels, channels, case.kernel, case.stride, padding),
        torch.nn.ReLU(),
        torch.nn.Conv2d(channels, channels, case.kernel, case.stride, padding),
    ).to(memory_format=layout)  # type: ignore[call-overload]
    x, y = (
        torch.randn(BATCH_SIZE, channels, size, size).to(memory_format=layout)
        for size in (case.sizes[0], case.sizes[-1])
    )
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(net(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def predict() -> object:
        with torch.no_grad():
            return net(x)

    return step, predict


def run(n_threads: int, quick: bool) -> None:
    """Measure every case and print a table."""
    set_threads(n_threads, torch=True)
    n_rounds, block_seconds = (2, 0.1) if quick else (7, 0.4)
    peak = _core.peak_flops("float32") * n_threads
    print(
        f"{_core.backend_name('cpu')}, {n_threads} thread(s), PyTorch {torch.__version__}, "
        f"{BATCH_SIZE} images, two convolutions with a ReLU between them\n"
        "milliseconds of tagix, its share of peak by the least, and ratios to PyTorch: of the "
        "least calls,\nthe 10th percentiles, the medians and the processor's times\n"
    )
    for case in CASES[:1] if quick else CASES:
        _measure(case, peak, n_rounds, block_seconds)


def _measure(case: Images, peak: float, n_rounds: int, block_seconds: float) -> None:
    contenders = {
        "tagix": tagix_calls(case),
        "channels first": torch_calls(case, torch.contiguous_format),
        "channels last": torch_calls(case, torch.channels_last),
    }
    # The first convolution has an input known exactly, and innovations of the second go down.
    for i, (what, products) in enumerate((("step", (4, 7)), ("prediction", (2, 3)))):
        calls = {name: pair[i] for name, pair in contenders.items()}
        times = interleaved_calls(calls, n_rounds, block_seconds)
        ours = times.pop("tagix")
        best = min(times.values(), key=lambda each: each.least)
        _print(f"{case.text}, {what}", ours, ours.over(best), case.flops(products) / peak)


def _print(label: str, ours: CallTimes, ratio: CallTimes, at_peak: float) -> None:
    ratios = ", ".join(f"{value:.2f}" for value in ratio.values())
    print(
        f"{label:48}{1e3 * ours.least:>9.4g} ms{at_peak / ours.least:>7.0%}   {ratios}", flush=True
    )
