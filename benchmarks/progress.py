"""What long benchmarks say while they run."""

from __future__ import annotations

import time


class Progress:
    """Prints parts as they are done, with the seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def done(self, part: str) -> None:
        """Say that a part is done."""
        print(f"{time.perf_counter() - self._start:7.0f} s  {part}", flush=True)
