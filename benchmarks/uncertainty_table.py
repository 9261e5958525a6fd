"""Targets and what was measured of them, as a Markdown table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tagix.bench.markdown import markdown_table

NAME = "uncertainty"
"""Of the table in a document."""


@dataclass
class Row:
    """A target, its bounds (both inclusive, None for none) and the values measured."""

    target: str
    values: list[float]
    least: float | None = None
    most: float | None = None
    note: str = ""
    shown_by: str = ""
    """The test that holds the target, in place of values and bounds."""

    @property
    def needed(self) -> str:
        """The bounds in words."""
        if self.least is None and self.most is None:
            return ""
        if self.most is None:
            return f"at least {self.least:g}"
        if self.least is None:
            return f"at most {self.most:g}"
        return f"{self.least:g} - {self.most:g}"

    @property
    def measured(self) -> str:
        """Mean (least - greatest)."""
        if self.shown_by:
            return f"`{self.shown_by}`"
        if not self.values:
            return "-"
        mean, low, high = (_number(float(f(self.values))) for f in (np.mean, min, max))
        return mean if low == high else f"{mean} ({low} - {high})"

    @property
    def met(self) -> str:
        """By every value, by their mean, or not; nothing for rows without bounds or values."""
        if self.shown_by:
            return "by a test"
        if not self.values or not self.needed:
            return ""
        if all(self._within(value) for value in self.values):
            return "yes"
        return "by the mean" if self._within(float(np.mean(self.values))) else "no"

    @property
    def cells(self) -> list[str]:
        """A line of the table."""
        target = f"{self.target} ({self.note})" if self.note else self.target
        return [target, self.needed, self.measured, self.met]

    def _within(self, value: float) -> bool:
        above = self.least is None or value >= self.least
        return above and (self.most is None or value <= self.most)


class Rows:
    """What was measured so far, by target, in the order in which targets first came up."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}

    def add(
        self,
        target: str,
        values: float | list[float],
        least: float | None = None,
        most: float | None = None,
        note: str = "",
    ) -> None:
        """Add what one seed gave; a target without bounds is there for comparison."""
        row = self._rows.setdefault(target, Row(target, [], least, most, note))
        row.values.extend(values if isinstance(values, list) else [values])

    def table(self) -> list[Row]:
        """All rows, those of one kind together."""
        return list(self._rows.values())


def table_of(rows: Sequence[Row]) -> str:
    """The table."""
    head = ["target", "needed", "measured: mean (least - greatest)", "met"]
    return markdown_table(head, [row.cells for row in rows], n_left=len(head))


def _number(value: float) -> str:
    return f"{value:.4f}" if 0 < abs(value) < 0.1 else f"{value:.3f}".removesuffix(".000")
