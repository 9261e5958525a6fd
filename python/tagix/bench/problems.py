"""The data of a job: train points, held-out points and their properties."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tagix import datasets
from tagix.bench.jobs import Job

FloatArray = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Problem:
    """Points for training and points for evaluation, (n, n_features), with labels if there are any.

    Attributes:
        train: The real points, both for training and for comparison with samples.
        train_labels: Their classes, or None.
        held_out: At least as many points from the same distribution.
        held_out_labels: Their classes, or None.
        n_classes: Number of classes, or None.
        off_manifold_radius: See tagix.metrics.off_manifold_radius; None if the data have none.
        standardize: Whether models are to standardise the columns themselves.
    """

    train: FloatArray
    train_labels: Labels | None
    held_out: FloatArray
    held_out_labels: Labels | None
    n_classes: int | None
    off_manifold_radius: float | None
    standardize: bool

    def real(self, label: int | None = None) -> FloatArray:
        """Train points, of one class or of all."""
        if label is None:
            return self.train
        assert self.train_labels is not None
        points: FloatArray = self.train[self.train_labels == label]
        return points

    def draw_held_out(self, n: int, seed: int, label: int | None = None) -> FloatArray:
        """n held-out points of a class or of all, drawn with replacement by the seed."""
        points = self.held_out
        if label is not None:
            assert self.held_out_labels is not None
            points = points[self.held_out_labels == label]
        return points[np.random.default_rng(seed).integers(0, len(points), size=n)]


def load_problem(job: Job) -> Problem:
    """The data of a job, kept for the next one; ValueError for an unknown name."""
    return _load(job.protocol, job.data, job.n_train)


@lru_cache(maxsize=2)
def _load(protocol: str, name: str, n_train: int | None) -> Problem:
    data: datasets.ClassroomData | datasets.ToyData
    if protocol == "classroom":
        data = datasets.load_classroom(name, **({} if n_train is None else {"n_samples": n_train}))
        radius = None
    else:
        data = datasets.load_toy(name, **({} if n_train is None else {"n_train": n_train}))
        radius = data.off_manifold_radius
    return Problem(
        data.train,
        data.train_labels,
        data.held_out,
        data.held_out_labels,
        data.n_classes,
        off_manifold_radius=radius,
        standardize=protocol == "classroom",
    )
