"""What a table leaves in the folder of its results, and what came of running it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tagix.bench.section import Section
from tagix.bench.store import write_json, write_text


@dataclass(frozen=True)
class TableRun:
    """The outcome of a table.

    Attributes:
        section: Its report.
        n_jobs: Jobs with results.
        n_run: Jobs with results that this run computed.
        errors: What went wrong in the other jobs, one text each.
        seconds: Time that the jobs took together, by the clock.
        path: Its Markdown file.
    """

    section: Section
    n_jobs: int
    n_run: int
    errors: Sequence[str]
    seconds: float
    path: Path


def write_report(section: Section, command: str, folder: Path) -> Path:
    """Write <name>.md, which shows the command, and <name>.json; returns the path of the former."""
    path = folder / f"{section.name}.md"
    write_text(path, f"# {section.title}\n\n{section.markdown(command, 'figures')}")
    write_json(folder / f"{section.name}.json", section.to_json())
    return path
