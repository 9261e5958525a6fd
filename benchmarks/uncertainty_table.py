"""Targets and what was measured of them, as a Markdown table between markers of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BEGIN = "<!-- made by: python -m benchmarks uncertainty -->"
END = "<!-- end of what is made -->"


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
    def line(self) -> str:
        """A line of the table."""
        target = f"{self.target} ({self.note})" if self.note else self.target
        return f"| {target} | {self.needed} | {self.measured} | {self.met} |"

    def _within(self, value: float) -> bool:
        above = self.least is None or value >= self.least
        return above and (self.most is None or value <= self.most)


def write_table(path: Path, rows: Sequence[Row], *, check_only: bool = False) -> None:
    """Replace what stands between the markers of a Markdown file by the table.

    With check_only nothing is written. Raises ValueError unless the file has both markers, OSError
    if it cannot be read or written.
    """
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path}: got no lines {BEGIN} and {END}, needed both around the table")
    if check_only:
        return
    head = ["| target | needed | measured: mean (least - greatest) | met |", "|---|---|---|---|"]
    table = "\n".join([*head, *(row.line for row in rows)])
    path.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", encoding="utf-8")


def _number(value: float) -> str:
    return f"{value:.4f}" if 0 < abs(value) < 0.1 else f"{value:.3f}".removesuffix(".000")
