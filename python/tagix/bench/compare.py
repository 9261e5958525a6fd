"""Arithmetic of the report: means over seeds, distances to the floor, who is better."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

# What is good: a low value, a high one, or one that is near that of real points.
Goal = Literal["lower", "higher", "floor"]


@dataclass(frozen=True)
class Summary:
    """Values of several seeds, their mean and standard deviation (n - 1 in the denominator).

    One value has standard deviation 0.
    """

    values: tuple[float, ...]
    mean: float = field(init=False)
    std: float = field(init=False)

    def __post_init__(self) -> None:
        std = np.std(self.values, ddof=1) if len(self.values) > 1 else 0.0
        object.__setattr__(self, "mean", float(np.mean(self.values)))
        object.__setattr__(self, "std", float(std))

    @classmethod
    def of(cls, values: Iterable[float]) -> Summary | None:
        """The summary of the values, or None without any."""
        numbers = tuple(float(value) for value in values)
        return cls(numbers) if numbers else None

    @property
    def n(self) -> int:
        """Number of values."""
        return len(self.values)


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
    """How much worse than the floor a value is; negative only if better means lower or higher.

    lower: value - floor;  higher: floor - value;  floor: |value - floor|
    """
    if goal == "lower":
        return value - floor
    if goal == "higher":
        return floor - value
    return abs(value - floor)


def verdict(ours: Summary, theirs: Summary, floor: Summary, goal: Goal) -> Verdict:
    """Compare tagix with PyTorch by the distances of their models to the floor's mean.

    The distances are those of single models, not of their mean: models that miss the floor on
    different sides are not near it because their errors cancel.
    """

    def distances(each: Summary) -> Summary:
        return Summary(tuple(distance(value, floor.mean, goal) for value in each.values))

    near, far = distances(ours), distances(theirs)
    lead = far.mean - near.mean
    spread = math.hypot(near.std, far.std)
    winner = "equal" if lead == 0 else "tagix" if lead > 0 else "PyTorch"
    return Verdict(winner, lead / spread if spread > 0 else None)


def reaches_floor(value: Summary, floor: Summary, goal: Goal, deviations: float = 2.0) -> bool:
    """Whether a mean is within so many of the floor's standard deviations of the floor."""
    return distance(value.mean, floor.mean, goal) <= deviations * floor.std
