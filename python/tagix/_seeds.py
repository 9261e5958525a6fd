"""Default seeds: those of models that are made without a seed."""

from __future__ import annotations

import itertools
import secrets
import threading

from tagix import _core
from tagix._arrays import as_count

_lock = threading.Lock()
_seed = secrets.randbits(63)
_counter = itertools.count()


def manual_seed(seed: int) -> None:
    """Fix the seeds of all models that are made from now on without a ``seed``.

    Raises TypeError unless ``seed`` is an integer, ValueError unless it lies in [0, 2**63).
    """
    global _seed, _counter
    checked = check_seed(seed)
    with _lock:
        _seed = checked
        _counter = itertools.count()


def check_seed(seed: int) -> int:
    """``seed`` as an int in [0, 2**63), or a TypeError or ValueError."""
    return as_count("seed", seed, least=0)


def resolve_seed(seed: int | None) -> int:
    """The given seed, checked, or the next one of the process."""
    if seed is not None:
        return check_seed(seed)
    with _lock:
        return _core.derive_seed(_seed, next(_counter))
