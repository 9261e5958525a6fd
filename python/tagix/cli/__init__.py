"""The command line, ``tagix``, which needs the extra "cli"; importing this needs no extra."""

from tagix.cli.app import build_app, main

__all__ = ["build_app", "main"]
