"""Timing of several contenders in turn, so that a busy machine disturbs them alike."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest over rounds."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """The spread of at least one value."""
        return cls(median(values), min(values), max(values))


def interleaved_seconds(
    calls: Mapping[str, Callable[[], object]], n_rounds: int, block_seconds: float
) -> dict[str, list[float]]:
    """Seconds per call, by contender and round.

    After a warm-up each round times one block of calls of every contender, in an order that changes
    from round to round; a block is sized to take about block_seconds.
    """
    n_calls = {name: _calls_in(call, block_seconds) for name, call in calls.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls)
    shuffler = random.Random(0)
    for _ in range(n_rounds):
        shuffler.shuffle(order)
        for name in order:
            seconds[name].append(_block(calls[name], n_calls[name]) / n_calls[name])
    return seconds


def _calls_in(call: Callable[[], object], block_seconds: float) -> int:
    """How many calls take block_seconds; measured warm."""
    _block(call, 3)
    n_calls = 1
    while (elapsed := _block(call, n_calls)) < 0.25 * block_seconds:
        n_calls *= 2
    return max(1, round(n_calls * block_seconds / elapsed))


def _block(call: Callable[[], object], n_calls: int) -> float:
    start = time.perf_counter()
    for _ in range(n_calls):
        call()
    return time.perf_counter() - start
