"""``tagix diffusion``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagix._optional import import_optional
from tagix.cli.options import Device, check_device

if TYPE_CHECKING:
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


def add_commands(app: Any) -> None:
    """Add the command to a typer application."""
    typer = import_optional("typer", extra="cli")

    @app.command()  # type: ignore[untyped-decorator]
    def diffusion(
        data: DataSet = typer.Argument(help="Toy data set."),
        preset: PresetName = typer.Option(
            PresetName.default, help="Recipe, see tagix.lab.PRESETS."
        ),
        seed: int = typer.Option(0, min=0, help="Seed of the model; the data stay the same."),
        epochs: int | None = typer.Option(None, min=1, help="Epochs, instead of the preset's."),
        n_train: int = typer.Option(100_000, min=1, help="Train points."),
        n_samples: int = typer.Option(10_000, min=1, help="Samples to draw."),
        device: Device = typer.Option(Device.cpu, help="Device to train and sample on."),
        output: Path = typer.Option(Path("output"), help="Folder of figures and report."),
        quiet: bool = typer.Option(False, "--quiet", help="No progress bar, no table."),
    ) -> None:
        """Train a diffusion model on toy data; print its quality, write figures and a report."""
        from tagix.lab import run_diffusion

        check_device(device)
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


def print_report(report: DiffusionReport) -> None:
    """Print a table of the measured values beside the best possible values."""
    table = import_optional("rich.table", extra="cli").Table(
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
    import_optional("rich.console", extra="cli").Console().print(table)
