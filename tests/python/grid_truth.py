"""Layers on grids in float64, by torch.nn.functional and its autograd; needs torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from helpers import Array
from torch.nn import functional as F

from tagix import nn


def close(actual: Array, expected: Any, tolerance: float = 1e-5) -> None:
    """Within a tolerance of the largest value."""
    expected = expected.detach().numpy() if isinstance(expected, torch.Tensor) else expected
    assert actual.shape == tuple(expected.shape)
    assert np.abs(actual - expected).max() <= tolerance * np.abs(expected).max()


def tensor(array: Any) -> Any:
    return torch.as_tensor(np.asarray(array, np.float64))


class Convolution:
    """One convolution of torch in float64, with the parameters of a layer of tagix."""

    def __init__(self, layer: Any, name: str) -> None:
        config = layer.config
        self.name, self.transposed = name, isinstance(layer, nn.ConvTranspose2d)
        self.options = {key: config[key] for key in ("stride", "padding", "dilation")}
        functions = {
            nn.Conv1d: F.conv1d,
            nn.Conv2d: F.conv2d,
            nn.ConvTranspose2d: F.conv_transpose2d,
        }
        self.function = functions[type(layer)]
        if self.transposed:
            self.options["output_padding"] = config["output_padding"]
        self.has_bias = config["bias"]

    def load(self, state: dict[str, Array]) -> None:
        get = lambda key: tensor(state[f"{self.name}.{key}"]).requires_grad_()  # noqa: E731
        self.mean, self.var = get("weight.mean"), get("weight.var")
        self.bias_mean = get("bias.mean") if self.has_bias else None
        self.bias_var = get("bias.var") if self.has_bias else None

    def forward(self, mean: Any, var: Any) -> tuple[Any, Any]:
        def map_(x: Any, weight: Any, bias: Any = None) -> Any:
            return self.function(x, weight, bias, **self.options)

        z_var = map_(var, self.mean**2 + self.var) + map_(mean**2, self.var, self.bias_var)
        return map_(mean, self.mean, self.bias_mean), z_var

    def innovations(self, mean: Any, delta_mean: Any, delta_var: Any) -> dict[str, Any]:
        """By autograd, as all are linear: the sums of delta_mean a and of delta_var a^2."""
        result = {}
        for moment, x, delta in (("G", mean, delta_mean), ("H", mean**2, delta_var)):
            weight = torch.zeros_like(self.mean).requires_grad_()
            bias = torch.zeros(delta.shape[1], dtype=torch.float64).requires_grad_()
            z = self.function(x, weight, bias, **self.options)
            of_weight, of_bias = torch.autograd.grad((z * delta).sum(), (weight, bias))
            result[f"weight.{moment}"], result[f"bias.{moment}"] = of_weight, of_bias
        return result

    def after(self, mean: Any, delta_mean: Any, delta_var: Any) -> dict[str, Any]:
        """Its parameters after an update."""
        sums, result = self.innovations(mean, delta_mean, delta_var), {}
        for kind, own, own_var in (
            ("weight", self.mean, self.var),
            ("bias", self.bias_mean, self.bias_var),
        ):
            if own is None:
                continue
            after = updated(own, own_var, sums[f"{kind}.G"], sums[f"{kind}.H"])
            result[f"{self.name}.{kind}.mean"], result[f"{self.name}.{kind}.var"] = after
        return result

    def below(self, x: Any, var: Any, delta_mean: Any, delta_var: Any) -> tuple[Any, Any]:
        """delta_mean by W_mean and delta_var by W_mean^2, to the inputs."""
        result = []
        for weight, delta in ((self.mean, delta_mean), (self.mean**2, delta_var)):
            point = torch.zeros_like(x).requires_grad_()
            z = self.function(point, weight.detach(), None, **self.options)
            result.append(torch.autograd.grad((z * delta).sum(), point)[0])
        return result[0], result[1]


class Norm:
    """y = r (m - mu), r^-2 = mean((m - mu)^2 + v) + eps, over the last three axes of groups."""

    def __init__(self, layer: Any, exact: bool) -> None:
        self.groups = layer.config.get("num_groups", 1)
        self.centred = not isinstance(layer, nn.RMSNorm)
        self.eps, self.exact = layer.config["eps"], exact

    def in_groups(self, values: Any) -> Any:
        return values.reshape(len(values), self.groups, -1)

    def moments(self, mean: Any, var: Any) -> tuple[Any, Any]:
        m, v = self.in_groups(mean), self.in_groups(var)
        centred = m - m.mean(-1, keepdim=True) if self.centred else m
        r = ((centred**2 + v).mean(-1, keepdim=True) + self.eps) ** -0.5
        return centred * r, r

    def forward(self, mean: Any, var: Any) -> tuple[Any, Any]:
        y, r = self.moments(mean, var)
        return y.reshape(mean.shape), (r**2 * self.in_groups(var)).reshape(var.shape)

    def below(self, mean: Any, var: Any, delta_mean: Any, delta_var: Any) -> tuple[Any, Any]:
        """By autograd through the statistics, or with the statistics as constants."""
        point = mean.detach().clone().requires_grad_()
        y, r = self.moments(point, var.detach())
        if not self.exact:
            y = r.detach() * self.in_groups(point)
        (below,) = torch.autograd.grad((y.reshape(mean.shape) * delta_mean).sum(), point)
        r = r.detach()
        return below, (r**2 * self.in_groups(delta_var)).reshape(var.shape)


class Largest:
    """F.max_pool2d with the position that was chosen."""

    def __init__(self, layer: Any) -> None:
        self.arguments = [layer.config[key] for key in ("kernel_size", "stride", "padding")]

    def forward(self, mean: Any, var: Any) -> tuple[Any, Any]:
        largest, chosen = F.max_pool2d(mean, *self.arguments, return_indices=True)
        self.chosen = chosen
        return largest, var.flatten(2).gather(2, chosen.flatten(2)).reshape(chosen.shape)

    def below(self, mean: Any, var: Any, *deltas: Any) -> tuple[Any, Any]:
        zeros = torch.zeros_like(mean).flatten(2)
        places = self.chosen.flatten(2)
        sums = [zeros.scatter_add(2, places, d.flatten(2)).reshape(mean.shape) for d in deltas]
        return sums[0], sums[1]


class Rectified:
    """The first-order ReLU: mean and variance where the mean is positive, else 0."""

    def forward(self, mean: Any, var: Any) -> tuple[Any, Any]:
        return mean.clamp(min=0), var * (mean > 0)

    def below(self, mean: Any, var: Any, delta_mean: Any, delta_var: Any) -> tuple[Any, Any]:
        return delta_mean * (mean > 0), delta_var * (mean > 0)


def truth_of(layer: Any, name: str) -> Any:
    if isinstance(layer, nn.ReLU):
        return Rectified()
    if isinstance(layer, nn.MaxPool2d):
        return Largest(layer)
    if isinstance(layer, (nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)):
        return Norm(layer, exact=layer.config["statistics"] == "exact")
    return Convolution(layer, name)


def updated(mean: Any, var: Any, information: Any, precision: Any) -> tuple[Any, Any]:
    """The information rule with its default bound."""
    after = var / (1 - var * precision)
    bound = var.sqrt() / 3
    return mean + (after * information).clamp(-bound, bound), after
