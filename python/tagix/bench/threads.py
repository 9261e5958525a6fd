"""How many threads the libraries that are measured have."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import tagix as tx

_LIBRARY_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def set_threads(n_threads: int, *, torch: bool) -> None:
    """Give tagix, and PyTorch if it takes part, so many threads in this process."""
    tx.set_num_threads(n_threads)
    if torch:
        import torch as package

        package.set_num_threads(n_threads)


@contextmanager
def one_library_thread() -> Iterator[None]:
    """Processes started within take one thread for what the libraries below do by themselves."""
    before = {name: os.environ.get(name) for name in _LIBRARY_THREADS}
    os.environ.update(dict.fromkeys(_LIBRARY_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
