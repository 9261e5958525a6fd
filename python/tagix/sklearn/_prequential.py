"""How good a stream's predictions were, each made before its row was learned."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from tagix.sklearn._law import TailedLaw, log_density

Array = NDArray[np.float64]
_LEVEL = 0.95  # of the upper end of a central 90 % interval
_REACH = NormalDist().inv_cdf(_LEVEL)  # that end, in standard deviations
# The core's, so that no label is infinitely unlikely.
_LEAST_PROBABILITY = 1e-30


@dataclass
class PrequentialLog:
    """Counts and sums over the rows of ``partial_fit`` and ``learn_one``."""

    n_rows: int = 0
    """Rows counted."""
    log_likelihood: float = 0.0
    """Sum of the log densities of targets, in their own units, or log probabilities of labels."""
    drifts: list[int] = field(default_factory=list)
    """How many rows had been learned when ``forgetting`` found each change of the data."""

    @property
    def n_drifts(self) -> int:
        """How often a change was found."""
        return len(self.drifts)

    def note_drifts(self, n_drifts: int, n_rows: int) -> None:
        """Note that ``n_drifts`` have been found in all, after ``n_rows`` rows."""
        self.drifts += [n_rows] * (n_drifts - len(self.drifts))


@dataclass
class RegressionLog(PrequentialLog):
    """A log of numbers; for several outputs it records the mean over outputs.

    The first 16 rows of a stream are left out, because they determine the units of its targets; so
    are rows before the targets vary. Means are NaN before the first row that counts.
    """

    squared_error: float = 0.0
    """Sum of squared errors, in the units of the targets squared."""
    absolute_error: float = 0.0
    """Sum of absolute errors, in the units of the targets."""
    covered: float = 0.0
    """How many targets lay in the central 90 % intervals of their predictions."""

    @property
    def mean_log_likelihood(self) -> float:
        """Mean log density of a target, in its own units."""
        return _share(self.log_likelihood, self.n_rows)

    @property
    def mean_squared_error(self) -> float:
        """Mean squared error, in the units of the targets squared."""
        return _share(self.squared_error, self.n_rows)

    @property
    def mean_absolute_error(self) -> float:
        """Mean absolute error, in the units of the targets."""
        return _share(self.absolute_error, self.n_rows)

    @property
    def coverage(self) -> float:
        """Share of the targets within the central 90 % intervals of their predictions."""
        return _share(self.covered, self.n_rows)

    def add(self, y: Array, mean: Array, var: Array, law: TailedLaw | None = None) -> None:
        """Take in targets and the total moments expected of them, all (rows, outputs).

        They are those of ``law``, or of a Gaussian.
        """
        error = np.abs(y - mean)
        self.n_rows += len(y)
        per_output = 1.0 / y.shape[1]
        reach = np.array([_REACH]) if law is None else law.quantiles(np.array([_LEVEL]))[:, 0]
        self.log_likelihood += per_output * float(log_density(law, y, mean, var).sum())
        self.squared_error += per_output * float((error**2).sum())
        self.absolute_error += per_output * float(error.sum())
        self.covered += per_output * float((error <= reach * np.sqrt(var)).sum())


@dataclass
class ClassificationLog(PrequentialLog):
    """A log of labels.

    The first row of a class cannot be predicted: it counts as wrong in the accuracy, and is left
    out of the likelihood. Means are NaN before the first row that counts.
    """

    squared_error: float = 0.0
    """Sum of (1 - p)^2 over labels of probability p."""
    n_correct: int = 0
    """How many labels were the most probable class."""
    n_new_labels: int = 0
    """Rows that were the first of their class, in ``n_rows``."""

    @property
    def mean_log_likelihood(self) -> float:
        """Mean log probability of a label."""
        return _share(self.log_likelihood, self.n_rows - self.n_new_labels)

    @property
    def accuracy(self) -> float:
        """Share of the labels that were the most probable class."""
        return _share(self.n_correct, self.n_rows)

    def add(self, probabilities: Array, columns: NDArray[np.int64]) -> None:
        """Take in rows: probabilities (rows, classes), and the labels' columns, -1 for new ones."""
        known = np.flatnonzero(columns >= 0)
        self.n_rows += len(columns)
        self.n_new_labels += len(columns) - len(known)
        if not len(known):
            return
        of_label = probabilities[known, columns[known]]
        self.log_likelihood += float(np.log(np.maximum(of_label, _LEAST_PROBABILITY)).sum())
        self.squared_error += float(((1.0 - of_label) ** 2).sum())
        self.n_correct += int((probabilities[known].argmax(axis=1) == columns[known]).sum())


def _share(total: float, count: int) -> float:
    return total / count if count else float("nan")
