"""How the estimators learn a table, and their defaults: one recipe for all, found by experiment.

Each network is trained in two phases. While it searches, a random walk keeps its weights uncertain,
so that their means go on moving; without it variances close too early, and training stalls. Then it
settles, without the walk. A phase ends on a plateau of the likelihood of targets by predictions
made just before each update, or, in tables that are not large, after the number of epochs that
predicts rows best which were not learned: by cross-validation, after which all rows are learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tagix import nn
from tagix._core import Forgetting
from tagix._training import EpochRecord


@dataclass(frozen=True)
class Recipe:
    """What an estimator does unless it is told otherwise."""

    n_estimators: int = 3
    """Networks that differ by their seeds alone; they are a mixture with equal weights."""
    hidden: tuple[int, ...] = (50,)
    """Widths of hidden layers for hidden="auto"."""
    gain_bias: float = 3.0
    """Factor on the prior of the first layer's biases: it spreads the kinks of the ReLUs over the
    data, where standardized inputs need more than a weight's own scale."""
    share: float = 0.1
    """What a batch's rows are taken to share of their uncertainty (:class:`tagix.Information`)."""
    max_epochs: int = 100
    """At most so many passes over the data in each phase."""
    process_noise: float = 1e-3
    """The walk's variance for an update by 16 rows, in units of the prior's."""
    patience: int = 5
    """Epochs in each of the two groups that the rule to stop compares."""
    tol: float = 0.02
    """Less gain in mean log-likelihood an epoch ends the second phase."""
    search_tol: float = 0.5
    """The same for the first phase, as a share of that."""
    n_folds: int = 3
    """Folds of the cross-validation; 0: never any."""
    least_rows: int = 15
    """Rows from which on there is one."""
    most_rows: int = 10_000
    """Rows up to which there is one: more hardly mislead a network."""
    least_batch_size: int = 16
    """Rows of an update for batch_size="auto", in streams of any length and in small tables."""
    most_batch_size: int = 256
    """Rows of an update in large tables."""
    most_updates: int = 1000
    """Updates an epoch from which on batch_size="auto" takes larger batches instead."""

    def batch_size(self, n_rows: int) -> int:
        """Rows of an update in a table of ``n_rows``."""
        return min(max(self.least_batch_size, n_rows // self.most_updates), self.most_batch_size)

    def cross_validates(self, n_rows: int) -> bool:
        """Whether the numbers of epochs are found by cross-validation."""
        return self.n_folds > 1 and self.least_rows <= n_rows <= self.most_rows

    def search(self, batch_size: int) -> Forgetting:
        """The random walk of the first phase, the same for a row whatever the batch size."""
        return Forgetting(
            process_noise=min(1.0, self.process_noise * batch_size / self.least_batch_size),
            drift_level=None,
        )

    def layers(self, n_features: int, hidden: Sequence[int], n_outputs: int) -> list[nn.Layer]:
        """The layers of each network."""
        layers: list[nn.Layer] = []
        features = n_features
        for width in hidden:
            gains: dict[str, Any] = {} if layers else {"gain_bias": self.gain_bias}
            layers += [nn.Linear(features, width, **gains), nn.ReLU()]
            features = width
        return [*layers, nn.Linear(features, n_outputs)]


RECIPE = Recipe()


class StopOnPlateau:
    """A callback that ends a fit once the prequential log-likelihood has stopped to rise.

    With L the mean log-likelihood of the targets in an epoch, by predictions made just before
    each update, it ends after the first epoch e with

        mean(L[e - patience + 1 .. e]) - mean(L[e - 2 patience + 1 .. e - patience]) < patience tol
    """

    def __init__(self, patience: int, tol: float) -> None:
        self._patience, self._tol = patience, tol
        self._log_likelihoods: list[float] = []

    def __call__(self, record: EpochRecord) -> bool:
        """Note an epoch; true where it was the last one."""
        self._log_likelihoods.append(record.log_likelihood)
        n = self._patience
        if len(self._log_likelihoods) < 2 * n:
            return False
        recent = sum(self._log_likelihoods[-n:]) / n
        before = sum(self._log_likelihoods[-2 * n : -n]) / n
        return recent - before < n * self._tol
