"""Timing of one call, and of several contenders in turn.

Turns alternate, so that a busy machine disturbs all contenders alike.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TypeVar

T = TypeVar("T")

# Makes so many calls and returns the seconds that they took.
Block = Callable[[int], float]


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

    @classmethod
    def of_ratios(cls, ours: Sequence[float], theirs: Sequence[float]) -> Spread:
        """The spread of ours / theirs, round by round."""
        return cls.of([a / b for a, b in zip(ours, theirs, strict=True)])

    def text(self, form: str = ".3g", unit: float = 1.0) -> str:
        """ "median (least - greatest)", all times the unit and in this format."""
        middle, least, most = (
            format(unit * value, form) for value in (self.median, self.min, self.max)
        )
        return f"{middle} ({least} - {most})"


@dataclass(frozen=True)
class CallTimes:
    """Seconds of a call, by the clock and of the processor.

    The least and the 10th percentile are those of calls that nothing disturbed, and so compare
    programs on a busy machine, too. A median favours the program that other work disturbs less.

    Attributes:
        least: Of single calls by the clock.
        p10: Their 10th percentile.
        median: Their median.
        processor: Of the processor, all threads together: of the round that took least.
    """

    least: float
    p10: float
    median: float
    processor: float

    @classmethod
    def of(cls, clock: Sequence[float], processor: Sequence[float]) -> CallTimes:
        """From the clock's seconds of at least one call, and the processor's by round."""
        in_order = sorted(clock)
        return cls(in_order[0], in_order[len(in_order) // 10], median(in_order), min(processor))

    def per(self, n_steps: int) -> CallTimes:
        """Those of a step, for calls of so many steps."""
        return CallTimes(*(value / n_steps for value in self.values()))

    def over(self, other: CallTimes) -> CallTimes:
        """The ratios of these times to others, kind by kind."""
        return CallTimes(*(a / b for a, b in zip(self.values(), other.values(), strict=True)))

    def values(self) -> tuple[float, float, float, float]:
        """The four numbers in their order."""
        return self.least, self.p10, self.median, self.processor


def timed(call: Callable[[], T]) -> tuple[T, float]:
    """What a call returns, and the seconds by the clock that it took."""
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def interleaved_seconds(
    calls: Mapping[str, Callable[[], object]], n_rounds: int, block_seconds: float
) -> dict[str, list[float]]:
    """Seconds per call, by contender and round, as interleaved_blocks takes them by the clock."""
    blocks = {name: partial(clock_seconds, call) for name, call in calls.items()}
    return interleaved_blocks(blocks, n_rounds, block_seconds)


def interleaved_calls(
    calls: Mapping[str, Callable[[], object]], n_rounds: int, block_seconds: float
) -> dict[str, CallTimes]:
    """Times of the calls of each contender, in rounds as interleaved_blocks has them.

    The processor's time is that of a round over its calls: a system may count it by ticks.
    """
    clock: dict[str, list[list[float]]] = {name: [] for name in calls}
    processor: dict[str, list[float]] = {name: [] for name in calls}

    def block(name: str, n_calls: int) -> float:
        seconds = []
        processor_start = time.process_time()
        for _ in range(n_calls):
            start = time.perf_counter()
            calls[name]()
            seconds.append(time.perf_counter() - start)
        processor[name].append((time.process_time() - processor_start) / n_calls)
        clock[name].append(seconds)
        return sum(seconds)

    interleaved_blocks({name: partial(block, name) for name in calls}, n_rounds, block_seconds)
    # Earlier blocks only measured how many calls a round takes.
    return {
        name: CallTimes.of(
            [value for round_ in clock[name][-n_rounds:] for value in round_],
            processor[name][-n_rounds:],
        )
        for name in calls
    }


def interleaved_processor_seconds(
    calls: Mapping[str, Callable[[], object]], n_rounds: int, block_seconds: float
) -> dict[str, list[float]]:
    """The same of the processor's time for this process, which other processes change less."""
    blocks = {name: partial(processor_seconds, call) for name, call in calls.items()}
    return interleaved_blocks(blocks, n_rounds, block_seconds)


def interleaved_blocks(
    blocks: Mapping[str, Block], n_rounds: int, block_seconds: float, n_warm_up: int = 3
) -> dict[str, list[float]]:
    """Seconds per call, by contender and round, where each contender has its own way to time.

    After a warm-up of n_warm_up calls each round times one block of calls of every contender, in an
    order that changes from round to round; a block is sized to take about block_seconds.
    """
    n_calls = {name: _calls_in(block, block_seconds, n_warm_up) for name, block in blocks.items()}
    seconds: dict[str, list[float]] = {name: [] for name in blocks}
    order = list(blocks)
    shuffler = random.Random(0)
    for _ in range(n_rounds):
        shuffler.shuffle(order)
        for name in order:
            seconds[name].append(blocks[name](n_calls[name]) / n_calls[name])
    return seconds


def _calls_in(block: Block, block_seconds: float, n_warm_up: int) -> int:
    """How many calls take block_seconds; measured warm."""
    block(n_warm_up)
    n_calls = 1
    while (elapsed := block(n_calls)) < 0.25 * block_seconds:
        n_calls *= 2
    return max(1, round(n_calls * block_seconds / elapsed))


def clock_seconds(call: Callable[[], object], n_calls: int) -> float:
    """Seconds by the clock that n_calls calls take; whatever they leave running is left out."""
    start = time.perf_counter()
    for _ in range(n_calls):
        call()
    return time.perf_counter() - start


def processor_seconds(call: Callable[[], object], n_calls: int) -> float:
    """Seconds of the processor that n_calls calls take, those of all threads together."""
    start = time.process_time()
    for _ in range(n_calls):
        call()
    return time.process_time() - start
