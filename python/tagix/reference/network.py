"""Tractable approximate Gaussian inference for a feed-forward network, in float64.

Source: Goulet, Nguyen & Amiri, JMLR 22 (2021); Nguyen & Goulet, JMLR 23 (2022). No automatic
differentiation: the forward pass moves moments up, the innovation of the observations moves down,
and a rule of `rules` updates each parameter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .activations import ActivationMoments, ElementwiseActivation
from .noise import Heteroscedastic, Homoscedastic, observe
from .rules import Information, UpdateRule

Array: TypeAlias = npt.NDArray[np.float64]


class Gaussian(NamedTuple):
    """Independent Gaussians: means and variances, two float64 arrays of one shape."""

    mean: Array
    var: Array


@dataclass(frozen=True, eq=False)
class Prediction:
    """Independent Gaussians of targets, float64 arrays (batch, outputs); unpacks as mean, var."""

    mean: Array
    epistemic: Array
    """Variance that the weights' uncertainty leaves in the value."""
    aleatoric: Array
    """Expected variance of the noise that the network infers; 0 for a network without."""

    @property
    def var(self) -> Array:
        """The total, epistemic + aleatoric."""
        return self.epistemic + self.aleatoric

    def __iter__(self) -> Iterator[Array]:
        yield self.mean
        yield self.var


class Innovations(NamedTuple):
    """What one batch says, before any parameter changes.

    A quantity q with Cov(q, z) = c has the posterior mean_q + c delta_mean, var_q + c^2 delta_var.
    """

    prediction: Prediction
    """Of the targets, before the update."""
    output: Gaussian
    """delta_mean and delta_var of the output, (batch, outputs); of a network that infers its noise,
    (batch, 2 outputs), the values first and then the noise heads."""
    input: Gaussian
    """delta_mean and delta_var of the input, (batch, features)."""
    parameters: dict[str, tuple[Array, Array]]
    """(G, H) by parameter name ("0.weight"): information on the mean and precision gained."""


class _Parameter:
    """A Gaussian parameter; `mean` and `var` are replaced, never written in place.

    No update leaves a variance below min_var.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        std: float,
        *,
        zero_mean: bool = False,
        min_var: float = 0.0,
    ) -> None:
        self.shape, self.std, self.zero_mean, self.min_var = shape, std, zero_mean, min_var
        self.mean = torch.zeros(shape, dtype=torch.float64)
        self.var = torch.full(shape, std * std, dtype=torch.float64)

    def initialise(self, generator: torch.Generator) -> None:
        """var = std^2 and mean ~ N(0, std^2), draw and prior of one spread; or mean = 0."""
        std = 0.0 if self.zero_mean else self.std
        self.mean = std * torch.randn(self.shape, generator=generator, dtype=torch.float64)
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


class _Rows(NamedTuple):
    """Consecutive outputs of an affine map, weights (outputs, features) and biases (outputs,).

    Weights or biases that are absent are known to be 0.
    """

    prefix: str
    weight: _Parameter | None
    bias: _Parameter | None


class _Affine(NamedTuple):
    """Means and variances of all rows of an affine map, those of the noise heads last."""

    weight_mean: Tensor
    weight_var: Tensor
    bias_mean: Tensor
    bias_var: Tensor


def _noise_rows(values: Linear, noise: Heteroscedastic | Homoscedastic) -> _Rows:
    """What a noise appends to the rows of the network's last layer."""
    shape = (values.out_features,)
    if isinstance(noise, Homoscedastic):
        prior_std = math.sqrt(noise.prior_var)
        bias = _Parameter(shape, prior_std, zero_mean=True, min_var=noise.min_var)
        return _Rows("noise_", None, bias)
    weight = _Parameter(values.weight.shape, noise.gain * values.weight.std)
    if values.bias is None:
        return _Rows("noise_", weight, None)
    return _Rows("noise_", weight, _Parameter(shape, noise.gain * values.bias.std, zero_mean=True))


def _affine(layer: Linear, rows: list[_Rows]) -> _Affine:
    def stacked(kind: str, moment: str, shape: tuple[int, ...]) -> Tensor:
        absent = torch.zeros(shape, dtype=torch.float64)
        parameters = [getattr(row, kind) for row in rows]
        return torch.cat([absent if p is None else getattr(p, moment) for p in parameters])

    weights, biases = layer.weight.shape, (layer.out_features,)
    return _Affine(
        stacked("weight", "mean", weights),
        stacked("weight", "var", weights),
        stacked("bias", "mean", biases),
        stacked("bias", "var", biases),
    )


