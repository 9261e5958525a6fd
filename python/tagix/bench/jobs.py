"""What a benchmark trains and measures, as plain data: jobs with equal descriptions are equal."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Method = Literal["tagix", "pytorch", "real"]


@dataclass(frozen=True)
class Sampling:
    """One way to draw from a trained model, and what to measure of the samples.

    Attributes:
        name: Name of the results, unique in a job.
        n_samples: Samples to draw; with by_class, of each class.
        metrics: Keys of tagix.bench.measures.MEASURES.
        sampler: Class in tagix.samplers; None is the model's own default, DDPM over all steps.
        sampler_arguments: Of that class.
        by_class: Draw each class by its label, in turn, and measure class by class.
        guidance: Weight of classifier-free guidance; None is plain conditional.
        guidance_convention: "scale" or "weight".
        uncertainty: Draw with uncertainty=True, which gives each sample a score.
        n_stored: Samples that are kept for figures.
        n_chains: Chains that are kept whole, from the starting noise on.
    """

    name: str = "default"
    n_samples: int = 2000
    metrics: tuple[str, ...] = ()
    sampler: str | None = None
    sampler_arguments: Mapping[str, Any] = field(default_factory=dict)
    by_class: bool = False
    guidance: float | None = None
    guidance_convention: str = "scale"
    uncertainty: bool = False
    n_stored: int = 1000
    n_chains: int = 0


class BenchmarkJob(ABC):
    """One piece of work of a benchmark, described by the fields of a derived dataclass.

    The properties here may be fields of the derived class.
    """

    @property
    def format(self) -> int:
        """Part of the key; raised when a change of the code makes old results wrong."""
        return 1

    @property
    def n_threads(self) -> int:
        """Threads of the libraries."""
        return 1

    @property
    def timed(self) -> bool:
        """Whether it has to run alone, since its seconds count."""
        return False

    @property
    def needs_torch(self) -> bool:
        """Whether PyTorch does the work."""
        return False

    @abstractmethod
    def title(self) -> str:
        """How the names of its files begin."""

    @abstractmethod
    def run(self) -> tuple[dict[str, Any], Mapping[str, npt.NDArray[np.floating[Any]]]]:
        """Do the work; returns numbers, as JSON can hold them, and arrays."""

    def description(self) -> dict[str, Any]:
        """All fields as JSON knows them."""
        described: dict[str, Any] = json.loads(json.dumps(asdict(self)))  # type: ignore[call-overload]
        return described

    def key(self) -> str:
        """Name of the job's files: readable, and unique by a hash."""
        canonical = json.dumps([self.format, self.description()], sort_keys=True)
        digest = hashlib.sha256(canonical.encode()).hexdigest()[:16]
        return f"{self.title()}_{digest}"


@dataclass(frozen=True)
class Job(BenchmarkJob):
    """One training of one model, and the measurements of it.

    Attributes:
        method: "tagix", "pytorch" (the peer trained by Adam), or "real": no model, but held-out
            points in the place of samples, so that the same measurements give the floor.
        data: Name of the data set.
        protocol: "classroom" (tagix.datasets.load_classroom) or "toy" (load_toy).
        n_train: Train points; None is the protocol's number.
        seed: Of the model, of training and of samples. The data are the same for every seed.
        n_steps: Diffusion steps T.
        schedule: Name in tagix.schedules, "cosine", "linear", "sigmoid" or "edm".
        schedule_arguments: Of that schedule.
        prediction_type: "epsilon", "sample" or "v_prediction".
        time_features: As of tagix.DiffusionModel.
        hidden: Widths of the hidden layers.
        conditional: Train with class labels.
        p_uncond: Share of labels left out in training.
        noise: Name in tagix.bench.models.NOISES; of method "tagix" alone.
        noise_arguments: Of that noise.
        rule: Update rule and its arguments, None for the default; of method "tagix" alone.
        relu_moments: "exact" or "first_order"; of method "tagix" alone.
        learning_rate: Of Adam; of method "pytorch" alone.
        batch_size: Rows of an update.
        checkpoints: Epochs after which the model is measured; the last ends the training.
        samplings: What is drawn and measured at each checkpoint.
        denoising: Whether held-out error and coverage of the predicted noise are measured, too.
        until: (sampling, metric, value): training ends at the first checkpoint with a lower or
            equal value.
        max_seconds: Of training; it ends at the first checkpoint beyond.
        n_threads: Threads of both libraries.
        timed: Whether it has to run alone, since its seconds count.
    """

    method: Method
    data: str
    protocol: Literal["classroom", "toy"] = "classroom"
    n_train: int | None = None
    seed: int = 0
    n_steps: int = 100
    schedule: str = "cosine"
    schedule_arguments: Mapping[str, Any] = field(default_factory=dict)
    prediction_type: str = "epsilon"
    time_features: str = "cosine"
    hidden: tuple[int, ...] = (64, 64, 64, 64)
    conditional: bool = False
    p_uncond: float = 0.2
    noise: str | None = None
    noise_arguments: Mapping[str, Any] = field(default_factory=dict)
    rule: Mapping[str, Any] | None = None
    relu_moments: Literal["exact", "first_order"] = "exact"
    learning_rate: float | None = None
    batch_size: int = 64
    checkpoints: tuple[int, ...] = (50,)
    samplings: tuple[Sampling, ...] = ()
    denoising: bool = False
    until: tuple[str, str, float] | None = None
    max_seconds: float | None = None
    n_threads: int = 1
    timed: bool = False

    @property
    def needs_torch(self) -> bool:
        """Whether PyTorch does the work."""
        return self.method == "pytorch"

    def title(self) -> str:
        """Method, data, steps and seed."""
        return f"{self.method}_{self.data}_T{self.n_steps}_seed{self.seed}"

    def run(self) -> tuple[dict[str, Any], Mapping[str, npt.NDArray[np.floating[Any]]]]:
        """As tagix.bench.measures.run."""
        from tagix.bench import measures

        return measures.run(self)
