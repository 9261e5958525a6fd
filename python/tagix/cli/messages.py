"""Messages of the commands on tables to stderr: errors, warnings and notes, one line each."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tagix._optional import import_optional
from tagix.cli.table import Table


def counted(count: int, what: str) -> str:
    """A count with its noun, such as "2 rows"."""
    plural = f"{what}es" if what.endswith("s") else f"{what}s"
    return f"{count} {what if count == 1 else plural}"


@contextmanager
def naming_file(table: Table) -> Iterator[None]:
    """Put the path of the table before the message of an error that an estimator raises."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ValueError(f"{table.path}: {error}") from error


@contextmanager
def in_one_line() -> Iterator[None]:
    """Turn an error about files, like a missing extra, into a line on stderr and exit status 2."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = _show_warning
            yield
    except BrokenPipeError:
        # Nobody reads on, as after | head: no error. What Python writes at its exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise import_optional("typer", extra="cli").Exit(0) from None
    except (ValueError, OSError) as error:
        print(f"tagix: {' '.join(str(error).split())}", file=sys.stderr)
        raise import_optional("typer", extra="cli").Exit(2) from error


def _show_warning(message: Any, *_: Any, **__: Any) -> None:
    print(f"tagix: {' '.join(str(message).split())}", file=sys.stderr)


@contextmanager
def notes_of(table: Table, quiet: bool) -> Iterator[Table]:
    """Give the table, and print its notes at the end, also after an error, unless ``quiet``."""
    try:
        yield table
    finally:
        for note in () if quiet else table.notes:
            print(f"tagix: {note}", file=sys.stderr)
