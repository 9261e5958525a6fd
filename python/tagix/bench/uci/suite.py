"""Run the UCI benchmark: its jobs and its report."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from tagix._arrays import as_count
from tagix._optional import import_optional
from tagix.bench.document import check_document, write_document
from tagix.bench.results import Results
from tagix.bench.runner import Workers, run_jobs
from tagix.bench.store import Store, write_atomically
from tagix.bench.suite import TableRun
from tagix.bench.uci.job import Method, jobs
from tagix.bench.uci.report import report
from tagix.datasets import UCI_SETS

QUICK_SPLITS = 2


def run_uci(
    path: str | os.PathLike[str],
    datasets: Iterable[str] | None = None,
    *,
    quick: bool = False,
    peer: bool = False,
    n_workers: int | None = None,
    output_dir: str | Path = "output/uci",
    document: str | Path | None = None,
    fresh: bool = False,
    progress: bool = True,
) -> TableRun:
    """Train TagiRegressor with its defaults on the splits of UCI sets, and score it.

    The folder of results gets jobs/ (a pair of files for each split, which a later call reads
    instead of training again; changed defaults make new ones), uci.md and uci.json.

    Args:
        path: Folder of the sets, see tagix.datasets.load_uci.
        datasets: Keys in tagix.datasets.UCI_SETS; None: all that the folder has.
        quick: The first 2 splits of each set only; targets are not judged.
        peer: Train the PyTorch peer on the same splits, too, after ours; takes far longer.
        n_workers: Processes at a time, by default one a processor; each has one thread.
        output_dir: Folder of results, made if needed.
        document: A Markdown file whose table "uci" is replaced, see tagix.bench.document.
        fresh: Run every job, whatever the folder has.
        progress: Show a progress bar.

    Raises:
        ValueError: A set that is unknown or not in the folder, a folder without any, a number below
            1, a document without the markers of the table.
        TypeError: A number that is not an integer.
        OSError: The document is not there, or files cannot be written.
        ImportError: A package of the extras "sklearn" or "lab", or with ``peer`` "torch", is not
            installed.
    """
    names = _names(Path(path), datasets)
    n_workers = os.cpu_count() or 1 if n_workers is None else n_workers
    n_workers = as_count("n_workers", n_workers, least=1)
    for module, package in (("scipy.special", None), ("sklearn.base", "scikit-learn")):
        import_optional(module, package=package)
    if peer:
        import_optional("torch", extra="torch")
    if document is not None:
        check_document(Path(document), ["uci"])

    source = str(Path(path).resolve())
    n_splits = QUICK_SPLITS if quick else None
    methods: list[Method] = ["tagix", "pytorch"] if peer else ["tagix"]
    work = {method: {n: jobs(method, source, n, n_splits) for n in names} for method in methods}
    folder = Path(output_dir)
    store = Store(folder / "jobs")
    outcomes = []
    with Workers(n_workers) as workers:
        for method in methods:  # one after the other: the clock counts ours alone
            together = [job for of_set in work[method].values() for job in of_set]
            outcomes.append(
                run_jobs(
                    together,
                    store,
                    workers,
                    fresh=fresh,
                    progress=progress,
                    title=f"uci, {method}",
                )
            )
    found = {key: result for each in outcomes for key, result in each.results.items()}
    ours = outcomes[0]
    n_ours = sum(len(of_set) for of_set in work["tagix"].values())
    section = report(
        work,
        Results(found, store),
        seconds=ours.seconds if ours.n_run == n_ours else None,
        n_workers=n_workers,
        quick=quick,
    )
    command = _command(names if datasets is not None else None, quick, peer)
    output = folder / "uci.md"
    _write(output, f"# {section.title}\n\n{section.markdown(command, 'figures')}")
    _write(folder / "uci.json", json.dumps(section.to_json(), indent=2) + "\n")
    if document is not None:
        write_document(Path(document), {"uci": section.markdown(command, "images")})
    return TableRun(
        section,
        len(found),
        sum(each.n_run for each in outcomes),
        tuple(error for each in outcomes for error in each.errors.values()),
        sum(each.seconds for each in outcomes),
        output,
    )


def _names(folder: Path, datasets: Iterable[str] | None) -> list[str]:
    """The sets to run, in the order of UCI_SETS."""
    there = [name for name in UCI_SETS if (folder / name).is_dir()]
    if datasets is None:
        if not there:
            raise ValueError(f"path: got {folder}, needed a folder with some of {list(UCI_SETS)}")
        return there
    wanted = list(datasets)
    for name in wanted:
        if name not in UCI_SETS:
            raise ValueError(f"datasets: got {name!r}, needed some of {', '.join(UCI_SETS)}")
        if name not in there:
            raise ValueError(f"datasets: got {name!r}, which is not in {folder}")
    if not wanted:
        raise ValueError("datasets: got none, needed one or more")
    return [name for name in UCI_SETS if name in wanted]


def _command(names: list[str] | None, quick: bool, peer: bool) -> str:
    """What makes this table again."""
    options = [f"--dataset {name}" for name in names or ()]
    options += ["--quick"] * quick + ["--peer"] * peer
    return " ".join(["tagix bench uci --data path/to/uci", *options])


def _write(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write(text.encode()))
