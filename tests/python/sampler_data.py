"""Samplers, schedules and Gaussian data for tests of samplers."""

from __future__ import annotations

import numpy as np
from gaussian_mixture import Array, gaussian

from tagix import schedules
from tagix.samplers import DDIM, DDPM, DPMSolverMultistep, Euler, Heun, Sampler

SAMPLERS: list[Sampler] = [
    DDPM(),
    DDPM(7, "fixed_small"),
    DDPM(60),
    DDIM(),
    DDIM(9, eta=0.5),
    Euler(),
    Euler(5, rho=1.0),
    Heun(),
    Heun(4),
    DPMSolverMultistep(),
    DPMSolverMultistep(5),
]
PREDICTION_TYPES = ["epsilon", "sample", "v_prediction"]
COSINE = schedules.Cosine().alpha_bar(40)
EDM = schedules.EDM().alpha_bar(40)
# The plane: different variances, correlated, off the origin.
DATA = gaussian([0.4, -0.7], [[1.2, 0.5], [0.5, 0.4]])


def start(n: int, d: int, seed: int = 0) -> Array:
    """Standard normal numbers (n, d), where chains start."""
    return np.random.default_rng(seed).standard_normal((n, d))
