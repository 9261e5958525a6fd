"""Streams that change, and the test for drift in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from helpers import INFERRED, KNOWN, Array, NoiseModel, regression_data

import tagix as tx

NOISES: dict[str, NoiseModel] = {**INFERRED, "known": KNOWN}


class DriftTest:
    """The chi-square test that Forgetting documents, in float64."""

    def __init__(self, forgetting: tx.Forgetting) -> None:
        stats = pytest.importorskip("scipy.stats")
        config = forgetting.config
        self.decay = 1 - 1 / config["window"]
        self.threshold = float(stats.norm.isf(config["drift_level"]))
        self.n_drifts = 0
        self.begin()

    def begin(self) -> None:
        self.weights, self.squares = np.empty(0), np.empty(0)

    def drifts(self, squares: Array) -> bool:
        """Whether a batch's squared errors over their variances, with what came before, say so."""
        if squares.size == 0:
            return False
        # Targets of one batch come at once: they are of one weight.
        self.weights = np.append(self.weights * self.decay**squares.size, np.ones(squares.size))
        self.squares = np.append(self.squares, squares)
        ratio = self.weights @ self.squares / self.weights.sum()
        spread = 2 / (9 * self.weights.sum() ** 2 / (self.weights**2).sum())  # 2 / (9 nu)
        if (ratio ** (1 / 3) - (1 - spread)) / math.sqrt(spread) <= self.threshold:
            return False
        self.n_drifts += 1
        self.begin()
        return True


def changing_stream(
    n_batches: int, batch_size: int, seed: int = 0
) -> Iterator[tuple[Array, Array]]:
    """regression_data, whose targets change their sign half way and back at three quarters."""
    for step in range(n_batches):
        x, y = regression_data(batch_size, seed=1000 * seed + step)
        yield x, -3 * y if n_batches / 2 <= step < 3 * n_batches / 4 else y
