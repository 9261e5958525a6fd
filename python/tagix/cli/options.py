"""Kinds of options that several commands have."""

from __future__ import annotations

from enum import Enum
from typing import Any

from tagix._optional import import_optional


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