class Sequential:
    """Layers applied in order; elements may be Sequential themselves.

    Arrays in may be NumPy arrays or tensors of any float type; arrays out are float64 NumPy.

    Args:
        *layers: Linear, activations, or Sequential.
        rule: The update rule, `Information()` by default; only the outermost container's rule acts.
        seed: Of the initial means; None draws a fresh one.
        noise: A noise to infer, `Heteroscedastic()` or `Homoscedastic(learn=True)`; by default each
            `update` is told. The last layer, a Linear(in, n), is then an affine map to 2n outputs,
            the n values and a noise head for each, with parameters named, if it is layer "2",
            "2.weight" (n, in), "2.noise_weight" (n, in), "2.bias" (n,), "2.noise_bias" (n,). A head
            has no weight if the noise is homoscedastic, and else a bias if the layer has one.

    Raises:
        ValueError: For a noise if the last layer is not a Linear, or in a Sequential in another.
    """

    def __init__(
        self,
        *layers: Linear | ElementwiseActivation | Sequential,
        rule: UpdateRule | None = None,
        seed: int | None = None,
        noise: Heteroscedastic | Homoscedastic | None = None,
    ) -> None:
        self.layers = layers
        self.rule = rule if rule is not None else Information()
        self.noise = noise
        self._noise_rows: _Rows | None = None
        for layer in layers:
            if isinstance(layer, Sequential) and layer.noise is not None:
                raise ValueError("noise: got one inside another Sequential, needed it outermost")
        if noise is not None:
            last = self._flat()[-1][1] if self._flat() else None
            if not isinstance(last, Linear):
                raise ValueError(f"noise: got a network that ends in {last!r}, needed a Linear")
            self._noise_rows = _noise_rows(last, noise)
        generator = torch.Generator()
        if seed is None:
            generator.seed()
        else:
            generator.manual_seed(seed)
        for _, parameter in self._parameters():
            parameter.initialise(generator)

    def __call__(self, x: Any, x_var: Any = None) -> Prediction:
        """Moments of the output for inputs (batch, features), known exactly unless x_var is given.

        Shapes: x and x_var (batch, features), x_var broadcasting; out (batch, outputs).
        """
        mean, var, _ = self._forward(*self._input(x, x_var))
        return self._prediction(mean, var)

    def innovations(self, x: Any, y: Any, noise_var: Any = None, x_var: Any = None) -> Innovations:
        """The innovation of observations y, at the output, the input and every parameter.

            delta_mean = (y - mean_z) / S,   delta_var = -1 / S,
            S = var_z (1 + k (B - 1)) + noise_var, with k the rule's share

        and, from an affine map with prior (Wm, Wv) down to its input, with J the Jacobian of the
        activation below it:

            G = sum_b delta_mean a_m,   H = -sum_b delta_var a_m^2
            delta_mean <- J (Wm^T delta_mean),   delta_var <- J^2 ((Wm^2)^T delta_var)

        Where the network infers its noise, the output's innovation is that of `noise.observe`.
        Shapes: y (batch, outputs), NaN where missing (zero innovation); noise_var broadcasts to y.
        """
        return self._innovations(x, y, noise_var, x_var)[0]

    def update(self, x: Any, y: Any, noise_var: Any = None, x_var: Any = None) -> Prediction:
        """Predict, then update every parameter with the batch; returns the prediction before.

        Arguments as in `innovations`.

        Raises:
            ValueError: For shapes that do not fit, a noise_var that is not positive or not finite,
                an x_var that is negative or not finite; for no noise_var where the network has no
                noise of its own, and for one where it has.
        """
        innovations, summed = self._innovations(x, y, noise_var, x_var)
        batch_size = innovations.prediction.mean.shape[0]
        for name, parameter in self._parameters():
            parameter.mean, var = self.rule.step(
                parameter.mean, parameter.var, *summed[name], batch_size
            )
            parameter.var = var.clamp(min=parameter.min_var)
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

    def _rows(self) -> dict[str, list[_Rows]]:
        """By the name of a Linear, its rows and, for the last layer, those of the noise."""
        rows = {
            name: [_Rows("", layer.weight, layer.bias)]
            for name, layer in self._flat()
            if isinstance(layer, Linear)
        }
        if self._noise_rows is not None:
            rows[self._flat()[-1][0]].append(self._noise_rows)
        return rows

    def _parameters(self) -> list[tuple[str, _Parameter]]:
        return [
            (f"{name}.{row.prefix}{kind}", parameter)
            for name, rows in self._rows().items()
            for kind in ("weight", "bias")
            for row in rows
            if (parameter := getattr(row, kind)) is not None
        ]

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
        rows = self._rows()
        for name, layer in self._flat():
            if isinstance(layer, Linear):
                trace.append(mean)
                affine = _affine(layer, rows[name])
                var = (
                    var @ (affine.weight_mean**2).T
                    + (mean**2 + var) @ affine.weight_var.T
                    + affine.bias_var
                )
                mean = mean @ affine.weight_mean.T + affine.bias_mean
            else:
                mean, var, jacobian = layer.forward(mean, var)
                trace.append(jacobian)
        return mean, var, trace

    def _prediction(self, mean: Tensor, var: Tensor) -> Prediction:
        """Of the output's moments."""
        aleatoric = torch.zeros_like(var)
        if self.noise is not None:
            (mean, head_mean), (var, head_var) = mean.chunk(2, dim=1), var.chunk(2, dim=1)
            aleatoric = self._noise_moments(head_mean, head_var).mean
        return Prediction(mean.numpy(), var.numpy(), aleatoric.numpy())

    def _noise_moments(self, head_mean: Tensor, head_var: Tensor) -> ActivationMoments:
        """Of the noise variance, by the outputs of the head."""
        assert self.noise is not None
        expected = self.rule.expected_information
        return self.noise.var_moments(head_mean, head_var, expected=expected)

    def _observe(
        self, mean: Tensor, var: Tensor, target: Tensor, noise_var: Any
    ) -> tuple[Tensor, Tensor]:
        """delta_mean and delta_var of the output."""
        n_targets = mean.shape[1] if self.noise is None else mean.shape[1] // 2
        if target.shape != (len(mean), n_targets):
            needed = (len(mean), n_targets)
            raise ValueError(f"y: got shape {tuple(target.shape)}, needed {needed}")
        spread = self.rule.spread(len(mean))
        if self.noise is not None:
            if noise_var is not None:
                raise ValueError("noise_var: got one, needed none: the network infers its noise")
            (mean, head_mean), (var, head_var) = mean.chunk(2, dim=1), var.chunk(2, dim=1)
            deltas = observe(
                target - mean,
                var,
                self._noise_moments(head_mean, head_var),
                spread,
                expected=self.rule.expected_information,
            )
            return (
                torch.hstack([deltas.value_mean, deltas.noise_mean]),
                torch.hstack([deltas.value_var, deltas.noise_var]),
            )
        if noise_var is None:
            raise ValueError("noise_var: got None, needed one: the network infers no noise")
        innovation_var = var * spread + _broadcast("noise_var", noise_var, target, zero_fits=False)
        observed = ~torch.isnan(target)
        return (
            torch.where(observed, (target - mean) / innovation_var, 0.0),
            torch.where(observed, -1 / innovation_var, 0.0),
        )

    def _innovations(
        self, x: Any, y: Any, noise_var: Any, x_var: Any
    ) -> tuple[Innovations, dict[str, tuple[Tensor, Tensor]]]:
        mean, var, trace = self._forward(*self._input(x, x_var))
        delta_mean, delta_var = self._observe(mean, var, _float64(y), noise_var)
        output = Gaussian(delta_mean.numpy(), delta_var.numpy())
        summed = {}
        rows = self._rows()
        for (name, layer), kept in zip(reversed(self._flat()), reversed(trace), strict=True):
            if isinstance(layer, Linear):
                for row, row_mean, row_var in zip(
                    rows[name],
                    delta_mean.chunk(len(rows[name]), dim=1),
                    delta_var.chunk(len(rows[name]), dim=1),
                    strict=True,
                ):
                    prefix = f"{name}.{row.prefix}"
                    summed[f"{prefix}weight"] = (row_mean.T @ kept, -row_var.T @ kept**2)
                    summed[f"{prefix}bias"] = (row_mean.sum(0), -row_var.sum(0))
                affine = _affine(layer, rows[name])
                delta_mean = delta_mean @ affine.weight_mean
                delta_var = delta_var @ affine.weight_mean**2
            else:
                delta_mean, delta_var = kept * delta_mean, kept**2 * delta_var
        summed = {name: summed[name] for name, _ in self._parameters()}  # those that are there
        innovations = Innovations(
            self._prediction(mean, var),
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
