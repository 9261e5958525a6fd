"""Independent trainings in threads, with one progress bar for all of them."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar

from joblib import effective_n_jobs

from tagix._training import Callback, EpochRecord, FitCallback

T = TypeVar("T")


class SideBySide:
    """Runs trainings in threads; the core releases the GIL within an epoch.

    Results do not depend on the number of threads. If one training raises, or the user interrupts,
    the others end after their next epoch, and no thread is left running.

    Args:
        n_jobs: threads, as everywhere in scikit-learn: None is 1 unless joblib's
            ``parallel_config`` says otherwise, -1 one for each processor.
    """

    def __init__(self, n_jobs: int | None = None) -> None:
        self._n_threads = effective_n_jobs(n_jobs)
        self._ending = threading.Event()

    def run(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        """The results of all jobs, in their order."""
        if self._n_threads == 1 or len(jobs) < 2:
            return [job() for job in jobs]
        with ThreadPoolExecutor(min(self._n_threads, len(jobs))) as pool:
            futures = [pool.submit(job) for job in jobs]
            try:
                return [future.result() for future in futures]
            except BaseException:
                self._ending.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    @property
    def is_ending(self) -> bool:
        """Whether one of the jobs has failed, so that the others may end."""
        return self._ending.is_set()


class Progress:
    """One bar for all trainings of a fit, by epochs; or none.

    Args:
        name: what the bar is called, before the phase that it is in.
        enabled: whether there is one.
    """

    def __init__(self, name: str, enabled: bool) -> None:
        self._name = name
        self._enabled = enabled
        self._bar: Any = None
        self._lock = threading.Lock()

    def __enter__(self) -> Progress:
        if self._enabled:
            from tqdm.auto import tqdm

            self._bar = tqdm(desc=self._name, total=0, unit="epoch", leave=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def phase(self, description: str, n_epochs: int) -> None:
        """Begin a phase of so many epochs, of all networks together."""
        if self._bar is not None:
            self._bar.total += n_epochs
            self._bar.set_description(f"{self._name}: {description}")

    def advance(self) -> None:
        """Note the end of an epoch, in any thread."""
        if self._bar is not None:
            with self._lock:
                self._bar.update()


class Listeners(Callback):
    """The listeners of a training's epochs: the bar, and a callback if there is one.

    It ends where the callback returns true, where another training has failed, and after an epoch
    whose mean log-likelihood is not ``least_gain`` above that of the epoch before.
    """

    def __init__(
        self,
        progress: Progress,
        side_by_side: SideBySide,
        callback: FitCallback | None = None,
        least_gain: float | None = None,
    ) -> None:
        self._progress, self._side_by_side, self._callback = progress, side_by_side, callback
        self._least_gain, self._before = least_gain, -math.inf

    def on_rows(self, epoch: int, rows_done: int, n_rows: int) -> bool:
        """Ask the callback, if that hears of an epoch on its way."""
        wants_end = isinstance(self._callback, Callback) and bool(
            self._callback.on_rows(epoch, rows_done, n_rows)
        )
        return wants_end or self._side_by_side.is_ending

    def __call__(self, record: EpochRecord) -> bool:
        """Move the bar, and ask the callback."""
        self._progress.advance()
        wants_end = self._callback is not None and bool(self._callback(record))
        if self._least_gain is not None:
            wants_end |= record.log_likelihood - self._before < self._least_gain
            self._before = record.log_likelihood
        return wants_end or self._side_by_side.is_ending
