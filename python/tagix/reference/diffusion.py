"""The backprop peer: the same denoising diffusion model, trained by Adam in float32."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from .schedule import ScheduleName, TimeFeatures, schedule, time_features

Array = npt.NDArray[np.float32]


class Prediction(NamedTuple):
    """Predicted noise (batch, n_features) and its variance, 0: the weights are points."""

    mean: Array
    var: Array


class Samples(NamedTuple):
    """Samples x, (n, n_features), and on request every state of the chains, from noise to x.

    trajectory has shape (n_steps, n, n_features), or is None.
    """

    x: Array
    trajectory: Array | None


class BackpropDiffusion:
    """Denoising diffusion (Ho, Jain & Abbeel, NeurIPS 2020) with a ReLU network that predicts eps.

        x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps,   loss = mean (eps_hat(x_t, t) - eps)^2,
        x_{t-1} = (x_t - beta_t / sqrt(1 - abar_t) eps_hat) / sqrt(1 - beta_t) + sqrt(beta_t) n

    with t uniform over 1 .. n_steps - 1 in training, and n = 0 in the last step of sampling.

    Args:
        n_features: Of the data, which should be standardised.
        hidden: Widths of the hidden layers.
        n_steps: T; the chain starts at t = T - 1.
        schedule: Name, see `schedule.schedule`.
        time_features: Name, see `schedule.time_features`.
        learning_rate: Of Adam.
        seed: Of the weights, of training and of sampling; None draws a fresh one.

    Raises:
        ValueError: For an unknown name, or n_steps below 2.
    """

    def __init__(
        self,
        n_features: int,
        hidden: Sequence[int] = (64, 64, 64, 64),
        n_steps: int = 40,
        schedule: ScheduleName = "cosine",
        time_features: TimeFeatures = "cosine",
        learning_rate: float = 3e-3,
        seed: int | None = None,
    ) -> None:
        self.n_features, self.n_steps = n_features, n_steps
        self.alpha_bar, self.beta = _schedule(schedule, n_steps)
        features = _time_features(time_features, np.arange(n_steps), n_steps)
        self._time = torch.as_tensor(features, dtype=torch.float32)
        self._signal = torch.as_tensor(np.sqrt(self.alpha_bar), dtype=torch.float32)
        self._noise = torch.as_tensor(np.sqrt(1 - self.alpha_bar), dtype=torch.float32)
        self._generator = torch.Generator()
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)
        widths = [n_features + self._time.shape[1], *hidden]
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            layers += [self._linear(fan_in, fan_out), nn.ReLU()]
        self.net = nn.Sequential(*layers, self._linear(widths[-1], n_features))
        self._optimizer = torch.optim.Adam(self.net.parameters(), lr=learning_rate)

    def fit(self, X: npt.ArrayLike, n_epochs: int = 10, batch_size: int = 256) -> list[float]:
        """Train on X, (n, n_features); returns the mean training loss of each epoch.

        Raises ValueError for another shape.
        """
        data = torch.as_tensor(np.asarray(X, dtype=np.float32))
        if data.ndim != 2 or data.shape[1] != self.n_features:
            raise ValueError(f"X: got shape {tuple(data.shape)}, needed (n, {self.n_features})")
        losses = []
        for _ in range(n_epochs):
            order = torch.randperm(len(data), generator=self._generator)
            t = torch.randint(1, self.n_steps, (len(data),), generator=self._generator)
            eps = torch.randn(data.shape, generator=self._generator)
            x_t = self._signal[t, None] * data[order] + self._noise[t, None] * eps
            inputs = torch.cat([x_t, self._time[t]], dim=1)
            total = 0.0
            for start in range(0, len(data), batch_size):
                batch = inputs[start : start + batch_size]
                target = eps[start : start + batch_size]
                loss = nn.functional.mse_loss(self.net(batch), target)
                self._optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                self._optimizer.step()
                total += loss.item() * len(batch)
            losses.append(total / len(data))
        return losses

    def predict(self, x_t: npt.ArrayLike, t: npt.ArrayLike) -> Prediction:
        """Predicted noise at noisy points (batch, n_features) and integer timesteps (batch,)."""
        points = torch.as_tensor(np.asarray(x_t, dtype=np.float32))
        steps = torch.as_tensor(np.asarray(t, dtype=np.int64))
        mean = self._predict(points, steps).numpy()
        return Prediction(mean, np.zeros_like(mean))

    def sample(self, n: int, trajectory: bool = False) -> Samples:
        """Draw n samples by the full reverse chain, t = n_steps - 1 .. 1."""
        x = torch.randn((n, self.n_features), generator=self._generator)
        states = [x]
        for t in range(self.n_steps - 1, 0, -1):
            beta, alpha_bar = float(self.beta[t]), float(self.alpha_bar[t])
            eps = self._predict(x, torch.full((n,), t))
            x = (x - beta / math.sqrt(1 - alpha_bar) * eps) / math.sqrt(1 - beta)
            if t > 1:
                x = x + math.sqrt(beta) * torch.randn(x.shape, generator=self._generator)
            states.append(x)
        return Samples(x.numpy(), torch.stack(states).numpy() if trajectory else None)

    @torch.no_grad()
    def _predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        prediction: Tensor = self.net(torch.cat([x_t, self._time[t]], dim=1))
        return prediction

    def _linear(self, fan_in: int, fan_out: int) -> nn.Linear:
        """PyTorch's default layer, U(-1/sqrt(fan_in), 1/sqrt(fan_in)), from our own generator."""
        layer = nn.Linear(fan_in, fan_out)
        bound = 1 / math.sqrt(fan_in)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.uniform_(-bound, bound, generator=self._generator)
        return layer


# The constructor's arguments bear the names of these functions.
_schedule, _time_features = schedule, time_features
