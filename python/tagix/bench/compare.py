"""Arithmetic of the report: means over seeds, distances to the floor, who is better."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

# What is good: a low value, a high one, or one that is near that of real points.
Goal = Literal["lower", "higher", "floor"]


@dataclass(frozen=True)
class Summary:
    """Mean and standard deviation (of one value, n - 1 in the denominator) over seeds."""

    mean: float
    std: float
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Summary | None:
        """The summary of the values, or None without any; one value has standard deviation 0."""
        numbers = [float(value) for value in values]
        if not numbers:
            return None
        std = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else 0.0
        return cls(float(np.mean(numbers)), std, len(numbers))


@dataclass(frozen=True)
class Verdict:
    """Who is nearer to the floor.

    Attributes:
        winner: "tagix", "PyTorch" or "equal".
        deviations: (distance of PyTorch - distance of tagix) / sqrt(std^2 + std^2), positive where
            tagix is better; None where neither has a standard deviation.
    """

    winner: str
    deviations: float | None

    def __str__(self) -> str:
        if self.deviations is None or self.winner == "equal":
            return self.winner
        return f"{self.winner}, {abs(self.deviations):.1f}"


def distance(value: float, floor: float, goal: Goal) -> float:
    """How much worse than the floor a value is; negative only where better means lower or higher.

    lower: value - floor;  higher: floor - value;  floor: |value - floor|
    """
    if goal == "lower":
        return value - floor
    if goal == "higher":
        return floor - value
    return abs(value - floor)


def verdict(ours: Summary, theirs: Summary, floor: Summary, goal: Goal) -> Verdict:
    """Compare tagix with PyTorch by their distances to the floor."""
    lead = distance(theirs.mean, floor.mean, goal) - distance(ours.mean, floor.mean, goal)
    spread = math.hypot(ours.std, theirs.std)
    winner = "equal" if lead == 0 else "tagix" if lead > 0 else "PyTorch"
    return Verdict(winner, lead / spread if spread > 0 else None)


def reaches_floor(value: Summary, floor: Summary, goal: Goal, deviations: float = 2.0) -> bool:
    """Whether a mean is within so many of the floor's standard deviations of the floor."""
    return distance(value.mean, floor.mean, goal) <= deviations * floor.std
