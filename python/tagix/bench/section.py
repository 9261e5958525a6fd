"""What a table reports, and its Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tagix.bench.compare import Goal, Summary, reaches_floor, verdict


@dataclass(frozen=True)
class Target:
    """A target and the measured result."""

    text: str
    got: str
    met: bool


@dataclass(frozen=True)
class Figure:
    """A figure to be drawn: ``draw(path)`` writes ``<name>`` with its ending."""

    name: str
    caption: str
    draw: Callable[[Path], object]


@dataclass
class Section:
    """One table of the benchmark.

    Attributes:
        name: Of the table, as on the command line.
        title: Its heading.
        text: Settings and Markdown tables.
        targets: The targets of the table.
        figures: To be drawn.
        numbers: Everything that the tables hold, for JSON.
    """

    name: str
    title: str
    text: list[str]
    targets: list[Target] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)

    def markdown(self, command: str, figure_folder: str) -> str:
        """The section below its heading; figures are linked in that folder."""
        parts = [f"```\n{command}\n```", *self.text]
        if self.targets:
            rows = [[each.text, each.got, "yes" if each.met else "no"] for each in self.targets]
            parts.append(markdown_table(["Target", "Measured", "Met"], rows, n_left=2))
        parts += [f"![{each.caption}]({figure_folder}/{each.name})" for each in self.figures]
        return "\n\n".join(parts) + "\n"

    def to_json(self) -> dict[str, Any]:
        """Everything but the figures, as JSON can hold it."""
        return {
            "title": self.title,
            "targets": [asdict(target) for target in self.targets],
            "numbers": self.numbers,
            "figures": [each.name for each in self.figures],
        }


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], n_left: int = 1) -> str:
    """A Markdown table; columns after the first n_left are aligned to the right."""
    marks = ["---"] * n_left + ["---:"] * (len(header) - n_left)
    lines = [header, marks, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def show(value: Summary | None, digits: int) -> str:
    """Mean and, of several values, standard deviation."""
    if value is None:
        return "failed"
    if value.n == 1:
        return f"{value.mean:.{digits}f}"
    return f"{value.mean:.{digits}f} ± {value.std:.{digits}f}"


@dataclass(frozen=True)
class Cell:
    """One row of a comparison: a floor and what each contender reached, by its name."""

    labels: tuple[str, ...]
    floor: Summary | None
    values: Mapping[str, Summary | None]


@dataclass(frozen=True)
class Comparison:
    """A measure of samples over many cells.

    Attributes:
        measure: Its name.
        goal: Of the measure.
        digits: After the decimal point.
        labels: Headings of the cells' labels.
        cells: The rows, each with the same contenders.
        duels: Pairs (contender of tagix, contender of PyTorch) to be judged.
    """

    measure: str
    goal: Goal
    digits: int
    labels: tuple[str, ...]
    cells: Sequence[Cell]
    duels: Sequence[tuple[str, str]]

    def markdown(self) -> str:
        """The table: floor, contenders, and who is better by how many standard deviations."""
        contenders = list(self.cells[0].values) if self.cells else []
        versus = [
            "better" if len(self.duels) == 1 else f"better: {ours} or {theirs}"
            for ours, theirs in self.duels
        ]
        rows = [
            [
                *cell.labels,
                show(cell.floor, self.digits),
                *(show(cell.values[name], self.digits) for name in contenders),
                *(self._verdict(cell, *duel) for duel in self.duels),
            ]
            for cell in self.cells
        ]
        header = [*self.labels, f"{self.measure}, real points", *contenders, *versus]
        return markdown_table(header, rows, n_left=len(self.labels))

    def _verdict(self, cell: Cell, ours: str, theirs: str) -> str:
        a, b = cell.values[ours], cell.values[theirs]
        if a is None or b is None or cell.floor is None:
            return ""
        return str(verdict(a, b, cell.floor, self.goal))

    def n_at_floor(self, contender: str) -> int:
        """Cells in which a contender's mean is within two standard deviations of the floor."""
        return sum(
            value is not None
            and cell.floor is not None
            and reaches_floor(value, cell.floor, self.goal)
            for cell in self.cells
            for value in [cell.values[contender]]
        )

    def n_better(self, ours: str, theirs: str) -> int:
        """Cells in which tagix is nearer to the floor."""
        return sum(self._verdict(cell, ours, theirs).startswith("tagix") for cell in self.cells)

    def numbers(self) -> list[dict[str, Any]]:
        """The table for JSON."""
        return [
            {
                "labels": list(cell.labels),
                "floor": asdict(cell.floor) if cell.floor else None,
                "values": {
                    name: asdict(value) if value else None for name, value in cell.values.items()
                },
                "better": {
                    f"{ours} or {theirs}": self._verdict(cell, ours, theirs)
                    for ours, theirs in self.duels
                },
            }
            for cell in self.cells
        ]
