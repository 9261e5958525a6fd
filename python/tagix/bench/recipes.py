"""The default training of the two methods, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tagix.bench.jobs import Job, Sampling

# What tagix observes its targets with, by default: noise whose size is learned for each output.
# Noise that depends on x_t and t is as good by EMD, but shrinks samples by half a percent: it
# weighs timesteps by how well their targets can be told.
NOISE = {"noise": "homoscedastic", "noise_arguments": {"learn": True}}
# Of Adam, as published for the peer.
LEARNING_RATE = 1e-3
# Samples of a model where densities are compared: of fewer, NLL varies more than models differ.
N_SAMPLES = 8000
# The rates among which the peer's best is looked for.
LEARNING_RATES = (1e-3, 3e-3, 1e-2)


@dataclass(frozen=True)
class Scale:
    """How much of a table is run.

    Attributes:
        quick: Run few cells and epochs, as a check, in place of the full grid.
        n_seeds: Models of each kind.
    """

    quick: bool
    n_seeds: int

    @property
    def seeds(self) -> range:
        """The seeds of the models."""
        return range(self.n_seeds)

    @property
    def floor_seeds(self) -> range:
        """The seeds of the draws of real points that the floor is measured on."""
        return range(4 if self.quick else 10)


def tagix_job(data: str, seed: int, **settings: Any) -> Job:
    """A training of tagix by the recipe of the benchmarks, with these settings instead."""
    noise = {} if "noise" in settings else NOISE
    return Job("tagix", data, seed=seed, **{**noise, **settings})


def pytorch_job(data: str, seed: int, **settings: Any) -> Job:
    """A training of the peer by the recipe of the benchmarks, with these settings instead."""
    return Job("pytorch", data, seed=seed, **{"learning_rate": LEARNING_RATE, **settings})


def real_jobs(scale: Scale, data: str, sampling: Sampling, **settings: Any) -> list[Job]:
    """Measurements of real points in the place of samples; they give the floor."""
    return [
        Job("real", data, seed=seed, checkpoints=(), samplings=(sampling,), **settings)
        for seed in scale.floor_seeds
    ]
