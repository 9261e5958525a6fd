"""``tagix bench``: tables of benchmarks."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagix._optional import import_optional
from tagix.cli.options import usage_error

if TYPE_CHECKING:
    from tagix.bench import TableRun


class BenchTable(str, Enum):
    """Tables of tagix.bench by their names, and all of them."""

    timesteps = "timesteps"
    schedules = "schedules"
    samplers = "samplers"
    guidance = "guidance"
    training_time = "training-time"
    historical = "historical"
    all = "all"


def add_commands(app: Any) -> None:
    """Add the group of commands to a typer application."""
    typer = import_optional("typer", extra="cli")
    bench = typer.Typer(help="Benchmarks, as tables with figures.", no_args_is_help=True)
    app.add_typer(bench, name="bench")

    @bench.callback()  # type: ignore[untyped-decorator]
    def group() -> None:
        """Benchmarks, as tables with figures."""

    _add_toy(bench)
    _add_uci(bench)
    _add_tables(bench)


def _add_toy(bench: Any) -> None:
    """``tagix bench toy``: the tables of toy data."""
    option = import_optional("typer", extra="cli").Option

    @bench.command()  # type: ignore[untyped-decorator]
    def toy(
        table: BenchTable = option(BenchTable.all, help="Table to make."),
        quick: bool = option(False, "--quick", help="Few cells and epochs."),
        seeds: int | None = option(None, min=1, help="Default: 3, or 1 with --quick."),
        workers: int | None = _workers(),
        output: Path = option(Path("output/toy"), help="Folder of results and figures."),
        document: Path | None = _document("Markdown file in which to replace tables."),
        fresh: bool = _fresh(),
        quiet: bool = option(False, "--quiet", help="No progress bars."),
    ) -> None:
        """Train tagix and a PyTorch peer on toy data; write tables, figures and numbers.

        Jobs that an earlier run has finished are not run again. Exits with 1 if a job failed.
        """
        from tagix.bench import TABLES, run_toy

        with _as_usage_errors():
            runs = run_toy(
                TABLES if table is BenchTable.all else [table.value],
                quick=quick,
                n_seeds=seeds,
                n_workers=workers,
                output_dir=output,
                document=document,
                fresh=fresh,
                progress=not quiet,
            )
        _finish(runs)


def _add_uci(bench: Any) -> None:
    """``tagix bench uci``: the table of UCI sets."""
    option = import_optional("typer", extra="cli").Option

    @bench.command()  # type: ignore[untyped-decorator]
    def uci(
        data: Path = option(exists=True, file_okay=False, help="Folder of the sets."),
        dataset: list[str] = option([], help="Set; may be repeated. Default: all in the folder."),
        quick: bool = option(False, "--quick", help="The first 2 splits of each set."),
        peer: str = option(
            "none",
            metavar="NAMES",
            help="Peers on the same splits, separated by commas: ngboost, catboost, "
            "catboost-rmse, xgboost-distribution, lightgbm, torch; all: those installed.",
        ),
        workers: int | None = _workers(),
        output: Path = option(Path("output/uci"), help="Folder of results."),
        document: Path | None = _document("Markdown file in which to replace the table."),
        fresh: bool = _fresh(),
        quiet: bool = option(False, "--quiet", help="No progress bar."),
    ) -> None:
        """Score TagiRegressor, as it is, and peers on the published splits of UCI sets.

        Jobs that an earlier run has finished are not run again. Exits with 1 if a job failed.
        """
        from tagix.bench.uci import run_uci

        with _as_usage_errors():
            run = run_uci(
                data,
                dataset or None,
                quick=quick,
                peers=peer.split(","),
                n_workers=workers,
                output_dir=output,
                document=document,
                fresh=fresh,
                progress=not quiet,
            )
        _finish([run])


def _add_tables(bench: Any) -> None:
    """``tagix bench tables``: the table of scikit-learn's sets."""
    option = import_optional("typer", extra="cli").Option

    @bench.command()  # type: ignore[untyped-decorator]
    def tables(
        dataset: list[str] = option([], help="Set; may be repeated. Default: all ten."),
        quick: bool = option(False, "--quick", help="One fold of each set."),
        peer: str = option(
            "all",
            metavar="NAMES",
            help="Peers on the same folds, separated by commas: gaussian-process, mlp, "
            "random-forest, hist-gradient-boosting, ngboost, catboost, catboost-rmse (of numbers); "
            "all: those installed; none.",
        ),
        workers: int | None = _workers(),
        output: Path = option(Path("output/tables"), help="Folder of results."),
        document: Path | None = _document("Markdown file in which to replace the table."),
        fresh: bool = _fresh(),
        quiet: bool = option(False, "--quiet", help="No progress bar."),
    ) -> None:
        """Score TagiRegressor and TagiClassifier, as they are, and peers on sets of scikit-learn.

        Jobs that an earlier run has finished are not run again. Exits with 1 if a job failed.
        """
        from tagix.bench.sklearn_sets import run_tables

        with _as_usage_errors():
            run = run_tables(
                dataset or None,
                quick=quick,
                peers=peer.split(","),
                n_workers=workers,
                output_dir=output,
                document=document,
                fresh=fresh,
                progress=not quiet,
            )
        _finish([run])


def _workers() -> Any:
    """The option --workers."""
    typer = import_optional("typer", extra="cli")
    return typer.Option(None, min=1, help="Default: one per processor.")


def _document(text: str) -> Any:
    """The option --document."""
    typer = import_optional("typer", extra="cli")
    return typer.Option(None, exists=True, dir_okay=False, help=text)


def _fresh() -> Any:
    """The option --fresh."""
    typer = import_optional("typer", extra="cli")
    return typer.Option(False, "--fresh", help="Run finished jobs again, too.")


@contextmanager
def _as_usage_errors() -> Iterator[None]:
    """What a benchmark refuses is an error of the command line."""
    try:
        yield
    except ValueError as error:
        raise usage_error(str(error)) from error


def _finish(runs: Sequence[TableRun]) -> None:
    """Print what came of the tables; the program exits with 1 if a job failed."""
    print_bench(runs)
    if any(run.errors for run in runs):
        raise import_optional("typer", extra="cli").Exit(1)


def print_bench(runs: Sequence[TableRun]) -> None:
    """Print what came of the targets of each table, how long it took and where it is."""
    table = import_optional("rich.table", extra="cli").Table()
    for heading in ("table", "target", "measured", "met"):
        table.add_column(heading)
    for run in runs:
        for target in run.section.targets:
            met = "yes" if target.met else "no"
            table.add_row(run.section.name, target.text, target.got, met)
    console = import_optional("rich.console", extra="cli").Console()
    if table.row_count:
        console.print(table)
    for run in runs:
        for error in run.errors:
            print(error, file=sys.stderr)
        print(
            f"{run.section.name}: {run.seconds:.0f} s, {run.n_run} of {run.n_jobs} jobs run, "
            f"{len(run.errors)} failed, {run.path}"
        )
