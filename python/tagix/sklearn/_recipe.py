"""How the estimators learn, and their defaults: one recipe for all data, found by experiment.

A table is learned by a budget of updates, which has no rule that takes a plateau for the end.
Smaller ones are tried, too, since in tables with much noise they are better; rows not learned
decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tagix import nn


@dataclass(frozen=True)
class Recipe:
    """What an estimator does unless it is told otherwise."""

    n_estimators: int = 5
    """Networks that differ by their seeds alone; they are a mixture with equal weights."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of hidden layers for hidden="auto", in tables."""
    stream_hidden: tuple[int, ...] = (50,)
    """The same in streams, of which every row is learned once."""
    gain_bias: float = 3.0
    """Factor on the prior of the first layer's biases: it spreads the kinks of the ReLUs over the
    data, where standardized inputs need more than a weight's own scale."""
    share: float = 0.01
    """What a batch's rows are taken to share of their uncertainty (:class:`tagix.Information`), in
    tables."""
    stream_share: float = 0.1
    """The same in streams."""
    n_updates: int = 4000
    """Updates that a table gets, between the two bounds in epochs."""
    least_epochs: int = 20
    """At least so many passes over a table."""
    max_epochs: int = 150
    """At most so many passes over a table."""
    budgets: tuple[float, ...] = (1.0, 0.3, 0.12, 0.06)
    """Shares of the budget that are tried: with much noise, less is more."""
    n_folds: int = 5
    """Parts of a table, each of which is predicted by networks that learn the others."""
    fast_budgets: tuple[float, ...] = (0.5, 0.125)
    """The same with ``fast``, where one part of the table alone is left out."""
    fast_n_estimators: int = 2
    """Networks in the mixture with ``fast``, if no fewer are asked for."""
    n_fold_networks: int = 2
    """Networks that learn the rest of each part."""
    least_rows: int = 15
    """Rows from which on a table is taken apart."""
    most_rows: int = 10_000
    """Rows up to which all parts are predicted; of more rows, the first part alone."""
    least_batch_size: int = 16
    """Rows of an update for batch_size="auto", in streams of any length and in small tables."""
    most_batch_size: int = 256
    """Rows of an update in large tables."""
    most_updates: int = 1000
    """Updates an epoch from which on batch_size="auto" takes larger batches instead."""

    def batch_size(self, n_rows: int) -> int:
        """Rows of an update in a table of ``n_rows``."""
        return min(max(self.least_batch_size, n_rows // self.most_updates), self.most_batch_size)

    def n_epochs(self, n_rows: int, batch_size: int, max_epochs: int) -> int:
        """Passes over a table that its budget of updates comes to."""
        budget = round(self.n_updates * batch_size / n_rows)
        return min(max(self.least_epochs, budget), max_epochs)

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
