"""What every test starts from: one thread, and default seeds that are the same each time."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

import tagix as tx

# A shell lets its background jobs ignore the signal, and tests of interruptions would never end.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def the_same_start() -> Iterator[None]:
    """Ends with the number of threads that it found."""
    tx.manual_seed(0)
    before = tx.get_num_threads()
    tx.set_num_threads(1)
    yield
    tx.set_num_threads(before)
