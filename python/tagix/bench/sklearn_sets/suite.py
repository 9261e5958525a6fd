"""Run the benchmark on scikit-learn's sets: its jobs and its report."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tagix.bench.results import Results
from tagix.bench.section import Section
from tagix.bench.sklearn_sets.job import jobs
from tagix.bench.sklearn_sets.report import report
from tagix.bench.sklearn_sets.sets import N_FOLDS, SETS
from tagix.bench.suite import TableRun
from tagix.bench.tabular.contenders import CONTENDERS, chosen_peers
from tagix.bench.tabular.suite import check_arguments, run_work

QUICK_FOLDS = 1
PEERS = (
    "gaussian-process",
    "mlp",
    "random-forest",
    "hist-gradient-boosting",
    "ngboost",
    "catboost",
    "catboost-rmse",
)


def run_tables(
    datasets: Iterable[str] | None = None,
    *,
    quick: bool = False,
    peers: Iterable[str] = ("all",),
    n_workers: int | None = None,
    output_dir: str | Path = "output/tables",
    document: str | Path | None = None,
    fresh: bool = False,
    progress: bool = True,
) -> TableRun:
    """Train TagiRegressor and TagiClassifier with their defaults, and peers, on folds of ten sets.

    The folder of results gets jobs/ (a pair of files for each fold, which a later call reads
    instead of training again; changed settings and other versions of a peer make new ones),
    tables.md and tables.json.

    Args:
        datasets: Keys in SETS; None: all ten.
        quick: One fold of each set only.
        peers: Some of PEERS, trained on the same folds; peers for numbers only where targets are
            numbers. ["all"]: all whose packages are installed, ["none"]: none.
        n_workers: Parallel processes, by default one per processor; each has one thread.
        output_dir: Folder of results, made if needed.
        document: A Markdown file whose table "tables" is replaced, see tagix.bench.document.
        fresh: Run every job, whatever the folder has.
        progress: Show progress bars.

    Raises:
        ValueError: An unknown set or peer, a number below 1, a document without the markers of the
            table.
        TypeError: A number that is not an integer.
        OSError: The document is not there, or files cannot be written.
        ImportError: A package of the extras "sklearn" or "lab", or of a peer, is not installed.
    """
    names = _names(datasets)
    methods = ["tagix", *chosen_peers(peers, PEERS)]
    n_workers = check_arguments("tables", n_workers, document)
    n_folds = QUICK_FOLDS if quick else N_FOLDS
    work = {
        method: {
            name: jobs(method, name, n_folds)
            for name in names
            if CONTENDERS[method].learns(SETS[name].of_classes)
        }
        for method in methods
    }

    def section(results: Results) -> Section:
        return report(work, results)

    return run_work(
        work,
        section,
        _command(names if datasets is not None else None, quick, methods[1:]),
        n_workers=n_workers,
        output_dir=output_dir,
        document=document,
        fresh=fresh,
        progress=progress,
    )


def _names(datasets: Iterable[str] | None) -> list[str]:
    """The sets to run, in the order of SETS."""
    wanted = list(SETS) if datasets is None else list(datasets)
    for name in wanted:
        if name not in SETS:
            raise ValueError(f"datasets: got {name!r}, needed some of {', '.join(SETS)}")
    if not wanted:
        raise ValueError("datasets: got none, needed one or more")
    return [name for name in SETS if name in wanted]


def _command(names: list[str] | None, quick: bool, peers: list[str]) -> str:
    """What makes this table again."""
    options = [f"--dataset {name}" for name in names or ()]
    options += ["--quick"] * quick
    options += [f"--peer {','.join(peers) or 'none'}"] if peers != list(PEERS) else []
    return " ".join(["tagix bench tables", *options])
