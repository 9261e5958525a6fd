"""Tractable approximate Gaussian inference for a feed-forward network, in float64.

Source: Goulet, Nguyen & Amiri, JMLR 22 (2021); Nguyen & Goulet, JMLR 23 (2022). No automatic
differentiation: the forward pass moves moments up, the innovation of the observations moves down,
and a rule of `rules` updates each parameter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .activations import ElementwiseActivation
from .rules import Information, UpdateRule

Array: TypeAlias = npt.NDArray[np.float64]


class Gaussian(NamedTuple):
    """Independent Gaussians: means and variances, two float64 arrays of one shape."""

    mean: Array
    var: Array


class Innovations(NamedTuple):
    """What one batch says, before any parameter changes.

    A quantity q with Cov(q, z) = c has the posterior mean_q + c delta_mean, var_q + c^2 delta_var.
    """

    prediction: Gaussian
    """Moments of the output before the update, (batch, outputs)."""
    output: Gaussian
    """delta_mean and delta_var of the output, (batch, outputs)."""
    input: Gaussian
    """delta_mean and delta_var of the input, (batch, features)."""
    parameters: dict[str, tuple[Array, Array]]
    """(G, H) by parameter name ("0.weight"): information on the mean and precision gained."""


class _Parameter:
    """A Gaussian parameter; `mean` and `var` are replaced, never written in place."""

    def __init__(self, shape: tuple[int, ...], std: float) -> None:
        self.shape, self.std = shape, std
        self.mean = torch.zeros(shape, dtype=torch.float64)
        self.var = torch.full(shape, std * std, dtype=torch.float64)

    def initialise(self, generator: torch.Generator) -> None:
        """mean ~ N(0, std^2) and var = std^2: the draw and the prior have one spread."""
        self.mean = self.std * torch.randn(self.shape, generator=generator, dtype=torch.float64)
        self.var = torch.full(self.shape, self.std**2, dtype=torch.float64)


class Linear:
    """z = a W^T + b with Gaussian weights (out_features, in_features) and biases (out_features,).

    The prior standard deviation is gain * scale for weights and biases alike, with
    scale = sqrt(1 / in_features) for "he" (as in cuTAGI, without PyTorch's factor 2) and
    sqrt(2 / (in_features + out_features)) for "xavier"; means are drawn with the same spread.

    Raises:
        ValueError: For an unknown init or sizes below 1.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        init: Literal["he", "xavier"] = "he",
        gain_weight: float = 1.0,
        gain_bias: float = 1.0,
    ) -> None:
        if init not in ("he", "xavier"):
            raise ValueError(f"init: got {init!r}, needed 'he' or 'xavier'")
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            if size < 1:
                raise ValueError(f"{name}: got {size!r}, needed at least 1")
        self.in_features, self.out_features = in_features, out_features
        variance = 1 / in_features if init == "he" else 2 / (in_features + out_features)
        scale = math.sqrt(variance)
        self.weight = _Parameter((out_features, in_features), gain_weight * scale)
        self.bias = _Parameter((out_features,), gain_bias * scale) if bias else None


