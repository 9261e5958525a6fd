"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], n_left: int = 1) -> str:
    """A table; columns after the first n_left are aligned to the right."""
    return "\n".join([markdown_head(header, n_left), *(markdown_row(row) for row in rows)])


def markdown_head(header: Sequence[str], n_left: int = 1) -> str:
    """The lines above the rows of a table, for one whose rows come one by one."""
    marks = ["---"] * n_left + ["---:"] * (len(header) - n_left)
    return f"{markdown_row(header)}\n{markdown_row(marks)}"


def markdown_row(cells: Sequence[str]) -> str:
    """One line of a table."""
    return "| " + " | ".join(cells) + " |"
