"""The typer application behind ``tagix``, put together from the commands."""

from __future__ import annotations

import logging
import sys
from typing import Any

from tagix._optional import MissingExtraError, import_optional
from tagix.cli import bench, diffusion, doctor, fit, predict, update


def build_app() -> Any:
    """The typer application; raises ImportError if typer or rich is not installed."""
    typer = import_optional("typer", extra="cli")
    import_optional("rich", extra="cli")
    app = typer.Typer(
        help="TAGI: Bayesian neural networks without gradients.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    def print_version(wanted: bool) -> None:
        if wanted:
            import tagix

            print(tagix.__version__)
            raise typer.Exit

    @app.callback()  # type: ignore[untyped-decorator]
    def options(
        verbose: int = typer.Option(
            0, "--verbose", "-v", count=True, help="Log to stderr; twice for more detail."
        ),
        version: bool = typer.Option(
            False,
            "--version",
            callback=print_version,
            is_eager=True,
            help="Print the installed version.",
        ),
    ) -> None:
        """TAGI: Bayesian neural networks without gradients."""
        if verbose:
            logging.basicConfig(
                level=logging.INFO if verbose == 1 else logging.DEBUG,
                format="%(name)s: %(message)s",
            )

    @app.command(name="version")  # type: ignore[untyped-decorator]
    def show_version() -> None:
        """Print the installed version."""
        print_version(True)

    doctor.add_commands(app)
    fit.add_command(app)
    predict.add_command(app)
    update.add_command(app)
    diffusion.add_commands(app)
    bench.add_commands(app)
    return app


def main() -> None:
    """Run the command line; exits with 2 and one line if an optional package is missing."""
    try:
        app = build_app()
    except MissingExtraError as error:
        if sys.argv[1:2] == ["doctor"]:  # who lacks packages is who needs it
            doctor.main(sys.argv[2:])
            return
        _exit(error)
    try:
        app()
    except MissingExtraError as error:
        _exit(error)


def _exit(error: Exception) -> None:
    print(f"tagix: {error}", file=sys.stderr)
    sys.exit(2)
