"""Run jobs in parallel processes, and keep what each gives as soon as it is there."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import tagix as tx
from tagix.bench import measures
from tagix.bench.jobs import Job
from tagix.bench.store import Store

_LIBRARY_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass
class Outcome:
    """What became of the jobs.

    Attributes:
        results: By Job.key(), of the jobs that have some.
        errors: By Job.key(), what went wrong in the others, with the job's description.
        n_run: Jobs run by this call; the others were there before, or failed.
        seconds: Wall-clock time of the call.
    """

    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    n_run: int = 0
    seconds: float = 0.0


def run_jobs(
    jobs: Iterable[Job],
    store: Store,
    *,
    n_workers: int | None = None,
    fresh: bool = False,
    progress: bool = True,
    title: str = "jobs",
) -> Outcome:
    """Run the jobs that the store does not have yet.

    Jobs run in n_workers processes with one thread each; those that are timed come after the
    others, one at a time. A job that fails leaves the others alone. KeyboardInterrupt ends the
    call; finished jobs are in the store by then.

    Args:
        jobs: Equal ones are run once.
        store: Where results are read and written.
        n_workers: Processes, by default as many as there are processors.
        fresh: Run all, whatever the store has.
        progress: Show a progress bar on stderr.
        title: Of the bar.
    """
    begin = time.perf_counter()
    outcome = Outcome()
    waiting: dict[str, Job] = {}
    for job in jobs:
        key = job.key()
        stored = None if fresh else store.load(job)
        if stored is None:
            waiting[key] = job
        else:
            outcome.results[key] = stored
    together = [job for job in waiting.values() if not job.timed]
    alone = [job for job in waiting.values() if job.timed]
    bar = _progress_bar(progress, len(waiting), title)
    try:
        for part, n_processes in ((together, n_workers or os.cpu_count() or 1), (alone, 1)):
            if part:
                for job, done in _run_in_processes(part, store, min(n_processes, len(part))):
                    _settle(job, done, store, outcome)
                    bar.update()
    finally:
        bar.close()
    outcome.seconds = time.perf_counter() - begin
    return outcome


def _settle(job: Job, done: Future[str | None], store: Store, outcome: Outcome) -> None:
    try:
        error = done.result()
    except Exception as raised:  # the process itself was lost
        error = f"{type(raised).__name__}: {raised}"
    result = store.load(job) if error is None else None
    if result is None:
        outcome.errors[job.key()] = f"{job}\n{error or 'its results cannot be read back'}"
    else:
        outcome.results[job.key()] = result
        outcome.n_run += 1


def _run_in_processes(
    jobs: Sequence[Job], store: Store, n_processes: int
) -> Iterator[tuple[Job, Future[str | None]]]:
    """Jobs with their futures, as they are done."""
    with _one_library_thread():
        executor = ProcessPoolExecutor(
            n_processes, mp_context=get_context("spawn"), initializer=_begin_process
        )
        try:
            futures = {executor.submit(_run_job, job, store.folder): job for job in jobs}
            for future in as_completed(futures):
                yield futures[future], future
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise
        executor.shutdown()


def _begin_process() -> None:
    """Let Ctrl-C end a process at once: what it has not written does not exist."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _run_job(job: Job, folder: Path) -> str | None:
    """Run a job and store what it gives; returns the traceback if it fails."""
    try:
        tx.set_num_threads(job.n_threads)
        if job.method == "pytorch":
            import torch

            torch.set_num_threads(job.n_threads)
        Store(folder).save(job, *measures.run(job))
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


def _progress_bar(enabled: bool, n_jobs: int, title: str) -> Any:
    from tqdm.auto import tqdm

    return tqdm(total=n_jobs, desc=title, unit="job", disable=not enabled or n_jobs == 0)
