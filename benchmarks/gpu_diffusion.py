"""A diffusion model of the swiss roll, trained and sampled on a device: in PyTorch, and timed."""

from __future__ import annotations

import math
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

import tagix as tx
from benchmarks.gpu_opponents import captured, synchronised_block
from benchmarks.torch_network import torch_network
from benchmarks.workloads import WORKLOADS, Call
from tagix.bench.timing import Spread, interleaved_blocks
from tagix.datasets import swiss_roll
from tagix.reference import schedule, time_features

_N_STEPS = 40  # of the diffusion; those of a DiffusionModel by default
_N_SAMPLES = 10_000
_BATCH_SIZE = WORKLOADS["W1"].batch_size


class TorchDiffusion:
    """W1's network as a denoising diffusion model in PyTorch, with nothing left on the CPU.

    Rows, their order, timesteps and noise are drawn on the device. Where it has CUDA graphs, the
    steps of an epoch are one graph, and so are those of sampling.

    Args:
        data: Rows (n, n_features), standardised.
        n_samples: Rows that `sample` draws.
        device: Of PyTorch.
    """

    def __init__(self, data: Tensor, n_samples: int, device: str) -> None:
        self._data = data.to(device)
        self._net = torch_network(WORKLOADS["W1"].sizes, device=device)
        self._optimizer = torch.optim.Adam(
            self._net.parameters(), lr=3e-3, fused=True, capturable=device == "cuda"
        )
        noising = schedule("cosine", _N_STEPS)
        self._alpha_bar, self._beta = noising.alpha_bar.tolist(), noising.beta.tolist()
        to_device = partial(torch.as_tensor, dtype=torch.float32, device=device)
        self._signal = to_device(np.sqrt(noising.alpha_bar))[:, None]
        self._noise = to_device(np.sqrt(1 - noising.alpha_bar))[:, None]
        self._time = to_device(time_features("scalar", np.arange(_N_STEPS), _N_STEPS))
        self._order = torch.arange(len(data), device=device)
        self._squared_error = torch.zeros((), device=device)
        self._samples = torch.empty((n_samples, data.shape[1]), device=device)
        self._epoch, self._chain = self._train_epoch, self._sample_chain
        if device == "cuda":
            self._epoch = captured([self._train_epoch])
            self._chain = captured([self._sample_chain])

    def fit(self, n_epochs: int) -> None:
        """Train; the error of the last epoch is in `mse`."""
        for _ in range(n_epochs):
            torch.randperm(len(self._data), out=self._order)
            self._epoch()

    @property
    def mse(self) -> float:
        """Mean squared error of the last epoch's predictions, made before each step."""
        return float(self._squared_error) / self._data.numel()

    def sample(self) -> Tensor:
        """Samples (n_samples, n_features), copied to the CPU."""
        self._chain()
        return self._samples.cpu()

    def _train_epoch(self) -> object:
        self._squared_error.zero_()
        for order in torch.split(self._order, _BATCH_SIZE):
            rows = self._data[order]
            t = torch.randint(1, _N_STEPS, (len(order),), device=rows.device)
            noise = torch.randn_like(rows)
            noisy = self._signal[t] * rows + self._noise[t] * noise
            self._optimizer.zero_grad(set_to_none=True)
            prediction = self._net(torch.cat([noisy, self._time[t]], dim=1))
            loss = torch.nn.functional.mse_loss(prediction, noise)
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            self._squared_error.add_(loss.detach() * rows.numel())
        return None

    def _sample_chain(self) -> object:
        with torch.no_grad():
            x = torch.randn_like(self._samples)
            for t in range(_N_STEPS - 1, 0, -1):
                times = self._time[t].expand(len(x), -1)
                noise = self._net(torch.cat([x, times], dim=1))
                x = x - self._beta[t] / math.sqrt(1 - self._alpha_bar[t]) * noise
                x = x / math.sqrt(1 - self._beta[t])
                if t > 1:
                    x = x + math.sqrt(self._beta[t]) * torch.randn_like(x)
            self._samples.copy_(x)
        return None


def run(device: str, quick: bool) -> dict[str, Any]:
    """Time training of W1's network and sampling from it, print both and return the numbers.

    Times are by the clock and of whole calls: tagix is given numpy arrays and gives such back, its
    samples with variances; PyTorch has its rows on the device and its graphs captured before.

    Args:
        device: Of tagix and of PyTorch.
        quick: 2 epochs in place of 100, and on the CPU of few rows.
    """
    n_epochs = 2 if quick else 100
    n_rows = 2 * _BATCH_SIZE if quick and device == "cpu" else 100_000
    n_rounds = 3 if quick else 5
    points = swiss_roll(n_rows)
    data = (points - points.mean()) / points.std()
    model = tx.DiffusionModel(
        2,
        prediction_type="epsilon",
        time_features="scalar",
        standardize=False,
        seed=0,
        device=device,
    )
    history = model.fit(data, n_epochs=1, batch_size=_BATCH_SIZE, progress=False)
    peer = TorchDiffusion(torch.from_numpy(data), _N_SAMPLES, device)

    def fit() -> object:
        nonlocal history
        history = model.fit(data, n_epochs=n_epochs, batch_size=_BATCH_SIZE, progress=False)
        return None

    fits = {"tagix": fit, "torch": lambda: peer.fit(n_epochs)}
    samplers = {"tagix": lambda: model.sample(_N_SAMPLES), "torch": peer.sample}
    way = "in a CUDA graph" if device == "cuda" else "eager"
    print(f"diffusion model of the swiss roll, W1's network; PyTorch {way} with fused Adam")
    training = _compare(
        f"{n_epochs} epochs of {n_rows} rows, batch {_BATCH_SIZE}", fits, device, n_rounds
    )
    print(f"    mean squared error of the last epoch: tagix {history.train_mse[-1]:.4f},", end="")
    print(f" PyTorch {peer.mse:.4f}")
    sampling = _compare(f"{_N_SAMPLES} samples in {_N_STEPS} steps", samplers, device, n_rounds)
    return {
        "training": {**training, "n_epochs": n_epochs, "n_rows": n_rows},
        "sampling": {**sampling, "n_samples": _N_SAMPLES},
    }


def _compare(
    label: str, calls: dict[str, Call], device: str, n_rounds: int
) -> dict[str, dict[str, float]]:
    """Time calls in turn, print a line, and return the spreads of their seconds and ratio."""
    blocks = {name: synchronised_block(call, device) for name, call in calls.items()}
    seconds = interleaved_blocks(blocks, n_rounds, block_seconds=0.05, n_warm_up=1)
    times = {name: Spread.of(values) for name, values in seconds.items()}
    ratio = Spread.of_ratios(seconds["tagix"], seconds["torch"])
    medians = ", ".join(f"{name} {spread.median:.4g} s" for name, spread in times.items())
    print(f"    {label:44} {medians}, ratio {ratio.text()}", flush=True)
    return {**{name: asdict(spread) for name, spread in times.items()}, "ratio": asdict(ratio)}
