"""What rows left out of training showed besides the law: ranks for conformal intervals, and how
errors of several outputs go together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagix.sklearn._files import take_array

Array = NDArray[np.float64]

MOST_ROWS = 10_000
"""Number of errors to keep of more rows, evenly spaced by rank."""
INDEPENDENT_ROWS = 10.0
"""Shrinks correlations as if so many additional rows had shown outputs to be independent."""


@dataclass(frozen=True)
class Residuals:
    """Errors of predictions out of fold, in units of the standard deviations predicted for them.

    Attributes:
        ranked: float64 (rows, outputs), each column rising.
        weight: float64 (rows, outputs), how much each counts, 1 in the mean.
        correlation: float64 (outputs, outputs), of the errors of the same row.
        n_rows: how many rows there were.
    """

    ranked: Array
    weight: Array
    correlation: Array
    n_rows: int

    @classmethod
    def of(cls, errors: Array, weight: Array | None = None) -> Residuals:
        """Those of errors (rows, outputs) with weights (rows,) of mean 1; None: all alike."""
        n_rows = len(errors)
        weights = np.ones(n_rows) if weight is None else weight
        order = np.argsort(errors, axis=0, kind="stable")
        ranked = np.take_along_axis(errors, order, axis=0)
        of_ranked = weights[order]
        if n_rows > MOST_ROWS:
            kept = np.linspace(0, n_rows - 1, MOST_ROWS).round().astype(np.intp)
            ranked, of_ranked = ranked[kept], of_ranked[kept]
        # A few errors far out would rule a correlation.
        bounded = np.clip(errors, -3.0, 3.0)
        products = (weights[:, np.newaxis] * bounded).T @ bounded
        std = np.sqrt(np.diag(products))
        std = np.where(std > 0, std, 1.0)
        correlation = products / np.outer(std, std) * (n_rows / (n_rows + INDEPENDENT_ROWS))
        np.fill_diagonal(correlation, 1.0)
        return cls(ranked, of_ranked, correlation, n_rows)

    def interval(self, level: float) -> Array:
        """The ends of central intervals for errors of further rows, (outputs, 2).

        For n rows they are the errors of rank floor((n + 1) a) from both ends, a = (1 - level)/2;
        they are infinite if (n + 1) a < 1. An error of another row like these lies within them with
        a probability of at least ``level``, whatever the law (Vovk, Gammerman & Shafer, Algorithmic
        Learning in a Random World, 2005). As each end is chosen separately, they fit skewed laws,
        too.
        """
        tail = 0.5 * (1.0 - level)
        outside = tail * (self.n_rows + 1) / self.n_rows
        share = self.weight / self.weight.sum(axis=0)
        below, above = np.cumsum(share, axis=0), np.cumsum(share[::-1], axis=0)
        ends = np.empty((self.ranked.shape[1], 2))
        for output, ranked in enumerate(self.ranked.T):
            # The last row up to which no more than ``outside`` of the weight lies.
            low = np.searchsorted(below[:, output], outside * (1.0 + 1e-12), side="right") - 1
            high = np.searchsorted(above[:, output], outside * (1.0 + 1e-12), side="right") - 1
            ends[output] = (
                ranked[low] if low >= 0 else -np.inf,
                ranked[::-1][high] if high >= 0 else np.inf,
            )
        return ends

    def draw(self, generator: np.random.Generator, n_rows: int) -> Array:
        """Standard normal numbers (n_rows, outputs), correlated like the errors of a row."""
        values, vectors = np.linalg.eigh(self.correlation)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        return np.asarray(generator.standard_normal((n_rows, len(root))) @ root.T)

    def describe(self, tensors: dict[str, NDArray[Any]]) -> None:
        """Put arrays for a file into ``tensors``."""
        tensors["residuals"] = np.stack([self.ranked, self.weight])
        tensors["residuals.correlation"] = self.correlation
        tensors["residuals.n_rows"] = np.array([self.n_rows], dtype=np.float64)

    @classmethod
    def read(cls, tensors: dict[str, NDArray[Any]], n_outputs: int) -> Residuals:
        """What :meth:`describe` described; ValueError for anything else."""
        ranked, weight = take_array(tensors, "residuals", (2, None, n_outputs))
        correlation = take_array(tensors, "residuals.correlation", (n_outputs, n_outputs))
        (n_rows,) = take_array(tensors, "residuals.n_rows", (1,))
        if not all(np.isfinite(array).all() for array in (ranked, weight, correlation, n_rows)):
            raise ValueError("residuals: got NaN or infinity, needed finite numbers")
        if (
            not 1 <= len(ranked) <= min(n_rows, MOST_ROWS)
            or n_rows % 1 != 0
            or (np.diff(ranked, axis=0) < 0).any()
            or (weight <= 0).any()
        ):
            raise ValueError("residuals: got numbers that are not ranked errors and their weights")
        if (
            (np.diag(correlation) != 1.0).any()
            or np.abs(correlation - correlation.T).max() > 1e-9
            or np.linalg.eigvalsh(correlation)[0] < -1e-9
        ):
            raise ValueError("residuals: got numbers that are not correlations")
        return cls(ranked.copy(), weight.copy(), correlation, int(n_rows))
