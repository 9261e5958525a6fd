"""Moments of element-wise activations under a Gaussian input, in float64.

For a = f(z), z ~ N(m, v), the exact form is

    mean = E f(z),   var = Var f(z),   jacobian = Cov(z, f(z)) / v = E f'(z)   (Stein's lemma)

and the first-order form is mean = f(m), var = f'(m)^2 v, jacobian = f'(m). Where v = 0 the two
agree, and the first-order form is what is returned. Source: Goulet, Nguyen & Amiri, JMLR 22 (2021).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Moments = Literal["exact", "first_order"]

_QUADRATURE_RADIUS = 13.0  # in standard deviations; the normal density beyond is below 1e-36
_QUADRATURE_MAX_NODES = 20_001


class ActivationMoments(NamedTuple):
    """What an activation gives for an input of shape (batch, features): three such tensors."""

    mean: Tensor
    var: Tensor
    jacobian: Tensor


class _Tails(NamedTuple):
    """Moments of r = max(z, 0): probability P(z > 0), E r and E r^2."""

    probability: Tensor
    mean: Tensor
    second: Tensor


def _normal_density(x: Tensor) -> Tensor:
    return torch.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def _normal_probability(x: Tensor) -> Tensor:
    probability: Tensor = torch.special.ndtr(x)
    return probability


def _rectified(mean: Tensor, std: Tensor) -> _Tails:
    """Moments of r = max(z, 0) for z ~ N(mean, std^2), std > 0, with relative accuracy throughout.

        E r = m Phi(alpha) + s phi(alpha),   E r^2 = (m^2 + s^2) Phi(alpha) + m s phi(alpha)

    with alpha = m / s. For alpha < 0 these are differences of nearly equal numbers. There, with
    x = -alpha and the Mills ratio M = (1 - Phi(x)) / phi(x) = sqrt(pi/2) erfcx(x / sqrt 2),

        E r = s phi (1 - x M),   E r^2 = s^2 phi ((1 + x^2) M - x)

    lose only a factor x^2 (x^4) of the 1e-16 relative accuracy; beyond x = 30 their asymptotic
    series 1/x^2 - 3/x^4 + ... and 2 (1/x^3 - 6/x^5 + ...) take over.
    """
    alpha = mean / std
    density = _normal_density(alpha)
    x = (-alpha).clamp(min=0.0)
    mills = math.sqrt(0.5 * math.pi) * torch.special.erfcx(x / math.sqrt(2.0))
    q = 1.0 / (x * x).clamp(min=900.0)
    far = x > 30.0
    left_mean = torch.where(
        far, q * (1 - 3 * q * (1 - 5 * q * (1 - 7 * q * (1 - 9 * q)))), 1 - x * mills
    )
    left_second = torch.where(
        far,
        2 * q * q.sqrt() * (1 - 6 * q * (1 - 7.5 * q * (1 - 28 / 3 * q * (1 - 11.25 * q)))),
        (1 + x * x) * mills - x,
    )
    probability = _normal_probability(alpha)
    left = alpha < 0
    return _Tails(
        torch.where(left, density * mills, probability),
        torch.where(left, std * density * left_mean, mean * probability + std * density),
        torch.where(
            left,
            std * std * density * left_second,
            (mean * mean + std * std) * probability + mean * std * density,
        ),
    )


def _rectified_var(mean: Tensor, std: Tensor, tails: _Tails) -> Tensor:
    """Var max(z, 0), accurate on both sides.

    For m > 0 the direct E r^2 - (E r)^2 cancels. With l = max(-z, 0): z = r - l and r l = 0, so
    v = Var r + Var l + 2 E r E l, which gives Var r from the small moments of l.
    """
    mirror = _rectified(-mean, std)
    mirror_var = mirror.second - mirror.mean**2
    direct = tails.second - tails.mean**2
    return torch.where(mean > 0, std**2 - mirror_var - 2 * tails.mean * mirror.mean, direct)


def _quadrature(
    value: Callable[[Tensor], Tensor],
    derivative: Callable[[Tensor], Tensor],
    mean: Tensor,
    std: Tensor,
) -> ActivationMoments:
    """Exact moments by the trapezoidal rule, which converges geometrically for analytic f.

    With u = (z - m) / s the integrand f(m + s u) phi(u) has its nearest singularity at a distance
    d / s from the real axis (d = pi/2 for tanh, pi for the logistic family), and the error is
    about exp(-2 pi d / (s h)) for step h: h = 0.25 / max(1, s) leaves less than 1e-13. For an f
    with a kink the error is of order h^2 instead. The number of nodes is bounded, which costs
    accuracy from standard deviations of about 200.
    """
    widest = max(1.0, float(std.max())) if std.numel() else 1.0
    n_nodes = min(2 * math.ceil(_QUADRATURE_RADIUS * widest / 0.25) + 1, _QUADRATURE_MAX_NODES)
    nodes = torch.linspace(
        -_QUADRATURE_RADIUS, _QUADRATURE_RADIUS, n_nodes, dtype=torch.float64, device=mean.device
    )
    weights = _normal_density(nodes)
    weights = weights / weights.sum()
    result = ActivationMoments(*(torch.empty_like(mean) for _ in range(3)))
    rows = max(1, 4_000_000 // n_nodes)  # bounds the memory of the (rows, nodes) table
    flat = [t.reshape(-1) for t in (mean, std, *result)]
    for start in range(0, mean.numel(), rows):
        m, s, out_mean, out_var, out_jacobian = (t[start : start + rows] for t in flat)
        z = m[:, None] + s[:, None] * nodes
        f = value(z)
        out_mean.copy_(f @ weights)
        out_var.copy_((f - out_mean[:, None]).square() @ weights)
        out_jacobian.copy_(derivative(z) @ weights)
    return result


class ElementwiseActivation(ABC):
    """Base of the activations: `value` and `derivative`, and exact moments by quadrature.

    Args:
        moments: "exact" or "first_order".

    Raises:
        ValueError: For other moments.
    """

    def __init__(self, moments: Moments = "exact") -> None:
        if moments not in ("exact", "first_order"):
            raise ValueError(f"moments: got {moments!r}, needed 'exact' or 'first_order'")
        self.moments = moments

    @abstractmethod
    def value(self, z: Tensor) -> Tensor:
        """f(z)."""

    @abstractmethod
    def derivative(self, z: Tensor) -> Tensor:
        """f'(z)."""

    def exact(self, mean: Tensor, std: Tensor) -> ActivationMoments:
        """Exact moments for a standard deviation std > 0."""
        return _quadrature(self.value, self.derivative, mean, std)

    def forward(self, mean: Tensor, var: Tensor) -> ActivationMoments:
        """Moments of f(z) for float64 tensors (batch, features) of mean and variance of z."""
        slope = self.derivative(mean)
        first_order = ActivationMoments(self.value(mean), slope * slope * var, slope)
        if self.moments == "first_order":
            return first_order
        certain = var <= 0
        if bool(certain.all()):
            return first_order
        exact = self.exact(mean, torch.where(certain, 1.0, var).sqrt())
        return ActivationMoments(
            *(torch.where(certain, f, e) for f, e in zip(first_order, exact, strict=True))
        )


