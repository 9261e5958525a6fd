"""The argument ``eval_set`` of a fit, and errors that begin with its name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def as_pair(eval_set: Any) -> tuple[Any, Any]:
    """(X, y) of an ``eval_set``; TypeError for anything but a pair."""
    if not isinstance(eval_set, (tuple, list)) or len(eval_set) != 2:
        raise TypeError(f"got a {type(eval_set).__name__}, needed a pair (X, y)")
    return eval_set[0], eval_set[1]


@contextmanager
def named(name: str) -> Iterator[None]:
    """Begin the messages of what is wrong in the block with the name of an argument."""
    try:
        yield
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
