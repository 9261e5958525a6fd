"""Results of many jobs, as the tables read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tagix.bench.compare import Summary
from tagix.bench.jobs import BenchmarkJob, Job
from tagix.bench.store import Store


class Results:
    """Numbers and samples of finished jobs; a job that failed has none."""

    def __init__(self, results: Mapping[str, dict[str, Any]], store: Store) -> None:
        self._results, self._store = results, store

    def of(self, job: BenchmarkJob) -> dict[str, Any] | None:
        """The numbers that its run gave, or None."""
        return self._results.get(job.key())

    def arrays(self, job: BenchmarkJob) -> dict[str, npt.NDArray[np.floating[Any]]]:
        """The arrays that were stored, none for a job that failed."""
        return self._store.arrays(job) if self.of(job) is not None else {}

    def checkpoint(self, job: Job, epoch: int | None = None) -> dict[str, Any] | None:
        """What was measured after an epoch, by default the last one; None if nothing was."""
        result = self.of(job)
        if result is None:
            return None
        if epoch is None:
            last: dict[str, Any] = result["checkpoints"][-1]
            return last
        return next((each for each in result["checkpoints"] if each["epoch"] == epoch), None)

    def summary(
        self, jobs: Iterable[Job], metric: str, sampling: str = "default", epoch: int | None = None
    ) -> Summary | None:
        """A measure of samples over the jobs that have it, or None if none has."""
        checkpoints = (self.checkpoint(job, epoch) for job in jobs)
        found = (each["samplings"].get(sampling, {}) for each in checkpoints if each is not None)
        return Summary.of(values[metric] for values in found if metric in values)

    def denoising(self, jobs: Iterable[Job], measure: str) -> Summary | None:
        """A measure of the predicted noise over the jobs that have it, or None if none has."""
        checkpoints = (self.checkpoint(job) for job in jobs)
        found = (each.get("denoising", {}) for each in checkpoints if each is not None)
        return Summary.of(values[measure] for values in found if measure in values)

    def fit_seconds(self, jobs: Iterable[Job]) -> Summary | None:
        """Seconds of training to the last checkpoint."""
        checkpoints = (self.checkpoint(job) for job in jobs)
        return Summary.of(each["fit_seconds"] for each in checkpoints if each is not None)