class Sequential:
    """Layers applied in order; elements may be Sequential themselves.

    Arrays in may be NumPy arrays or tensors of any float type; arrays out are float64 NumPy.

    Args:
        *layers: Linear, activations, or Sequential.
        rule: The update rule, `Information()` by default; only the outermost container's rule acts.
        seed: Of the initial means; None draws a fresh one.
    """

    def __init__(
        self,
        *layers: Linear | ElementwiseActivation | Sequential,
        rule: UpdateRule | None = None,
        seed: int | None = None,
    ) -> None:
        self.layers = layers
        self.rule = rule if rule is not None else Information()
        generator = torch.Generator()
        if seed is None:
            generator.seed()
        else:
            generator.manual_seed(seed)
        for _, parameter in self._parameters():
            parameter.initialise(generator)

    def __call__(self, x: Any, x_var: Any = None) -> Gaussian:
        """Moments of the output for inputs (batch, features), known exactly unless x_var is given.

        Shapes: x and x_var (batch, features), x_var broadcasting; out (batch, outputs).
        """
        mean, var, _ = self._forward(*self._input(x, x_var))
        return Gaussian(mean.numpy(), var.numpy())

    def innovations(self, x: Any, y: Any, noise_var: Any, x_var: Any = None) -> Innovations:
        """The innovation of observations y, at the output, the input and every parameter.

            delta_mean = (y - mean_z) / S,   delta_var = -1 / S,
            S = var_z (1 + k (B - 1)) + noise_var, with k the rule's share

        and, from an affine map with prior (Wm, Wv) down to its input, with J the Jacobian of the
        activation below it:

            G = sum_b delta_mean a_m,   H = -sum_b delta_var a_m^2
            delta_mean <- J (Wm^T delta_mean),   delta_var <- J^2 ((Wm^2)^T delta_var)

        Shapes: y (batch, outputs), NaN where missing (zero innovation); noise_var broadcasts to y.
        """
        return self._innovations(x, y, noise_var, x_var)[0]

    def update(self, x: Any, y: Any, noise_var: Any, x_var: Any = None) -> Gaussian:
        """Predict, then update every parameter with the batch; returns the prediction before.

        Arguments as in `innovations`.

        Raises:
            ValueError: For shapes that do not fit, a noise_var that is not positive or not finite,
                an x_var that is negative or not finite.
        """
        innovations, summed = self._innovations(x, y, noise_var, x_var)
        batch_size = innovations.prediction.mean.shape[0]
        for name, parameter in self._parameters():
            parameter.mean, parameter.var = self.rule.step(
                parameter.mean, parameter.var, *summed[name], batch_size
            )
        return innovations.prediction

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters: "0.weight.mean", "0.weight.var", "0.bias.mean", ..."""
        state = {}
        for name, parameter in self._parameters():
            state[f"{name}.mean"] = parameter.mean.numpy().copy()
            state[f"{name}.var"] = parameter.var.numpy().copy()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take all parameters from arrays or tensors under the names of `state_dict`.

        Raises:
            ValueError: For names missing or left over, and for shapes that differ; then nothing
                changes.
        """
        parameters = dict(self._parameters())
        needed = {f"{name}.{part}" for name in parameters for part in ("mean", "var")}
        if needed != set(state):
            raise ValueError(
                f"state: got {len(state)} arrays, missing {sorted(needed - set(state))}, "
                f"unknown {sorted(set(state) - needed)}, needed exactly {sorted(needed)}"
            )
        loaded = {}
        for key, value in state.items():
            tensor = _float64(value).clone()
            shape = parameters[key.rpartition(".")[0]].shape
            if tuple(tensor.shape) != shape:
                raise ValueError(f"{key}: got shape {tuple(tensor.shape)}, needed {shape}")
            loaded[key] = tensor
        for name, parameter in parameters.items():
            parameter.mean, parameter.var = loaded[f"{name}.mean"], loaded[f"{name}.var"]

    def _flat(self, prefix: str = "") -> list[tuple[str, Linear | ElementwiseActivation]]:
        flat: list[tuple[str, Linear | ElementwiseActivation]] = []
        for index, layer in enumerate(self.layers):
            name = f"{prefix}{index}"
            if isinstance(layer, Sequential):
                flat += layer._flat(f"{name}.")
            else:
                flat.append((name, layer))
        return flat

    def _parameters(self) -> list[tuple[str, _Parameter]]:
        parameters = []
        for name, layer in self._flat():
            if isinstance(layer, Linear):
                parameters.append((f"{name}.weight", layer.weight))
                if layer.bias is not None:
                    parameters.append((f"{name}.bias", layer.bias))
        return parameters

    def _input(self, x: Any, x_var: Any) -> tuple[Tensor, Tensor]:
        mean = _float64(x)
        if mean.ndim != 2:
            raise ValueError(f"x: got shape {tuple(mean.shape)}, needed (batch, features)")
        first = next((layer for _, layer in self._flat() if isinstance(layer, Linear)), None)
        if first is not None and mean.shape[1] != first.in_features:
            raise ValueError(f"x: got {mean.shape[1]} features, needed {first.in_features}")
        if x_var is None:
            return mean, torch.zeros_like(mean)
        return mean, _broadcast("x_var", x_var, mean, zero_fits=True)

    def _forward(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Output moments, and per layer what backward needs: input mean (Linear) or Jacobian.

        mean_z = Wm a_m + b_m,   var_z = Wm^2 a_v + Wv (a_m^2 + a_v) + b_v
        """
        trace = []
        for _, layer in self._flat():
            if isinstance(layer, Linear):
                trace.append(mean)
                weight, bias = layer.weight, layer.bias
                var = var @ (weight.mean**2).T + (mean**2 + var) @ weight.var.T
                mean = mean @ weight.mean.T
                if bias is not None:
                    mean, var = mean + bias.mean, var + bias.var
            else:
                mean, var, jacobian = layer.forward(mean, var)
                trace.append(jacobian)
        return mean, var, trace

    def _innovations(
        self, x: Any, y: Any, noise_var: Any, x_var: Any
    ) -> tuple[Innovations, dict[str, tuple[Tensor, Tensor]]]:
        mean, var, trace = self._forward(*self._input(x, x_var))
        target = _float64(y)
        if target.shape != mean.shape:
            raise ValueError(f"y: got shape {tuple(target.shape)}, needed {tuple(mean.shape)}")
        noise = _broadcast("noise_var", noise_var, target, zero_fits=False)
        innovation_var = var * self.rule.spread(mean.shape[0]) + noise
        observed = ~torch.isnan(target)
        delta_mean = torch.where(observed, (target - mean) / innovation_var, 0.0)
        delta_var = torch.where(observed, -1 / innovation_var, 0.0)
        output = Gaussian(delta_mean.numpy(), delta_var.numpy())
        summed = {}
        for (name, layer), kept in zip(reversed(self._flat()), reversed(trace), strict=True):
            if isinstance(layer, Linear):
                summed[f"{name}.weight"] = (delta_mean.T @ kept, -delta_var.T @ kept**2)
                if layer.bias is not None:
                    summed[f"{name}.bias"] = (delta_mean.sum(0), -delta_var.sum(0))
                delta_mean = delta_mean @ layer.weight.mean
                delta_var = delta_var @ layer.weight.mean**2
            else:
                delta_mean, delta_var = kept * delta_mean, kept**2 * delta_var
        innovations = Innovations(
            Gaussian(mean.numpy(), var.numpy()),
            output,
            Gaussian(delta_mean.numpy(), delta_var.numpy()),
            {name: (g.numpy(), h.numpy()) for name, (g, h) in summed.items()},
        )
        return innovations, summed


def _float64(array: Any) -> Tensor:
    # The dtype goes along with the conversion: a Python float must not pass through float32.
    return torch.as_tensor(array, dtype=torch.float64, device="cpu").detach()


def _broadcast(name: str, array: Any, like: Tensor, *, zero_fits: bool) -> Tensor:
    """A variance in the shape of `like`; ValueError unless it fits, is finite and >= 0, or > 0."""
    tensor = _float64(array)
    try:
        tensor = tensor.broadcast_to(like.shape)
    except RuntimeError:
        raise ValueError(
            f"{name}: got shape {tuple(tensor.shape)}, needed one that broadcasts to "
            f"{tuple(like.shape)}"
        ) from None
    enough = tensor >= 0 if zero_fits else tensor > 0
    if not bool((torch.isfinite(tensor) & enough).all()):
        raise ValueError(
            f"{name}: got a variance out of range, needed finite ones "
            f"{'of at least' if zero_fits else 'above'} 0"
        )
    return tensor
