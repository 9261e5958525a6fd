"""TAGI written with PyTorch operations, in float32: what one would have without kernels of its own.

The same network, moments and rule as `tagix.nn.Sequential` with its defaults, in as few operations
as they can be written in: all parameters lie in two planes, so that one update serves them all.
Nothing allocates or waits between steps but PyTorch itself, so that a step can be captured in a
CUDA graph.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

_SHARE, _CLIP = 0.01, 1 / 3  # of tagix.Information()


class Layer(NamedTuple):
    """Views of one plane: of the means, of the variances, or of what a batch says of either."""

    weight: Tensor
    """(out, in)."""
    bias: Tensor
    """(out,)."""


class TorchTagi:
    """A multilayer perceptron with exact-moment ReLU, updated in closed form.

    Args:
        sizes: Width of input, hidden layers and output.
        device: Of PyTorch.
    """

    def __init__(self, sizes: Sequence[int], device: str) -> None:
        pairs = list(pairwise(sizes))
        n_parameters = sum(n_out * (n_in + 1) for n_in, n_out in pairs)
        planes = torch.empty((4, n_parameters), device=device)
        self._mean, self._var, self._information, self._precision = planes

        def layers_of(plane: Tensor) -> list[Layer]:
            layers, start = [], 0
            for n_in, n_out in pairs:
                weight = plane[start : start + n_out * n_in].view(n_out, n_in)
                start += n_out * n_in
                layers.append(Layer(weight, plane[start : start + n_out]))
                start += n_out
            return layers

        self.mean, self.var = layers_of(self._mean), layers_of(self._var)
        self._gained = list(
            zip(layers_of(self._information), layers_of(self._precision), strict=True)
        )
        for mean, var in zip(self.mean, self.var, strict=True):
            std = 1 / math.sqrt(mean.weight.shape[1])
            for m, v in zip(mean, var, strict=True):
                m.normal_(std=std)
                v.fill_(std * std)

    def predict(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and variances (batch, outputs) for inputs (batch, features), known exactly."""
        mean, var, _ = self._forward(x)
        return mean, var

    def update(self, x: Tensor, y: Tensor, noise_var: float) -> None:
        """Update all parameters by targets (batch, outputs), none of them missing."""
        mean, var, trace = self._forward(x)
        spread = 1 + _SHARE * (x.shape[0] - 1)
        precision = 1 / (var * spread + noise_var)
        delta_mean = (y - mean) * precision
        for i in reversed(range(len(self.mean))):
            inputs, jacobian = trace[i]
            information, gained = self._gained[i]
            torch.mm(delta_mean.T, inputs, out=information.weight)
            torch.mm(precision.T, inputs * inputs, out=gained.weight)
            torch.sum(delta_mean, 0, out=information.bias)
            torch.sum(precision, 0, out=gained.bias)
            if jacobian is not None:
                weight = self.mean[i].weight
                delta_mean = (delta_mean @ weight) * jacobian
                precision = (precision @ (weight * weight)) * (jacobian * jacobian)
        bound = _CLIP * self._var.sqrt()
        self._var /= 1 + self._var * self._precision
        self._mean += (self._var * self._information).clamp_(-bound, bound)

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor | None]]]:
        """Moments of the output, and each layer's input means and the Jacobian that gave them."""
        weight, bias = self.mean[0]
        trace: list[tuple[Tensor, Tensor | None]] = [(x, None)]
        mean = torch.addmm(bias, x, weight.T)
        var = torch.addmm(self.var[0].bias, x * x, self.var[0].weight.T)
        for (weight, bias), (weight_var, bias_var) in zip(self.mean[1:], self.var[1:], strict=True):
            inputs, inputs_var, jacobian = relu_moments(mean, var)
            trace.append((inputs, jacobian))
            mean = torch.addmm(bias, inputs, weight.T)
            var = torch.addmm(bias_var, inputs * inputs + inputs_var, weight_var.T)
            var = torch.addmm(var, inputs_var, (weight * weight).T)
        return mean, var, trace


def relu_moments(mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, variance and Jacobian of max(z, 0) for z ~ N(mean, var), var > 0, all of one shape.

    From the tail of z beyond 0, seen from the mean: with a = |mean| / sd, phi the normal density
    and R = sqrt(pi / 2) erfcx(a / sqrt 2) the Mills ratio,

        Q = phi R,   first = phi (1 - a R),   second = phi ((1 + a^2) R - a)

    and f(z) is that tail for mean < 0, z plus its mirror image for mean >= 0.
    """
    sd = var.sqrt()
    a = mean.abs() / sd
    density = torch.exp(-0.5 * a * a) * (1 / math.sqrt(2 * math.pi))
    mills = torch.special.erfcx(a * math.sqrt(0.5)) * math.sqrt(0.5 * math.pi)
    tail = density * mills
    first = density * (1 - a * mills)
    second = density * ((1 + a * a) * mills - a)
    below = mean < 0
    jacobian = torch.where(below, tail, 1 - tail)
    inside = torch.where(below, 0.0, 1 - 2 * tail)
    tail_var = (second - first * first).clamp(min=0.0)
    return mean.clamp(min=0.0) + sd * first, var * (inside + tail_var), jacobian
