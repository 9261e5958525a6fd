"""``tagix bench``: tables of benchmarks."""

from __future__ import annotations

import sys
from collections.abc import Sequence
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

    @bench.command()  # type: ignore[untyped-decorator]
    def toy(
        table: BenchTable = typer.Option(BenchTable.all, help="Table to make."),
        quick: bool = typer.Option(False, "--quick", help="Few cells and epochs."),
        seeds: int | None = typer.Option(None, min=1, help="Default: 3, or 1 with --quick."),
        workers: int | None = typer.Option(None, min=1, help="Default: one per processor."),
        output: Path = typer.Option(Path("output/toy"), help="Folder of results and figures."),
        document: Path | None = typer.Option(
            None, exists=True, dir_okay=False, help="Markdown file in which to replace tables."
        ),
        fresh: bool = typer.Option(False, "--fresh", help="Run finished jobs again, too."),
        quiet: bool = typer.Option(False, "--quiet", help="No progress bars."),
    ) -> None:
        """Train tagix and a PyTorch peer on toy data; write tables, figures and numbers.

        Jobs that an earlier run has finished are not run again. Exits with 1 if a job failed.
        """
        from tagix.bench import TABLES, run_toy

        try:
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
        except ValueError as error:
            raise usage_error(str(error)) from error
        print_bench(runs)
        if any(run.errors for run in runs):
            raise typer.Exit(1)

    @bench.command()  # type: ignore[untyped-decorator]
    def uci(
        data: Path = typer.Option(exists=True, file_okay=False, help="Folder of the sets."),
        dataset: list[str] = typer.Option(
            [], help="Set; may be repeated. Default: all in the folder."
        ),
        quick: bool = typer.Option(False, "--quick", help="The first 2 splits of each set."),
        peer: str = typer.Option(
            "none",
            metavar="NAMES",
            help="Peers on the same splits, separated by commas: ngboost, catboost, "
            "catboost-rmse, xgboost-distribution, lightgbm, torch; all: those installed.",
        ),
        workers: int | None = typer.Option(None, min=1, help="Default: one per processor."),
        output: Path = typer.Option(Path("output/uci"), help="Folder of results."),
        document: Path | None = typer.Option(
            None, exists=True, dir_okay=False, help="Markdown file in which to replace the table."
        ),
        fresh: bool = typer.Option(False, "--fresh", help="Run finished jobs again, too."),
        quiet: bool = typer.Option(False, "--quiet", help="No progress bar."),
    ) -> None:
        """Score TagiRegressor, as it is, and peers on the published splits of UCI sets.

        Jobs that an earlier run has finished are not run again. Exits with 1 if a job failed.
        """
        from tagix.bench.uci import run_uci

        try:
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
        except ValueError as error:
            raise usage_error(str(error)) from error
        print_bench([run])
        if run.errors:
            raise typer.Exit(1)

    @bench.command(name="tables")  # type: ignore[untyped-decorator]
    def tables_of_sklearn(
        dataset: list[str] = typer.Option([], help="Set; may be repeated. Default: all ten."),
        quick: bool = typer.Option(False, "--quick", help="One fold of each set."),
        peer: str = typer.Option(
            "all",
            metavar="NAMES",
            help="Peers on the same folds, separated by commas: gaussian-process, mlp, "
            "random-forest, hist-gradient-boosting, ngboost, catboost, catboost-rmse (of numbers); "
            "all: those installed; none.",
        ),
        workers: int | None = typer.Option(None, min=1, help="Default: one per processor."),
        output: Path = typer.Option(Path("output/tables"), help="Folder of results."),
        document: Path | None = typer.Option(
            None, exists=True, dir_okay=False, help="Markdown file in which to replace the table."
        ),
        fresh: bool = typer.Option(False, "--fresh", help="Run finished jobs again, too."),
        quiet: bool = typer.Option(False, "--quiet", help="No progress bar."),
    ) -> None:
        """Score TagiRegressor and TagiClassifier, as they are, and peers on sets of scikit-learn.

        Jobs that an earlier run has finished are not run again. Exits with 1 if a job failed.
        """
        from tagix.bench.sklearn_sets import run_tables

        try:
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
        except ValueError as error:
            raise usage_error(str(error)) from error
        print_bench([run])
        if run.errors:
            raise typer.Exit(1)


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
