"""Networks and diffusion models for either device, and how close their results must be."""

from __future__ import annotations

from typing import Any

from helpers import relative_error, with_given_parameters

import tagix as tx
from tagix import nn

DEVICES = ("cpu", "cuda")
TOLERANCE = 1e-5  # of results that the CPU gives, too


def small(device: str = "cpu", **options: Any) -> nn.Sequential:
    """A network for regression_data."""
    layers = nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2)
    return nn.Sequential(*layers, **{"seed": 0, "device": device, **options})


def small_diffusion(device: str = "cpu", **options: Any) -> tx.DiffusionModel:
    """A diffusion model of two columns that takes samples without a fit."""
    settings = {"n_steps": 8, "seed": 0, "device": device, **options}
    return with_given_parameters(tx.DiffusionModel(2, (16,), **settings))


def agree(one: tx.Gaussian, other: tx.Gaussian, tolerance: float = TOLERANCE) -> bool:
    """Whether means and variances are within ``tolerance`` of the largest of each."""
    return all(relative_error(a, b) <= tolerance for a, b in zip(one, other, strict=True))
