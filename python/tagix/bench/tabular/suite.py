"""Run a benchmark of tables: its jobs and its report."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from tagix._arrays import as_count
from tagix._optional import import_optional
from tagix.bench.document import check_document, write_document
from tagix.bench.results import Results
from tagix.bench.runner import Workers, run_jobs
from tagix.bench.section import Section
from tagix.bench.store import Store, write_atomically
from tagix.bench.suite import TableRun
from tagix.bench.tabular.report import Work


def check_arguments(name: str, n_workers: int | None, document: str | Path | None) -> int:
    """The number of processes, by default one per processor.

    Raises:
        ValueError: A number below 1, a document without the markers of the table ``name``.
        TypeError: A number that is not an integer.
        OSError: The document is not there.
        ImportError: A package of the extras "sklearn" or "lab" is not installed.
    """
    n_workers = os.cpu_count() or 1 if n_workers is None else n_workers
    n_workers = as_count("n_workers", n_workers, least=1)
    for module, package in (("scipy.special", None), ("sklearn.base", "scikit-learn")):
        import_optional(module, package=package)
    if document is not None:
        check_document(Path(document), [name])
    return n_workers


def run_work(
    work: Work,
    report: Callable[[Results], Section],
    command: str,
    *,
    n_workers: int,
    output_dir: str | Path,
    document: str | Path | None,
    fresh: bool,
    progress: bool,
) -> TableRun:
    """Run the jobs that the folder does not have, one contender after the other, and report.

    The folder gets jobs/, and for the table <name>.md and <name>.json; OSError if files cannot be
    written.

    Args:
        work: Jobs by method and set.
        report: Makes the table of the results.
        command: What makes the table again.
        n_workers: Processes at a time.
        output_dir: Folder of results, made if needed.
        document: A Markdown file whose table is replaced, see tagix.bench.document.
        fresh: Run every job, whatever the folder has.
        progress: Show a progress bar for each contender.
    """
    folder = Path(output_dir)
    store = Store(folder / "jobs")
    outcomes = []
    with Workers(n_workers) as workers:
        for method, of_method in work.items():
            jobs = [job for of_set in of_method.values() for job in of_set]
            outcomes.append(
                run_jobs(jobs, store, workers, fresh=fresh, progress=progress, title=method)
            )
    found = {key: result for each in outcomes for key, result in each.results.items()}
    section = report(Results(found, store))
    output = folder / f"{section.name}.md"
    _write(output, f"# {section.title}\n\n{section.markdown(command, 'figures')}")
    _write(folder / f"{section.name}.json", json.dumps(section.to_json(), indent=2) + "\n")
    if document is not None:
        write_document(Path(document), {section.name: section.markdown(command, "images")})
    return TableRun(
        section,
        len(found),
        sum(each.n_run for each in outcomes),
        tuple(error for each in outcomes for error in each.errors.values()),
        sum(each.seconds for each in outcomes),
        output,
    )


def _write(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write(text.encode()))
