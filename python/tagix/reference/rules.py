"""How a batch's summed innovations change the parameters, in float64.

Both rules get, per parameter, G = sum_b delta_mean_b a_b (information on the mean) and
H = -sum_b delta_var_b a_b^2 (precision gained), with a_b the mean of the layer's input. H >= 0
unless a noise head is observed without `UpdateRule.expected_information`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor


class UpdateRule(ABC):
    """A rule that turns (mean, var, G, H) of a parameter into its posterior."""

    share: float = 0.0
    """The part k of its uncertainty that a batch's observations share; see `spread`."""

    expected_information: bool
    """Whether a noise head gains the precision expected of a target; see `noise.observe`."""

    def spread(self, batch_size: int) -> float:
        """The factor 1 + k (B - 1) on the output variance in the innovation."""
        return 1.0 + self.share * (batch_size - 1)

    @abstractmethod
    def step(
        self, mean: Tensor, var: Tensor, information: Tensor, precision: Tensor, batch_size: int
    ) -> tuple[Tensor, Tensor]:
        """The mean and variance after the update; all tensors have the parameter's shape."""


class Information(UpdateRule):
    """The information form, whose variance is positive for any batch:

        var'  = var / (1 + var H)
        mean' = mean + clip(var' G, +-clip sqrt(var))

    Args:
        share: k in the innovation variance var_z (1 + k (B - 1)) + noise_var.
        clip: Bound of a step, in prior standard deviations of the parameter.

    Raises:
        ValueError: Unless share is finite and >= 0 and clip > 0.
    """

    expected_information = True

    def __init__(self, share: float = 0.01, clip: float = 1 / 3) -> None:
        if not 0 <= share < math.inf:
            raise ValueError(f"share: got {share!r}, needed a finite number of at least 0")
        if not clip > 0:
            raise ValueError(f"clip: got {clip!r}, needed a number above 0")
        self.share, self.clip = share, clip

    def step(
        self, mean: Tensor, var: Tensor, information: Tensor, precision: Tensor, batch_size: int
    ) -> tuple[Tensor, Tensor]:
        posterior = var / (1 + var * precision)
        bound = self.clip * var.sqrt()
        return mean + torch.clamp(posterior * information, -bound, bound), posterior


class Capped(UpdateRule):
    """The capped form of cuTAGI, a first-order change clipped by the prior standard deviation:

        mean' = mean + clip(var G, +-sqrt(var) / cap)
        var'  = var + clip(-var^2 H, +-sqrt(var) / cap), and 1e-5 where that is not positive

    What is known exactly (var = 0) stays as it is.

    Args:
        cap: The divisor; None chooses 0.1 for a batch of 1, 2 below 256 and 3 from 256.

    Raises:
        ValueError: Unless cap is None, or finite and above 0.
    """

    expected_information = False

    def __init__(self, cap: float | None = None) -> None:
        if cap is not None and not 0 < cap < math.inf:
            raise ValueError(f"cap: got {cap!r}, needed a finite number above 0, or None")
        self.cap = cap

    def step(
        self, mean: Tensor, var: Tensor, information: Tensor, precision: Tensor, batch_size: int
    ) -> tuple[Tensor, Tensor]:
        cap = self.cap
        if cap is None:
            cap = 0.1 if batch_size == 1 else 2.0 if batch_size < 256 else 3.0
        bound = var.sqrt() / cap
        posterior = var + torch.clamp(-var * var * precision, -bound, bound)
        posterior = torch.where((posterior > 0) | (var == 0), posterior, 1e-5)
        return mean + torch.clamp(var * information, -bound, bound), posterior
