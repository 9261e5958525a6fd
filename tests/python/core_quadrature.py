"""The quadrature rule of the compiled core, for the float64 reference; needs torch."""

from __future__ import annotations

import numpy as np
import torch
from helpers import Array
from torch import Tensor

from tagix import nn, reference
from tagix.reference.activations import ActivationMoments, ElementwiseActivation


def core_rule() -> tuple[Array, Array]:
    """Nodes and weights of the core's quadrature, as an activation of one's own sees them."""
    nodes: list[Array] = []

    def value(z: Array) -> Array:
        nodes.append(z.copy())
        return np.ones_like(z)

    one = np.ones((1, 1), np.float32)
    nn.Sequential(nn.Activation(value, np.zeros_like), seed=0)(0 * one, one)
    node = nodes[0]
    weights = []
    for k in range(node.size):
        chosen = np.eye(node.size, dtype=np.float32)[k]
        layer = nn.Activation(lambda z, chosen=chosen: chosen, np.zeros_like)
        weights.append(nn.Sequential(layer, seed=0)(0 * one, one).mean[0, 0])
    return node, np.array(weights)


def with_core_rule(activation: ElementwiseActivation) -> ElementwiseActivation:
    """A reference activation that integrates by the core's rule, in float64.

    What is then left between it and the core is arithmetic alone.
    """
    node, weight = (torch.as_tensor(values, dtype=torch.float64) for values in core_rule())
    weight = weight / weight.sum()

    def exact(mean: Tensor, std: Tensor) -> ActivationMoments:
        z = mean[..., None] + std[..., None] * node
        f = activation.value(z)
        first = f @ weight
        var = (f - first[..., None]).square() @ weight
        jacobian = activation.derivative(z) @ weight
        if isinstance(activation, reference.GELU):  # mean and Jacobian in closed form
            k = torch.sqrt(1 + std**2)
            probability = torch.special.ndtr(mean / k)
            density = torch.exp(-0.5 * (mean / k) ** 2) / (2 * torch.pi) ** 0.5
            first = mean * probability + std**2 / k * density
            jacobian = probability + mean / k**3 * density
        return ActivationMoments(first, var, jacobian)

    activation.exact = exact  # type: ignore[method-assign]
    return activation