class Activation(ElementwiseActivation):
    """A user's activation from two functions of a float64 tensor, the value and its derivative."""

    def __init__(
        self,
        value: Callable[[Tensor], Tensor],
        derivative: Callable[[Tensor], Tensor],
        moments: Moments = "exact",
    ) -> None:
        super().__init__(moments)
        self._value, self._derivative = value, derivative

    def value(self, z: Tensor) -> Tensor:
        return self._value(z)

    def derivative(self, z: Tensor) -> Tensor:
        return self._derivative(z)


class Identity(ElementwiseActivation):
    """f(z) = z."""

    def __init__(self) -> None:
        super().__init__("first_order")  # exact for a linear f

    def value(self, z: Tensor) -> Tensor:
        return z

    def derivative(self, z: Tensor) -> Tensor:
        return torch.ones_like(z)


class ReLU(ElementwiseActivation):
    """f(z) = max(z, 0), f'(0) = 0. Closed form:

    E f = m Phi + s phi,   E f^2 = (m^2 + v) Phi + m s phi,   J = Phi   (at alpha = m / s)
    """

    def value(self, z: Tensor) -> Tensor:
        return z.clamp(min=0.0)

    def derivative(self, z: Tensor) -> Tensor:
        return (z > 0).to(z.dtype)

    def exact(self, mean: Tensor, std: Tensor) -> ActivationMoments:
        tails = _rectified(mean, std)
        return ActivationMoments(tails.mean, _rectified_var(mean, std, tails), tails.probability)


class LeakyReLU(ElementwiseActivation):
    """f(z) = z for z > 0, else negative_slope z. Closed form, with k the slope and r = max(z, 0):

    E f = k m + (1 - k) E r,   Var f = k^2 v + 2 k (1 - k) v Phi + (1 - k)^2 Var r,
    J = k + (1 - k) Phi
    """

    def __init__(self, negative_slope: float = 0.01, moments: Moments = "exact") -> None:
        super().__init__(moments)
        self.negative_slope = negative_slope

    def value(self, z: Tensor) -> Tensor:
        return torch.where(z > 0, z, self.negative_slope * z)

    def derivative(self, z: Tensor) -> Tensor:
        return torch.where(z > 0, 1.0, self.negative_slope).to(z.dtype)

    def exact(self, mean: Tensor, std: Tensor) -> ActivationMoments:
        k, var = self.negative_slope, std * std
        tails = _rectified(mean, std)
        rectified_var = _rectified_var(mean, std, tails)
        return ActivationMoments(
            k * mean + (1 - k) * tails.mean,
            k * k * var + 2 * k * (1 - k) * var * tails.probability + (1 - k) ** 2 * rectified_var,
            k + (1 - k) * tails.probability,
        )


