"""Where the seeds of models come from that are not given one."""

from __future__ import annotations

import itertools
import secrets
import threading

from tagix import _core

_lock = threading.Lock()
_seed = secrets.randbits(63)
_counter = itertools.count()


def manual_seed(seed: int) -> None:
    """Fix the seeds of all models made from here on without a ``seed`` of their own.

    Raises TypeError unless ``seed`` is an integer, ValueError unless it lies in [0, 2**63).
    """
    global _seed, _counter
    checked = check_seed(seed)
    with _lock:
        _seed = checked
        _counter = itertools.count()


def check_seed(seed: int) -> int:
    """``seed`` as an int in [0, 2**63), or a TypeError or ValueError."""
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise TypeError(f"seed: got {seed!r}, needed an integer")
    value = int(seed.__index__())
    if not 0 <= value < 2**63:
        raise ValueError(f"seed: got {value}, needed an integer in [0, 2**63)")
    return value


def resolve_seed(seed: int | None) -> int:
    """The given seed, checked, or the next one of the process."""
    if seed is not None:
        return check_seed(seed)
    with _lock:
        return _core.derive_seed(_seed, next(_counter))
