"""Run whole tables: their jobs, their report, their figures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from tagix._arrays import as_count
from tagix._optional import import_optional
from tagix.bench.document import check_document, write_document
from tagix.bench.recipes import Scale
from tagix.bench.results import Results
from tagix.bench.runner import Outcome, Workers, run_jobs
from tagix.bench.section import Section
from tagix.bench.store import Store, write_atomically
from tagix.bench.tables import (
    guidance,
    historical,
    samplers,
    schedules,
    timesteps,
    training_time,
)

TABLES: dict[str, ModuleType] = {
    "timesteps": timesteps,
    "schedules": schedules,
    "samplers": samplers,
    "guidance": guidance,
    "training-time": training_time,
    "historical": historical,
}
# Beside a document.
IMAGES = Path("images") / "toy"


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


def run_toy(
    tables: Iterable[str] = tuple(TABLES),
    *,
    quick: bool = False,
    n_seeds: int | None = None,
    n_workers: int | None = None,
    output_dir: str | Path = "output/toy",
    document: str | Path | None = None,
    fresh: bool = False,
    progress: bool = True,
) -> list[TableRun]:
    """Train, measure and draw everything that some tables need, and write their reports.

    The folder gets jobs/ (a pair of files for each training, which a later call reads instead of
    training again), figures/, and for each table <name>.md and <name>.json.

    Args:
        tables: Names in TABLES.
        quick: Few cells and epochs in place of the full grids.
        n_seeds: Models of each kind, by default 3, or 1 in quick runs.
        n_workers: Parallel processes, by default one per processor.
        output_dir: Folder of results, made if needed.
        document: A Markdown file whose tables are replaced, see tagix.bench.document; figures go
            to images/toy/ beside it.
        fresh: Run every job, whatever the folder has.
        progress: Show a progress bar for each table.

    Raises:
        ValueError: Unknown table, a number below 1, a document without the markers of a table.
        TypeError: A number that is not an integer.
        OSError: The document is not there, or files cannot be written.
        ImportError: A package of the extras "lab" or "torch" is not installed.
    """
    names = list(dict.fromkeys(tables))
    for name in names:
        if name not in TABLES:
            raise ValueError(f"tables: got {name!r}, needed some of {', '.join(TABLES)}")
    count = (1 if quick else 3) if n_seeds is None else as_count("n_seeds", n_seeds, least=1)
    if n_workers is not None:
        n_workers = as_count("n_workers", n_workers, least=1)
    for module, package in (
        ("matplotlib.figure", None),
        ("ot.sliced", "POT"),
        ("scipy.spatial", None),
        ("sklearn.datasets", "scikit-learn"),
    ):
        import_optional(module, package=package)
    import_optional("torch", extra="torch")
    if document is not None:
        check_document(Path(document), names)

    folder, scale = Path(output_dir), Scale(quick, count)
    store = Store(folder / "jobs")
    with Workers(n_workers) as workers:
        runs = []
        for name in names:
            outcome = run_jobs(
                TABLES[name].jobs(scale),
                store,
                workers,
                fresh=fresh,
                progress=progress,
                title=name,
            )
            runs.append(_report(name, scale, outcome, store, folder, document))
    return runs


def _report(
    name: str,
    scale: Scale,
    outcome: Outcome,
    store: Store,
    folder: Path,
    document: str | Path | None,
) -> TableRun:
    """Draw a table's figures and write its files, and the document's part if there is one."""
    section: Section = TABLES[name].report(Results(outcome.results, store), scale)
    _draw(section, folder / "figures")
    path = folder / f"{name}.md"
    _write(path, f"# {section.title}\n\n{section.markdown(_command(name, scale), 'figures')}")
    _write(folder / f"{name}.json", json.dumps(section.to_json(), indent=2) + "\n")
    if document is not None:
        _put_into(Path(document), section, scale, folder / "figures")
    errors = tuple(outcome.errors.values())
    return TableRun(section, len(outcome.results), outcome.n_run, errors, outcome.seconds, path)


def _command(name: str, scale: Scale) -> str:
    """What makes this table again."""
    command = f"tagix bench toy --table {name}"
    if scale.quick:
        command += " --quick"
    if scale.n_seeds != (1 if scale.quick else 3):
        command += f" --seeds {scale.n_seeds}"
    return command


def _draw(section: Section, folder: Path) -> None:
    """Draw what can be drawn; a figure whose jobs failed is left out of the section."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for figure in section.figures:
        path = folder / figure.name
        path.unlink(missing_ok=True)
        figure.draw(path)
        if path.exists():
            drawn.append(figure)
    section.figures = drawn


def _put_into(document: Path, section: Section, scale: Scale, figures: Path) -> None:
    images = document.parent / IMAGES
    images.mkdir(parents=True, exist_ok=True)
    for figure in section.figures:
        shutil.copyfile(figures / figure.name, images / figure.name)
    markdown = section.markdown(_command(section.name, scale), IMAGES.as_posix())
    write_document(document, {section.name: markdown})


def _write(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write(text.encode()))
