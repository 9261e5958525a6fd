"""The adjoint of a network of linear layers and ReLU, in float64.

A noise that a layer adds goes up to the outputs by itself: by G = d output / d z_mean from an
affine map z = W a + b, and by H = d output / d a_mean from an activation a = f(z). Both are total
derivatives, through the means and the variances of all layers above. One pass down gives them for
all outputs, from G = I and G_v = 0:

    affine       H = G W_mean + 2 a_mean (G_v W_var),   H_v = G_v (W_mean^2 + W_var)
    activation   G = H dE/dm + H_v dVar/dm,             G_v = H dE/dv + H_v dVar/dv
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .activations import ReLU
from .network import Linear, Sequential

Array: TypeAlias = npt.NDArray[np.float64]


class LinearPass(NamedTuple):
    """An affine map in a forward pass: the moments that enter it, (n, in), and what it adds.

    ``added``, W_var (a_mean^2 + a_var) + b_var, is the variance by its parameters, (n, out).
    """

    layer: Linear
    mean: Tensor
    var: Tensor
    added: Tensor


class ReLUPass(NamedTuple):
    """A ReLU in a forward pass: the moments that enter it, and what follows, all (n, units).

    The derivatives of its moments by the mean and the variance; ``excess``, a_var - J^2 z_var, is
    the variance that no linear map of z explains.
    """

    mean: Tensor
    var: Tensor
    mean_by_mean: Tensor
    mean_by_var: Tensor
    var_by_mean: Tensor
    var_by_var: Tensor
    excess: Tensor


Pass: TypeAlias = LinearPass | ReLUPass


def passes_of(network: Sequential, inputs: Tensor) -> list[Pass]:
    """What each layer does to inputs (n, features) that are known exactly."""
    mean, var = inputs, torch.zeros_like(inputs)
    passes: list[Pass] = []
    for layer in network.layers:
        if isinstance(layer, Linear):
            added = (mean**2 + var) @ layer.weight.var.T
            if layer.bias is not None:
                added = added + layer.bias.var
            passes.append(LinearPass(layer, mean, var, added))
            mean = mean @ layer.weight.mean.T
            mean = mean if layer.bias is None else mean + layer.bias.mean
            var = var @ (layer.weight.mean**2).T + added
        elif isinstance(layer, ReLU):
            std = var.sqrt()
            share = torch.special.ndtr(mean / std)
            density = torch.exp(-((mean / std) ** 2) / 2) / math.sqrt(2 * math.pi)
            above, above_var, jacobian = layer.forward(mean, var)
            by_var = share - above * density / std
            excess = (above_var - jacobian**2 * var).clamp(min=0)
            slopes = (share, density / (2 * std), 2 * above * (1 - share), by_var)
            passes.append(ReLUPass(mean, var, *slopes, excess))
            mean, var = above, above_var
    return passes


class Above(NamedTuple):
    """A layer and the derivatives of the outputs by the moments of its result, (n, outputs, units).

    ``below`` is the derivative by the means of what enters it.
    """

    layer: Pass
    by_mean: Tensor
    by_var: Tensor
    below: Tensor


def downwards(passes: list[Pass]) -> Iterator[Above]:
    """The layers from the last to the first, each with the adjoint above it."""
    last = passes[-1]
    assert isinstance(last, LinearPass)
    n, n_outputs = last.added.shape
    by_mean = torch.eye(n_outputs, dtype=torch.float64).expand(n, -1, -1)
    by_var = torch.zeros_like(by_mean)
    for each in reversed(passes):
        if isinstance(each, LinearPass):
            weight = each.layer.weight
            below = by_mean @ weight.mean + 2 * each.mean[:, None, :] * (by_var @ weight.var)
            below_var = by_var @ (weight.mean**2 + weight.var)
        else:
            mean_by_mean, mean_by_var = each.mean_by_mean[:, None, :], each.mean_by_var[:, None, :]
            var_by_mean, var_by_var = each.var_by_mean[:, None, :], each.var_by_var[:, None, :]
            below = by_mean * mean_by_mean + by_var * var_by_mean
            below_var = by_mean * mean_by_var + by_var * var_by_var
        yield Above(each, by_mean, by_var, below)
        by_mean, by_var = below, below_var


def linearized(network: Sequential, inputs: Tensor) -> tuple[Array, Array]:
    """d output / d input (n, outputs, features), and the covariance of the outputs.

    W = sum over affine maps of G diag(added) G^T, and over activations of H diag(excess) H^T.
    """
    covariance, jacobian = torch.zeros(()), torch.zeros(())
    for each in downwards(passes_of(network, inputs)):
        noise = each.layer.added if isinstance(each.layer, LinearPass) else each.layer.excess
        spread = (each.by_mean * noise[:, None, :]) @ each.by_mean.transpose(1, 2)
        covariance = covariance + spread
        jacobian = each.below
    return jacobian.numpy(), covariance.numpy()


class Sensitivity(NamedTuple):
    """How the outputs follow all that is random in a network, each of unit variance.

    Attributes:
        by_input: d output / d input, (n, outputs, features).
        by_parameter: The linear part, d output / d theta sqrt(Var theta), (n, outputs, parameters).
        by_rest: What is left, (n, outputs, units): of an affine map G sqrt(W_var a_var), the noise
            of its weights times that of its input, and of an activation H sqrt(excess). Layers
            follow each other as `correlations` has them.
    """

    by_input: Tensor
    by_parameter: Tensor
    by_rest: Tensor


def sensitivity(passes: list[Pass]) -> Sensitivity:
    """All of it from the last layer down: d mean / d W = G a_mean^T + 2 G_v W_mean a_var^T."""
    by_parameter: list[Tensor] = []
    by_rest: list[Tensor] = []
    below = torch.zeros(())
    for layer, by_mean, by_var, each_below in downwards(passes):
        below = each_below
        if isinstance(layer, ReLUPass):
            by_rest.append(by_mean * layer.excess.sqrt()[:, None, :])
            continue
        weight, bias = layer.layer.weight, layer.layer.bias
        by_weight = by_mean[:, :, :, None] * layer.mean[:, None, None, :]
        by_weight = by_weight + 2 * by_var[..., None] * weight.mean * layer.var[:, None, None, :]
        by_parameter.append((by_weight * weight.var.sqrt()).flatten(start_dim=2))
        if bias is not None:
            by_parameter.append(by_mean * bias.var.sqrt())
        by_rest.append(by_mean * (layer.var @ weight.var.T).sqrt()[:, None, :])
    return Sensitivity(below, torch.cat(by_parameter, dim=2), torch.cat(by_rest[::-1], dim=2))


def correlations(before: list[Pass], after: list[Pass]) -> Tensor:
    """Of the rest of each unit at two inputs of one network with the same weights, (n, units).

    With c the covariance of a unit at the two inputs, from 0 for the inputs themselves:

        affine       c_z = W_mean^2 c_a + W_var (c_a + a_mean a_mean') + b_var
                     correlation  W_var c_a / sqrt(W_var a_var  W_var a_var')
        activation   c_a = `relu_covariance` of z and z'
                     correlation  (c_a - J J' c_z) / sqrt(excess excess')
    """
    covariance = torch.zeros_like(after[0].mean)
    found: list[Tensor] = []

    def ratio(part: Tensor, first_var: Tensor, second_var: Tensor) -> Tensor:
        scale = (first_var * second_var).sqrt()
        return torch.where(scale > 0, part / scale.clamp(min=1e-300), torch.zeros_like(part))

    for one, two in zip(before, after, strict=True):
        if isinstance(one, LinearPass) and isinstance(two, LinearPass):
            weight, bias = two.layer.weight, two.layer.bias
            rest = covariance @ weight.var.T
            found.append(ratio(rest, one.var @ weight.var.T, two.var @ weight.var.T))
            linear = covariance @ (weight.mean**2).T + (one.mean * two.mean) @ weight.var.T
            covariance = linear + rest + (0.0 if bias is None else bias.var)
        elif isinstance(one, ReLUPass) and isinstance(two, ReLUPass):
            above = relu_covariance(one, two, covariance)
            rest = above - one.mean_by_mean * two.mean_by_mean * covariance
            found.append(ratio(rest, one.excess, two.excess))
            covariance = above
    return torch.cat(found, dim=1).clamp(0, 1)


def relu_covariance(one: ReLUPass, two: ReLUPass, covariance: Tensor, n_nodes: int = 8) -> Tensor:
    """Cov(max(z, 0), max(z', 0)) of Gaussians z and z' with this covariance, elementwise.

    By Price's theorem its second derivative by the covariance is the density of (z, z') at (0, 0),
    so that with J = Phi(mean / std), r = sin u and r_0 = sin u_0 the correlation

        J J' c + s s' / (2 pi) integral_0^u_0 (r_0 - r) exp(-(a^2 - 2 r a a' + a'^2) / (2 cos^2 u))

    with a = mean / std; by Gauss and Legendre's rule.
    """
    std, other = one.var.sqrt(), two.var.sqrt()
    a, b = one.mean / std, two.mean / other
    end = torch.asin((covariance / (std * other)).clamp(-1, 1))
    integral = torch.zeros_like(covariance)
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        r = torch.sin(end * node)
        exponent = -(a**2 - 2 * r * a * b + b**2) / (2 * (1 - r**2).clamp(min=1e-12))
        integral = integral + weight * (torch.sin(end) - r) * torch.exp(exponent)
    curved = std * other * end * integral / (2 * math.pi)
    return one.mean_by_mean * two.mean_by_mean * covariance + curved
