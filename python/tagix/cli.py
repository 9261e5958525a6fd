"""The command line, ``tagix``. Importing this module needs none of the packages of extra "lab"."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagix._optional import MissingExtraError, import_optional

if TYPE_CHECKING:
    from tagix.bench import TableRun
    from tagix.lab import DiffusionReport


class DataSet(str, Enum):
    """Toy data sets by their names on the command line."""

    swiss_roll = "swiss-roll"
    moons = "moons"
    circles = "circles"
    blobs = "blobs"
    manycircles = "manycircles"
    rings = "rings"
    checkerboard = "checkerboard"
    spirals = "spirals"


class PresetName(str, Enum):
    """Keys of tagix.lab.PRESETS."""

    default = "default"
    seed = "seed"


class Device(str, Enum):
    """Devices by their names."""

    cpu = "cpu"
    cuda = "cuda"


class BenchTable(str, Enum):
    """Tables of tagix.bench by their names, and all of them."""

    timesteps = "timesteps"
    schedules = "schedules"
    samplers = "samplers"
    guidance = "guidance"
    training_time = "training-time"
    historical = "historical"
    all = "all"


def build_app() -> Any:
    """The typer application; raises ImportError if typer or rich is not installed."""
    typer = import_optional("typer")
    import_optional("rich")
    app = typer.Typer(
        help="TAGI: Bayesian neural networks without gradients.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    @app.command(name="version")  # type: ignore[untyped-decorator]
    def show_version() -> None:
        """Print the installed version."""
        print(version("tagix"))

    @app.command()  # type: ignore[untyped-decorator]
    def diffusion(
        data: DataSet = typer.Argument(help="Toy data set."),
        preset: PresetName = typer.Option(
            PresetName.default, help="Recipe, see tagix.lab.PRESETS."
        ),
        seed: int = typer.Option(0, min=0, help="Seed of the model; the data stay the same."),
        epochs: int | None = typer.Option(None, min=1, help="Instead of the preset's."),
        n_train: int = typer.Option(100_000, min=1, help="Train points."),
        n_samples: int = typer.Option(10_000, min=1, help="Samples to draw."),
        device: Device = typer.Option(Device.cpu, help="Where it trains and samples."),
        output: Path = typer.Option(Path("output"), help="Folder of figures and report."),
        quiet: bool = typer.Option(False, "--quiet", help="No progress bar, no table."),
    ) -> None:
        """Train a diffusion model on toy data; print its quality, write figures and a report."""
        from tagix import cuda
        from tagix.lab import run_diffusion

        if device is Device.cuda and (reason := cuda.why_not()) is not None:
            raise typer.BadParameter(reason, param_hint="--device")
        report = run_diffusion(
            data.value.replace("-", "_"),
            preset.value,
            seed,
            n_train,
            epochs,
            n_samples,
            device=device.value,
            output_dir=output,
            progress=not quiet,
        )
        if not quiet:
            print_report(report)
        for path in (*report.figures.values(), report.report_path):
            print(path)

    bench = typer.Typer(help="Benchmarks beside a PyTorch peer.", no_args_is_help=True)
    app.add_typer(bench, name="bench")

    @bench.callback()  # type: ignore[untyped-decorator]
    def group() -> None:
        """Benchmarks beside a PyTorch peer."""

    @bench.command()  # type: ignore[untyped-decorator]
    def toy(
        table: BenchTable = typer.Option(BenchTable.all, help="Which table."),
        quick: bool = typer.Option(False, "--quick", help="Few cells and epochs."),
        seeds: int | None = typer.Option(None, min=1, help="Default: 3, or 1 with --quick."),
        workers: int | None = typer.Option(None, min=1, help="Default: one a processor."),
        output: Path = typer.Option(Path("output/toy"), help="Folder of results and figures."),
        document: Path | None = typer.Option(
            None, exists=True, dir_okay=False, help="A Markdown file whose tables to replace."
        ),
        fresh: bool = typer.Option(False, "--fresh", help="Run again what is there already."),
        quiet: bool = typer.Option(False, "--quiet", help="No progress bars."),
    ) -> None:
        """Train tagix and a PyTorch peer on toy data; write tables, figures and numbers.

        What an earlier run has finished is not run again. Exits with 1 if a job failed.
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
            raise typer.BadParameter(str(error)) from error
        print_bench(runs)
        if any(run.errors for run in runs):
            raise typer.Exit(1)

    return app


def print_bench(runs: Sequence[TableRun]) -> None:
    """Print what came of the targets of each table, how long it took and where it is."""
    table = import_optional("rich.table").Table()
    for heading in ("table", "target", "measured", "met"):
        table.add_column(heading)
    for run in runs:
        for target in run.section.targets:
            met = "yes" if target.met else "no"
            table.add_row(run.section.name, target.text, target.got, met)
    console = import_optional("rich.console").Console()
    if table.row_count:
        console.print(table)
    for run in runs:
        for error in run.errors:
            print(error, file=sys.stderr)
        print(
            f"{run.section.name}: {run.seconds:.0f} s, {run.n_run} of {run.n_jobs} jobs run, "
            f"{len(run.errors)} failed, {run.path}"
        )


def print_report(report: DiffusionReport) -> None:
    """Print a table of what was measured beside the best that could be."""
    table = import_optional("rich.table").Table(
        title=f"{report.name.replace('_', ' ')}, preset {report.preset}, seed {report.seed}",
        caption="floor: held-out points, train points and the ideal denoiser on the same measures",
    )
    table.add_column("")
    table.add_column("model", justify="right")
    table.add_column("floor", justify="right")
    for label, measure in (
        ("samples off the manifold", "off_manifold"),
        ("sliced Wasserstein distance", "sliced_wasserstein"),
        ("held-out noise MSE", "held_out_mse"),
    ):
        floor = report.floor[measure]
        table.add_row(
            label, f"{getattr(report, measure):.4f}", "" if floor is None else f"{floor:.4f}"
        )
    table.add_row("seconds to train", f"{report.fit_seconds:.2f}", "")
    table.add_row("seconds to sample", f"{report.sample_seconds:.2f}", "")
    import_optional("rich.console").Console().print(table)


def main() -> None:
    """Run the command line; exits with 2 and one line if an optional package is missing."""
    try:
        build_app()()
    except MissingExtraError as error:
        print(f"tagix: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
