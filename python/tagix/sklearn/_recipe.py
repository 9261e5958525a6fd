"""How the estimators learn, and their defaults: one recipe for all data, found by experiment.

A table is learned with a budget of updates; no rule treats a plateau as the end of training.
Smaller budgets are tried, too, because they are better on noisy tables; held-out rows decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tagix import nn


@dataclass(frozen=True)
class Recipe:
    """The defaults of an estimator."""

    n_estimators: int = 5
    """Networks that differ by their seeds alone; they are a mixture with equal weights."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of hidden layers for hidden="auto", in tables."""
    stream_hidden: tuple[int, ...] = (50,)
    """The same in streams, where every row is learned once."""
    gain_bias: float = 3.0
    """Factor on the prior of the first layer's biases: it spreads the kinks of the ReLUs over the
    data, where standardized inputs need more than a weight's own scale."""
    share: float = 0.01
    """The share of their uncertainty that rows of a batch have in common, in tables; see
    :class:`tagix.Information`."""
    stream_share: float = 0.1
    """The same in streams."""
    n_updates: int = 4000
    """Updates for a table, within the two bounds in epochs."""
    least_epochs: int = 20
    """Minimum number of passes over a table."""
    max_epochs: int = 150
    """Maximum number of passes over a table."""
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
    """Number of rows from which on a table is cut into parts."""
    most_rows: int = 10_000
    """Number of rows up to which all parts are predicted; with more rows, only the first part."""
    least_batch_size: int = 16
    """Rows of an update for batch_size="auto", in streams of any length and in small tables."""
    most_batch_size: int = 256
    """Rows of an update in large tables."""
    most_updates: int = 1000
    """Updates per epoch from which on batch_size="auto" takes larger batches instead."""

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