class Hardtanh(ElementwiseActivation):
    """f(z) = z clipped to [-1, 1], f' = 1 inside and 0 on the limits.

    Closed form from the overshoots r = max(z - 1, 0) and l = max(-1 - z, 0), which are never both
    positive: f = z - r + l, J = P(-1 < z < 1). Two forms of the variance, by where z lies:

        mostly inside:   v (1 - 2 P(|z| > 1)) + E r^2 + E l^2 - (E r - E l)^2
        mostly outside, m >= 0 (else mirrored), with u = max(1 - z, 0), 1 - f = u - l:
                         E u^2 - E l^2 - 4 E l - (E u - E l)^2
    """

    def value(self, z: Tensor) -> Tensor:
        return z.clamp(-1.0, 1.0)

    def derivative(self, z: Tensor) -> Tensor:
        return (z.abs() < 1).to(z.dtype)

    def exact(self, mean: Tensor, std: Tensor) -> ActivationMoments:
        m = mean.abs()
        right, left = _rectified(m - 1, std), _rectified(-1 - m, std)
        short = _rectified(1 - m, std)
        outside = right.probability + left.probability
        var_inside = (
            std**2 * (1 - 2 * outside) + right.second + left.second - (right.mean - left.mean) ** 2
        )
        complement = short.mean - left.mean
        var_outside = short.second - left.second - 4 * left.mean - complement**2
        inside = outside < 0.5
        centre = torch.where(inside, m - right.mean + left.mean, 1 - complement)
        return ActivationMoments(
            torch.where(mean < 0, -centre, centre),
            torch.where(inside, var_inside, var_outside),
            torch.where(inside, 1 - outside, short.probability - left.probability),
        )


class Sigmoid(ElementwiseActivation):
    """f(z) = 1 / (1 + exp(-z)). Exact moments by quadrature."""

    def value(self, z: Tensor) -> Tensor:
        return torch.sigmoid(z)

    def derivative(self, z: Tensor) -> Tensor:
        return torch.sigmoid(z) * torch.sigmoid(-z)


class Tanh(ElementwiseActivation):
    """f(z) = tanh(z). Exact moments by quadrature."""

    def value(self, z: Tensor) -> Tensor:
        return torch.tanh(z)

    def derivative(self, z: Tensor) -> Tensor:
        return 4 * torch.sigmoid(2 * z) * torch.sigmoid(-2 * z)


class Softplus(ElementwiseActivation):
    """f(z) = log(1 + exp(z)). Exact moments by quadrature."""

    def value(self, z: Tensor) -> Tensor:
        return torch.logaddexp(z, torch.zeros_like(z))

    def derivative(self, z: Tensor) -> Tensor:
        return torch.sigmoid(z)


class SiLU(ElementwiseActivation):
    """f(z) = z sigmoid(z). Exact moments by quadrature."""

    def value(self, z: Tensor) -> Tensor:
        return z * torch.sigmoid(z)

    def derivative(self, z: Tensor) -> Tensor:
        return torch.sigmoid(z) * (1 + z * torch.sigmoid(-z))


class GELU(ElementwiseActivation):
    """f(z) = z Phi(z), the erf form. Exact moments by quadrature.

    E f has a closed form, m Phi(m / t) + v / t phi(m / t) with t^2 = 1 + v, and so has J; Var f
    has none, and one rule for all three keeps them consistent.
    """

    def value(self, z: Tensor) -> Tensor:
        return z * _normal_probability(z)

    def derivative(self, z: Tensor) -> Tensor:
        return _normal_probability(z) + z * _normal_density(z)


class Exp(ElementwiseActivation):
    """f(z) = exp(z), log-normal: E f = exp(m + v/2), Var f = (E f)^2 (exp(v) - 1), J = E f."""

    def value(self, z: Tensor) -> Tensor:
        return torch.exp(z)

    def derivative(self, z: Tensor) -> Tensor:
        return torch.exp(z)

    def exact(self, mean: Tensor, std: Tensor) -> ActivationMoments:
        var = std * std
        centre = torch.exp(mean + 0.5 * var)
        return ActivationMoments(centre, centre * centre * torch.expm1(var), centre)
