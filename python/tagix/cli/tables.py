"""``tagix fit``, ``predict`` and ``update``: tables in CSV files."""

from __future__ import annotations

from typing import Any


def add_commands(app: Any) -> None:
    """Add the commands to a typer application."""
