"""Run the UCI benchmark: its jobs and its report."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from tagix.bench.choices import chosen_or_all
from tagix.bench.report_files import TableRun
from tagix.bench.results import Results
from tagix.bench.section import Section
from tagix.bench.tabular.contenders import chosen_peers
from tagix.bench.tabular.suite import check_arguments, run_work
from tagix.bench.uci.job import jobs, sets_in
from tagix.bench.uci.report import report
from tagix.datasets import UCI_SETS

QUICK_SPLITS = 2
PEERS = ("ngboost", "catboost", "catboost-rmse", "xgboost-distribution", "lightgbm", "torch")


def run_uci(
    path: str | os.PathLike[str],
    datasets: Iterable[str] | None = None,
    *,
    quick: bool = False,
    peers: Iterable[str] = ("none",),
    n_workers: int | None = None,
    output_dir: str | Path = "output/uci",
    document: str | Path | None = None,
    fresh: bool = False,
    progress: bool = True,
) -> TableRun:
    """Train TagiRegressor with its defaults, and peers, on the splits of UCI sets, and score them.

    The folder of results gets jobs/ (a pair of files for each split, which a later call reads
    instead of training again; changed settings and other versions of a peer make new ones), uci.md
    and uci.json.

    Args:
        path: Folder of the sets, see tagix.datasets.load_uci.
        datasets: Keys in tagix.datasets.UCI_SETS; None: all that the folder has.
        quick: The first 2 splits of each set only; targets are not judged.
        peers: Some of PEERS, trained on the same splits; ["all"]: all whose packages are installed,
            ["none"]: none.
        n_workers: Parallel processes, by default one per processor; each has one thread.
        output_dir: Folder of results, made if needed.
        document: A Markdown file whose table "uci" is replaced, see tagix.bench.document.
        fresh: Run every job, whatever the folder has.
        progress: Show progress bars.

    Raises:
        ValueError: A set that is unknown or not in the folder, a folder without any, an unknown
            peer, a number below 1, a document without the markers of the table.
        TypeError: A number that is not an integer.
        OSError: The document is not there, or files cannot be written.
        ImportError: A package of the extras "sklearn" or "lab", or of a peer, is not installed.
    """
    names = _names(Path(path), datasets)
    methods = ["tagix", *chosen_peers(peers, PEERS)]
    n_workers = check_arguments("uci", n_workers, document)
    source = str(Path(path).resolve())
    n_splits = QUICK_SPLITS if quick else None
    work = {method: {n: jobs(method, source, n, n_splits) for n in names} for method in methods}

    def section(results: Results) -> Section:
        return report(work, results, quick=quick)

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


def _names(folder: Path, datasets: Iterable[str] | None) -> list[str]:
    """The sets to run, in the order of UCI_SETS."""
    if datasets is None:
        return sets_in(folder, "path")
    names = chosen_or_all("datasets", datasets, UCI_SETS)
    for name in names:
        if not (folder / name).is_dir():
            raise ValueError(f"datasets: got {name!r}, which is not in {folder}")
    return names


def _command(names: list[str] | None, quick: bool, peers: list[str]) -> str:
    """What makes this table again."""
    options = [f"--dataset {name}" for name in names or ()]
    options += ["--quick"] * quick
    options += [f"--peer {','.join(peers)}"] if peers else []
    command = " ".join(["tagix bench uci --data path/to/uci", *options])
    return command.replace(" --peer", " \\\n    --peer")
