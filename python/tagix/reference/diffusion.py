"""The backprop peer: the same denoising diffusion model, trained by Adam in float32."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, cast, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tagix._arrays import as_count

from .schedule import ScheduleName, TimeFeatures, schedule, time_features

PredictionType = Literal["epsilon", "sample", "v_prediction"]
SamplerName = Literal["ddpm", "ddim"]
VarianceType = Literal["fixed_large", "fixed_small"]
GuidanceConvention = Literal["scale", "weight"]
Array = npt.NDArray[np.float32]


class Prediction(NamedTuple):
    """Prediction of the network (batch, n_features) and its variance, 0: the weights are points."""

    mean: Array
    var: Array


class Samples(NamedTuple):
    """Samples x, (n, n_features), and on request every state of the chains, from noise to x.

    trajectory has shape (steps of the chain + 1, n, n_features), or is None.
    """

    x: Array
    trajectory: Array | None


class BackpropDiffusion:
    """Denoising diffusion with a ReLU network, with or without classes.

    With a = sqrt(abar_t) and b = sqrt(1 - abar_t), the network F(x_t, t, class) learns by

        x_t = a x_0 + b eps,   loss = mean (F - target)^2,   t uniform over 1 .. n_steps - 1,
        target   epsilon: eps,   sample: x_0,   v_prediction: a eps - b x_0

    Sources: Ho, Jain & Abbeel, NeurIPS 2020; v_prediction: Salimans & Ho, ICLR 2022; training with
    dropped classes, for guidance: Ho & Salimans, 2022.

    Args:
        n_features: Of the data, which should be standardised.
        hidden: Widths of the hidden layers.
        n_steps: T; the chain starts at t = T - 1.
        schedule: Name, see `schedule.schedule`, or abar_t itself by t: (n_steps,) numbers > 0 that
            fall strictly from alpha_bar[0] = 1.
        time_features: Name, see `schedule.time_features`.
        learning_rate: Of Adam.
        seed: Of the weights, of training and of sampling; None draws a fresh one.
        prediction_type: What the network predicts, by the names of diffusers.
        n_classes: Of the labels; the network sees them one-hot, and zeros for "no label". None is
            a model without classes.

    Raises:
        ValueError: For an unknown name, n_steps below 2, n_classes below 1 or an alpha_bar of
            another shape or other numbers.
        TypeError: For n_classes other than an integer.
    """

    def __init__(
        self,
        n_features: int,
        hidden: Sequence[int] = (64, 64, 64, 64),
        n_steps: int = 40,
        schedule: ScheduleName | npt.ArrayLike = "cosine",
        time_features: TimeFeatures = "cosine",
        learning_rate: float = 3e-3,
        seed: int | None = None,
        *,
        prediction_type: PredictionType = "epsilon",
        n_classes: int | None = None,
    ) -> None:
        _check_name("prediction_type", prediction_type, PredictionType)
        self.n_features, self.n_steps = n_features, n_steps
        self.prediction_type: PredictionType = prediction_type
        self.n_classes = None if n_classes is None else as_count("n_classes", n_classes, least=1)
        self.alpha_bar = _alpha_bar(schedule, n_steps)
        self.beta = np.append(0.0, 1 - self.alpha_bar[1:] / self.alpha_bar[:-1])
        features = _time_features(time_features, np.arange(n_steps), n_steps, self.alpha_bar)
        self._time = torch.as_tensor(features, dtype=torch.float32)
        # "No label" is -1 and so takes the last row, of zeros.
        self._classes = torch.eye((self.n_classes or 0) + 1)[:, :-1].contiguous()
        self._signal = torch.as_tensor(np.sqrt(self.alpha_bar), dtype=torch.float32)
        self._noise = torch.as_tensor(np.sqrt(1 - self.alpha_bar), dtype=torch.float32)
        self._generator = torch.Generator()
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)
        widths = [n_features + self._time.shape[1] + self._classes.shape[1], *hidden]
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            layers += [self._linear(fan_in, fan_out), nn.ReLU()]
        self.net = nn.Sequential(*layers, self._linear(widths[-1], n_features))
        # The fused one is the fastest of PyTorch's on networks and batches as small as these.
        self._optimizer = torch.optim.Adam(self.net.parameters(), lr=learning_rate, fused=True)

    def fit(
        self,
        X: npt.ArrayLike,
        labels: npt.ArrayLike | None = None,
        *,
        p_uncond: float = 0.2,
        n_epochs: int = 10,
        batch_size: int = 256,
    ) -> list[float]:
        """Train with Adam; returns the mean training loss of each epoch.

        Args:
            X: Data (n, n_features), n >= 1.
            labels: (n,) integers in [0, n_classes), -1 for "no label"; None is -1 throughout.
            p_uncond: Each label is dropped with this probability, anew each epoch, so that the
                network learns the unconditional prediction too.
            n_epochs: Passes over the data.
            batch_size: Rows of an update; the last one of an epoch may have fewer.

        Raises:
            ValueError: For other shapes or numbers, or labels of a model without classes.
            TypeError: For labels that are not integers.
        """
        data = torch.as_tensor(np.asarray(X, dtype=np.float32))
        if data.ndim != 2 or data.shape[1] != self.n_features or len(data) == 0:
            raise ValueError(
                f"X: got shape {tuple(data.shape)}, needed (n, {self.n_features}) with n >= 1"
            )
        if not 0 <= p_uncond <= 1:
            raise ValueError(f"p_uncond: got {p_uncond!r}, needed a number in [0, 1]")
        n_epochs = as_count("n_epochs", n_epochs, least=1)
        batch_size = as_count("batch_size", batch_size, least=1)
        classes = self._labels("labels", labels, len(data))
        losses = []
        for _ in range(n_epochs):
            inputs, targets = self._training_rows(data, classes, p_uncond)
            total = 0.0
            batches = zip(
                torch.split(inputs, batch_size), torch.split(targets, batch_size), strict=True
            )
            for batch, target in batches:
                loss = nn.functional.mse_loss(self.net(batch), target)
                self._optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                self._optimizer.step()
                total += loss.item() * len(batch)
            losses.append(total / len(data))
        return losses

    def predict(
        self, x_t: npt.ArrayLike, t: npt.ArrayLike, labels: npt.ArrayLike | None = None
    ) -> Prediction:
        """What the network predicts, by prediction_type, at noisy points.

        Args:
            x_t: (batch, n_features).
            t: (batch,) integers in [0, n_steps).
            labels: (batch,) integers in [0, n_classes), -1 for "no label"; None is -1 throughout.

        Raises:
            ValueError: For wrong labels, or labels of a model without classes.
            TypeError: For labels that are not integers.
        """
        points = torch.as_tensor(np.asarray(x_t, dtype=np.float32))
        steps = torch.as_tensor(np.asarray(t, dtype=np.int64))
        classes = self._labels("labels", labels, len(points))
        mean = self._predict(points, steps, classes).numpy()
        return Prediction(mean, np.zeros_like(mean))

    def sample(
        self,
        n: int,
        trajectory: bool = False,
        *,
        label: int | npt.ArrayLike | None = None,
        guidance: float | None = None,
        guidance_convention: GuidanceConvention = "scale",
        sampler: SamplerName = "ddpm",
        n_steps: int | None = None,
        variance_type: VarianceType = "fixed_large",
    ) -> Samples:
        """Draw n samples by a reverse chain from x ~ N(0, I) at t = T - 1 down to t = 0.

        A step goes from t to the next timestep s < t, with beta = 1 - abar_t / abar_s and eps what
        the prediction says of the noise:

            ddpm   x_s = sqrt(abar_s / abar_t) (x_t - beta / sqrt(1 - abar_t) eps) + sqrt(var) n,
                   var = beta (fixed_large) or (1 - abar_s) / (1 - abar_t) beta (fixed_small),
                   without the noise n in the last step
            ddim   x_s = sqrt(abar_s) (x_t - sqrt(1 - abar_t) eps) / sqrt(abar_t)
                         + sqrt(1 - abar_s) eps

        Guided by the label, with F_c and F_u the predictions with it and without:

            scale w    F_u + w (F_c - F_u), w = 1 is plain conditional  (Saharia et al., 2022)
            weight w   (1 + w) F_c - w F_u, w = 0 is plain conditional  (Ho & Salimans, 2022)

        Sources: Ho, Jain & Abbeel, NeurIPS 2020; ddim with eta = 0: Song, Meng & Ermon, ICLR 2021.

        Args:
            n: Number of samples.
            trajectory: Keep all states.
            label: Class of all samples or (n,) of each, -1 for "no label"; None is -1 throughout.
            guidance: w above; None is plain conditional.
            guidance_convention: "scale" or "weight".
            sampler: "ddpm" or "ddim".
            n_steps: Of the chain, evenly spaced over T - 1 .. 1 and rounded; None is all, T - 1.
            variance_type: Of ddpm, by the names of diffusers.

        Raises:
            ValueError: For an unknown name, a label of a model without classes, guidance without a
                label, or a number out of range.
            TypeError: For a label or number of steps that is not an integer.
        """
        _check_name("guidance_convention", guidance_convention, GuidanceConvention)
        _check_name("sampler", sampler, SamplerName)
        _check_name("variance_type", variance_type, VarianceType)
        n = as_count("n", n, least=1)
        if guidance is not None and label is None:
            raise ValueError(f"guidance: got {guidance!r} without a label to guide by")
        if label is not None and np.ndim(label) == 0:
            label = np.full(n, label)
        classes = self._labels("label", label, n)
        scale = guidance
        if guidance is not None and guidance_convention == "weight":
            scale = 1 + guidance
        x = torch.randn((n, self.n_features), generator=self._generator)
        states = [x]
        for t, s in pairwise([*self._timesteps(n_steps), 0]):
            now, then = float(self.alpha_bar[t]), float(self.alpha_bar[s])
            ratio, beta, var = math.sqrt(then / now), 1 - now / then, 0.0
            eps = self._eps(x, t, self._guided(x, t, classes, scale))
            if sampler == "ddpm":
                eps_weight = -ratio * beta / math.sqrt(1 - now)
                if s > 0:
                    var = beta
                    if variance_type == "fixed_small":
                        var *= (1 - then) / (1 - now)
            else:
                eps_weight = math.sqrt(1 - then) - ratio * math.sqrt(1 - now)
            x = ratio * x + eps_weight * eps
            if var > 0:
                x = x + math.sqrt(var) * torch.randn(x.shape, generator=self._generator)
            if trajectory:
                states.append(x)
        return Samples(x.numpy(), torch.stack(states).numpy() if trajectory else None)

    def _training_rows(
        self, data: Tensor, classes: Tensor, p_uncond: float
    ) -> tuple[Tensor, Tensor]:
        """Inputs and targets of the network for an epoch: the data shuffled, with new noise."""
        order = torch.randperm(len(data), generator=self._generator)
        t = torch.randint(1, self.n_steps, (len(data),), generator=self._generator)
        eps = torch.randn(data.shape, generator=self._generator)
        x_0, a, b = data[order], self._signal[t, None], self._noise[t, None]
        parts = [a * x_0 + b * eps, self._time[t]]
        if self.n_classes is not None:
            dropped = torch.rand(len(data), generator=self._generator) < p_uncond
            parts.append(self._classes[classes[order].masked_fill(dropped, -1)])
        targets = {"epsilon": eps, "sample": x_0, "v_prediction": a * eps - b * x_0}
        return torch.cat(parts, dim=1), targets[self.prediction_type]

    def _guided(self, x: Tensor, t: int, classes: Tensor, scale: float | None) -> Tensor:
        """F_u + scale (F_c - F_u), both from one pass of the network; None is F_c alone."""
        if scale is None:
            return self._predict(x, torch.full((len(x),), t), classes)
        both = torch.cat([classes, torch.full_like(classes, -1)])
        prediction = self._predict(x.repeat(2, 1), torch.full((2 * len(x),), t), both)
        conditional, unconditional = prediction.chunk(2)
        return unconditional + scale * (conditional - unconditional)

    def _eps(self, x: Tensor, t: int, prediction: Tensor) -> Tensor:
        """The noise in x_t = a x_0 + b eps, by what the network says of the target."""
        a, b = math.sqrt(self.alpha_bar[t]), math.sqrt(1 - self.alpha_bar[t])
        if self.prediction_type == "epsilon":
            return prediction
        if self.prediction_type == "sample":
            return (x - a * prediction) / b
        return a * prediction + b * x

    @torch.no_grad()
    def _predict(self, x_t: Tensor, t: Tensor, classes: Tensor) -> Tensor:
        parts = [x_t, self._time[t]]
        if self.n_classes is not None:
            parts.append(self._classes[classes])
        prediction: Tensor = self.net(torch.cat(parts, dim=1))
        return prediction

    def _timesteps(self, n_steps: int | None) -> list[int]:
        """Where the network is asked, from T - 1 down to 1."""
        most = self.n_steps - 1
        count = most if n_steps is None else as_count("n_steps", n_steps, least=1, most=most)
        return [int(t) for t in np.linspace(most, 1, count).round()]

    def _labels(self, name: str, labels: npt.ArrayLike | None, n: int) -> Tensor:
        """Labels as (n,) int64, -1 throughout for None; else ValueError or TypeError."""
        if labels is None:
            return torch.full((n,), -1)
        if self.n_classes is None:
            raise ValueError(f"{name}: got labels, needed None: the model has no classes")
        array = np.asarray(labels)
        if array.dtype.kind not in "iu":
            raise TypeError(f"{name}: got an array of {array.dtype}, needed integers")
        if array.shape != (n,):
            raise ValueError(f"{name}: got shape {array.shape}, needed ({n},)")
        if n and not -1 <= array.min() <= array.max() < self.n_classes:
            raise ValueError(
                f"{name}: got {array.min()} to {array.max()}, needed -1 (no label) to "
                f"{self.n_classes - 1}"
            )
        return torch.as_tensor(array.astype(np.int64))

    def _linear(self, fan_in: int, fan_out: int) -> nn.Linear:
        """PyTorch's default layer, U(-1/sqrt(fan_in), 1/sqrt(fan_in)), from our own generator."""
        layer = nn.Linear(fan_in, fan_out)
        bound = 1 / math.sqrt(fan_in)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.uniform_(-bound, bound, generator=self._generator)
        return layer


def _alpha_bar(given: ScheduleName | npt.ArrayLike, n_steps: int) -> npt.NDArray[np.float64]:
    """That of the named schedule, or the given one, checked."""
    if isinstance(given, str):
        return schedule(cast(ScheduleName, given), n_steps).alpha_bar
    alpha_bar = np.array(given, dtype=np.float64)
    if n_steps < 2 or alpha_bar.shape != (n_steps,):
        raise ValueError(
            f"schedule: got alpha_bar of shape {alpha_bar.shape}, needed (n_steps,), n_steps = "
            f"{n_steps} and at least 2"
        )
    if alpha_bar[0] != 1 or not (np.diff(alpha_bar) < 0).all() or not alpha_bar[-1] > 0:
        raise ValueError(
            "schedule: needed alpha_bar that falls strictly from 1 to a number above 0, got "
            f"{alpha_bar[0]} to {alpha_bar[-1]}"
        )
    return alpha_bar


# An argument of the constructor bears its name.
_time_features = time_features


def _check_name(argument: str, name: str, names: object) -> None:
    if name not in get_args(names):
        raise ValueError(f"{argument}: got {name!r}, needed one of {get_args(names)}")
