"""Run jobs in parallel processes, and keep each result as soon as it is ready."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any

import tagix as tx
from tagix.bench.jobs import BenchmarkJob
from tagix.bench.store import Store

_LIBRARY_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass
class Outcome:
    """The outcome of a run of jobs.

    Attributes:
        results: By BenchmarkJob.key(), of the jobs that have some.
        errors: By BenchmarkJob.key(), the errors of the other jobs, with their descriptions.
        n_run: Jobs run by this call; the others had results before, or failed.
        seconds: Wall-clock time of the call.
    """

    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    n_run: int = 0
    seconds: float = 0.0


class Workers:
    """Processes for jobs, started when the first is needed; a context manager that ends them.

    Args:
        n_workers: Processes, by default as many as there are processors.
    """

    def __init__(self, n_workers: int | None = None) -> None:
        self._n_workers = n_workers or os.cpu_count() or 1
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._end(wait=error is None)

    def run(
        self, jobs: Sequence[BenchmarkJob], store: Store
    ) -> Iterator[tuple[BenchmarkJob, str | None]]:
        """Yield jobs as they finish, each with None or with its error.

        Timed jobs run after all others, one at a time. Jobs that were lost because a process died
        run once more in the same way, because only one of them may have caused this.
        """
        lost = []
        for job, done in self._together([job for job in jobs if not job.timed], store):
            if isinstance(done.exception(), BrokenProcessPool):
                lost.append(job)
            else:
                yield job, _error(done)
        for job in [*lost, *(job for job in jobs if job.timed)]:
            for _, done in self._together([job], store):
                yield job, _error(done)

    def _together(
        self, jobs: Sequence[BenchmarkJob], store: Store
    ) -> Iterator[tuple[BenchmarkJob, Future[str | None]]]:
        with _one_library_thread():  # processes start as jobs are submitted
            futures = {self._submit(job, store): job for job in jobs}
        for future in as_completed(futures):
            if isinstance(future.exception(), BrokenProcessPool):
                self._end(wait=True)
            yield futures[future], future

    def _submit(self, job: BenchmarkJob, store: Store) -> Future[str | None]:
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                self._n_workers, mp_context=get_context("spawn"), initializer=_begin_process
            )
        try:
            return self._executor.submit(_run_job, job, store.folder)
        except BrokenProcessPool as error:
            future: Future[str | None] = Future()
            future.set_exception(error)
            return future

    def _end(self, wait: bool) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=wait, cancel_futures=True)
            self._executor = None


def run_jobs(
    jobs: Iterable[BenchmarkJob],
    store: Store,
    workers: Workers,
    *,
    fresh: bool = False,
    progress: bool = True,
    title: str = "jobs",
) -> Outcome:
    """Run the jobs that the store does not have yet.

    A job that fails does not affect the others. KeyboardInterrupt ends the call; finished jobs are
    already in the store.

    Args:
        jobs: Equal ones are run once.
        store: Where results are read and written.
        workers: Where they run.
        fresh: Run all jobs, even if the store has their results.
        progress: Show a progress bar on stderr.
        title: Of the bar.
    """
    from tqdm.auto import tqdm

    begin = time.perf_counter()
    outcome = Outcome()
    waiting: dict[str, BenchmarkJob] = {}
    for job in jobs:
        stored = None if fresh else store.load(job)
        if stored is None:
            waiting[job.key()] = job
        else:
            outcome.results[job.key()] = stored
    with tqdm(total=len(waiting), desc=title, unit="job", disable=not progress) as bar:
        for job, error in workers.run(list(waiting.values()), store):
            result = store.load(job) if error is None else None
            if result is None:
                reason = error or "its results cannot be read back"
                outcome.errors[job.key()] = f"{job.key()}: {job}\n{reason}"
            else:
                outcome.results[job.key()] = result
                outcome.n_run += 1
            bar.update()
    outcome.seconds = time.perf_counter() - begin
    return outcome


def _error(done: Future[str | None]) -> str | None:
    raised = done.exception()
    return done.result() if raised is None else f"{type(raised).__name__}: {raised}"


def _begin_process() -> None:
    """Let Ctrl-C end a process at once: what it has not written does not exist."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _run_job(job: BenchmarkJob, folder: Path) -> str | None:
    """Run a job and store what it gives; returns the traceback if it fails."""
    try:
        tx.set_num_threads(job.n_threads)
        if job.needs_torch:
            import torch

            torch.set_num_threads(job.n_threads)
        Store(folder).save(job, *job.run())
    except Exception:
        return traceback.format_exc()
    return None


@contextmanager
def _one_library_thread() -> Iterator[None]:
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
