"""Import packages that only some parts of the library need."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


class MissingExtraError(ImportError):
    """An optional package is not installed; the message names the extra that brings it."""


def import_optional(module: str, *, package: str | None = None, extra: str = "lab") -> ModuleType:
    """Import ``module``, or say how to install it.

    Args:
        module: Dotted name of the module, such as ``"scipy.spatial"``.
        package: Name of its distribution, where that differs from the first part of ``module``.
        extra: The extra of this package that depends on it.

    Raises:
        MissingExtraError: The module's package is not installed. A package that is installed but
            fails to import keeps its own error.
    """
    root = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != root:
            raise
        raise MissingExtraError(
            f'{package or root} is not installed: pip install "tagix[{extra}]"', name=root
        ) from error
