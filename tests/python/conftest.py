"""Every test starts with one thread and ends with the number of threads that it found."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import tagix as tx


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = tx.get_num_threads()
    tx.set_num_threads(1)
    yield
    tx.set_num_threads(before)
