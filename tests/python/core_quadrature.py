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


# Up to this variance the core takes a softplus by Gauss-Hermite with 12 nodes.
NARROW_VAR = 1.5


def with_core_rule(activation: ElementwiseActivation) -> ElementwiseActivation:
    """A reference activation that integrates by the core's rules, in float64.

    What is then left between it and the core is arithmetic alone.
    """
    node, weight = (torch.as_tensor(values, dtype=torch.float64) for values in core_rule())
    rules = [(node, weight / weight.sum())]
    if isinstance(activation, reference.Softplus):
        node, weight = (torch.as_tensor(v) for v in np.polynomial.hermite_e.hermegauss(12))
        rules.append((node, weight / weight.sum()))

    def moments(mean: Tensor, std: Tensor, node: Tensor, weight: Tensor) -> list[Tensor]:
        z = mean[..., None] + std[..., None] * node
        f = activation.value(z)
        first = f @ weight
        var = (f - first[..., None]).square() @ weight
        return [first, var, activation.derivative(z) @ weight]

    def exact(mean: Tensor, std: Tensor) -> ActivationMoments:
        by_rule = [moments(mean, std, *rule) for rule in rules]
        narrow = std**2 <= NARROW_VAR
        return ActivationMoments(
            *(
                torch.where(narrow, of_narrow, of_any)
                for of_any, of_narrow in zip(by_rule[0], by_rule[-1], strict=True)
            )
        )

    activation.exact = exact  # type: ignore[method-assign]
    return activation
