"""What a stream's predictions were worth, each made before its row was learned."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LEVEL = 0.9
"""The share of targets that the counted intervals and sets of classes claim."""


@dataclass
class PrequentialLog:
    """Counts and running means over the rows of ``partial_fit`` and ``learn_one``."""

    n_rows: int = 0
    """Rows counted: all that were learned, but for the first 16 of a regression's stream, from which
    the units of its targets are taken."""
    mean_log_likelihood: float = 0.0
    """Mean log density of a target in its own units, or log probability of a label."""
    coverage: float = 0.0
    """Share of the targets in their 90 % interval, or in the fewest classes with 90 % together."""
    drifts: list[int] = field(default_factory=list)
    """How many rows had been learned when ``forgetting`` found each change of the data."""

    @property
    def n_drifts(self) -> int:
        """How often a change was found."""
        return len(self.drifts)

    def note_drifts(self, n_drifts: int, n_rows: int) -> None:
        """Note that there have been ``n_drifts`` in all, ``n_rows`` having been learned."""
        self.drifts += [n_rows] * (n_drifts - len(self.drifts))

    def _share_of(self, n_rows: int) -> float:
        """Count rows; what they weigh in a running mean."""
        self.n_rows += n_rows
        return n_rows / self.n_rows


@dataclass
class RegressionLog(PrequentialLog):
    """A log with the error of a regression; several outputs count as their mean."""

    mean_squared_error: float = 0.0
    """Mean squared error, in the units of the targets squared."""

    def add(self, log_likelihood: Array, squared_error: Array, covered: NDArray[np.bool_]) -> None:
        """Take in rows, each argument (rows, outputs)."""
        share = self._share_of(len(covered))
        self.mean_log_likelihood += share * (float(log_likelihood.mean()) - self.mean_log_likelihood)
        self.mean_squared_error += share * (float(squared_error.mean()) - self.mean_squared_error)
        self.coverage += share * (float(covered.mean()) - self.coverage)


@dataclass
class ClassificationLog(PrequentialLog):
    """A log with the accuracy of a classifier."""

    accuracy: float = 0.0
    """Share of the labels that were the most probable class."""
    n_new_labels: int = 0
    """Rows that were the first of their class: wrong, and of no finite likelihood, which leaves
    them out of that mean."""

    def add(self, probabilities: Array, labels: NDArray[np.int64]) -> None:
        """Take in rows: probabilities (rows, classes) and the classes' numbers, -1 for new ones."""
        known = labels >= 0
        self.n_new_labels += int((~known).sum())
        share = self._share_of(len(labels))
        right = np.zeros(len(labels))
        covered = np.zeros(len(labels))
        if known.any():
            rows = np.arange(len(labels))[known]
            of_label = probabilities[rows, labels[known]]
            right[known] = probabilities[known].argmax(axis=1) == labels[known]
            # In the smallest set, if what is more probable does not fill it yet.
            above = probabilities[known] > of_label[:, np.newaxis]
            covered[known] = np.where(above, probabilities[known], 0.0).sum(axis=1) < LEVEL
            n_likely = self.n_rows - self.n_new_labels
            floor = np.finfo(np.float32).tiny
            mean = float(np.log(np.maximum(of_label, floor)).mean())
            self.mean_log_likelihood += (len(rows) / n_likely) * (mean - self.mean_log_likelihood)
        self.accuracy += share * (float(right.mean()) - self.accuracy)
        self.coverage += share * (float(covered.mean()) - self.coverage)
