"""Options and arguments that several commands have."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

from tagix._optional import import_optional
from tagix.cli.paths import STDIN


class Device(str, Enum):
    """Devices by their names."""

    cpu = "cpu"
    cuda = "cuda"


def check_device(device: Device) -> None:
    """Raise a usage error, with the reason, for a device that cannot be used."""
    from tagix import cuda

    if device is Device.cuda and (reason := cuda.why_not()) is not None:
        raise usage_error(reason, "--device")


def usage_error(message: str, option: str | None = None) -> Exception:
    """What a command raises for arguments that make no sense; the program then exits with 2."""
    error: Any = import_optional("typer", extra="cli").BadParameter
    result: Exception = error(message, param_hint=option)
    return result


def table_argument() -> Any:
    """The argument DATA of a typer command: the path of a table, or "-"."""

    def existing(path: Path) -> Path:
        # What typer checks itself would not let "-" pass.
        if path != STDIN and not path.is_file() and not path.is_fifo():
            raise usage_error(f"got {str(path)!r}, needed a file that exists, or - for stdin")
        return path

    return import_optional("typer", extra="cli").Argument(
        callback=existing,
        metavar="DATA",
        help="A table: CSV, or by suffix .parquet, .arrow, .feather or .xlsx; - is CSV from stdin.",
    )


def model_argument() -> Any:
    """The argument MODEL of a typer command: the path of a file that exists."""
    return import_optional("typer", extra="cli").Argument(
        exists=True, dir_okay=False, metavar="MODEL", help="A file that tagix fit wrote."
    )


def device_option() -> Any:
    """The option --device of a typer command on models."""
    typer = import_optional("typer", extra="cli")
    return typer.Option(Device.cpu, help="Device that the model runs on.")
