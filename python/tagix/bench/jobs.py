"""What a benchmark trains and measures, as plain data: jobs with equal descriptions are equal."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tagix.bench import measures
from tagix.bench.training import Sampling, Training

__all__ = ["BenchmarkJob", "Job", "Sampling"]


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
class Job(Training, BenchmarkJob):
    """A training of the toy benchmark; its attributes are those of Training."""

    @property
    def needs_torch(self) -> bool:
        """Whether PyTorch does the work."""
        return self.method == "pytorch"

    def title(self) -> str:
        """Method, data, steps and seed."""
        return f"{self.method}_{self.data}_T{self.n_steps}_seed{self.seed}"

    def run(self) -> tuple[dict[str, Any], Mapping[str, npt.NDArray[np.floating[Any]]]]:
        """As tagix.bench.measures.run."""
        return measures.run(self)
