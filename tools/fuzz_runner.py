"""Runs numbered trials in processes that may crash or hang, and counts their outcomes."""

from __future__ import annotations

import argparse
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol


class Trials(Protocol):
    """What can be tried; each trial follows from its number alone, in any process."""

    def kind(self, number: int) -> str:
        """What sort of trial it is, for the counts."""

    def run(self, number: int) -> str:
        """Try it; its outcome in a word or two. An exception is a failure."""

    def content(self, number: int) -> bytes:
        """What to keep of one that failed."""


MakeTrials = Callable[[Path, int], Trials]
"""Makes them from a folder for files, and a seed; a function of a module."""


def _work(
    make: MakeTrials,
    numbers: list[int],
    args: argparse.Namespace,
    current: Any,
    results: Connection,
) -> None:
    """Run the trials of these numbers, in a process of its own."""
    warnings.simplefilter("ignore")
    trials = make(Path(tempfile.mkdtemp(dir=args.folder)), args.seed)
    limit_memory(args.megabytes)
    counts: Counter[tuple[str, str]] = Counter()
    for done, number in enumerate(numbers, 1):
        current.value = number
        signal.setitimer(signal.ITIMER_REAL, args.seconds)  # its signal ends the process
        try:
            outcome = trials.run(number)
        except BaseException:
            outcome = "FAILED"
            results.send(("failure", number, trials.content(number), traceback.format_exc()))
        signal.setitimer(signal.ITIMER_REAL, 0)
        counts[trials.kind(number), outcome] += 1
        if done % 100 == 0 or done == len(numbers):
            results.send(("counts", counts, done))
            counts = Counter()


def limit_memory(megabytes: int) -> None:
    """Limit what this process may still allocate; a sanitizer has options of its own for that."""
    if sys.platform == "linux" and "asan" not in os.environ.get("LD_PRELOAD", ""):
        import resource

        in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limit = in_use + megabytes * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


@dataclass
class _Worker:
    """A process that runs trials, and how many of them it has said to be done."""

    process: Any
    current: Any
    results: Connection
    numbers: list[int]
    done: int = 0


class _Run:
    """The processes that run trials now, and what became of the trials so far.

    Args:
        make: Makes the trials, in each process anew.
        args: Of the command line.
    """

    def __init__(self, make: MakeTrials, args: argparse.Namespace) -> None:
        self._make, self._args = make, args
        self._context = multiprocessing.get_context("spawn")
        self.counts: Counter[tuple[str, str]] = Counter()
        self.n_failures = 0
        every = range(args.first, args.first + args.n)
        self.workers = [self._start(list(every[i :: args.workers])) for i in range(args.workers)]

    def receive(self, timeout: float) -> None:
        """Wait at most so many seconds for what the processes say, and count it."""
        ready = multiprocessing.connection.wait([each.results for each in self.workers], timeout)
        for worker in [each for each in self.workers if each.results in ready]:
            try:
                message = worker.results.recv()
            except EOFError:
                self._ended(worker)
                continue
            if message[0] == "counts":
                self.counts += message[1]
                worker.done = message[2]
            else:
                self._keep(*message[1:])

    def stop(self) -> None:
        """End the processes, whatever they have left to do."""
        for worker in self.workers:
            worker.process.terminate()
            worker.process.join()

    def _start(self, numbers: list[int]) -> _Worker:
        current = self._context.Value("q", -1, lock=False)
        receiving, sending = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=_work, args=(self._make, numbers, self._args, current, sending)
        )
        process.start()
        sending.close()
        return _Worker(process, current, receiving, numbers)

    def _ended(self, worker: _Worker) -> None:
        """Where a process crashed, count its trial as a failure, and start another for the rest."""
        self.workers.remove(worker)
        worker.process.join()
        if worker.process.exitcode == 0:
            return
        number = worker.current.value
        if number < 0 or self.n_failures >= 100:
            raise RuntimeError("a worker does not start, or too many fail") from None
        with tempfile.TemporaryDirectory() as folder:
            trials = self._make(Path(folder), self._args.seed)
            kind, content = trials.kind(number), trials.content(number)
        self.counts[kind, "FAILED"] += 1
        self._keep(number, content, f"the process ended with {worker.process.exitcode}")
        # Those since its last message again, as their outcomes are lost.
        left = [each for each in worker.numbers[worker.done :] if each != number]
        if left:
            self.workers.append(self._start(left))

    def _keep(self, number: int, content: bytes, report: str) -> None:
        """Write a failure to files, and say so."""
        self.n_failures += 1
        folder, seed = self._args.keep, self._args.seed
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{seed}-{number}").write_bytes(content)
        (folder / f"{seed}-{number}.txt").write_text(report, errors="replace")
        print(f"failure: number {number}, in {folder}\n{report}", flush=True)


def run(make: MakeTrials, args: argparse.Namespace) -> tuple[Counter[tuple[str, str]], int]:
    """Run all trials; how many of each kind had which outcome, and the failures."""
    running = _Run(make, args)
    begun = shown = time.monotonic()
    while running.workers:
        if args.total_seconds and time.monotonic() - begun > args.total_seconds:
            running.stop()
            break
        running.receive(timeout=5)
        if time.monotonic() - shown > 60:
            shown = time.monotonic()
            done = sum(running.counts.values())
            print(f"{done} done, {running.n_failures} failures, {shown - begun:.0f} s", flush=True)
    return running.counts, running.n_failures


def table(counts: Counter[tuple[str, str]]) -> str:
    """The counts, kinds of trials by outcomes."""
    outcomes = sorted({outcome for _, outcome in counts})
    lines = [f"{'':34}" + "".join(f"{outcome:>23}" for outcome in outcomes)]
    for kind in sorted({kind for kind, _ in counts}):
        lines.append(f"{kind:34}" + "".join(f"{counts[kind, each]:23}" for each in outcomes))
    totals = [sum(counts[key] for key in counts if key[1] == outcome) for outcome in outcomes]
    return "\n".join([*lines, f"{'all':34}" + "".join(f"{total:23}" for total in totals)])


def main(make: MakeTrials, description: str) -> int:
    """The command line of a tool; the exit status."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--n", type=int, default=100_000, help="trials")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--total-seconds", type=float, help="for all of them; those left are not run"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="for each trial")
    parser.add_argument("--megabytes", type=int, default=1024, help="for each trial")
    parser.add_argument("--keep", type=Path, default=Path("fuzz_failures"))
    args = parser.parse_args()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        dir=memory if memory.is_dir() else None, prefix="tagix_fuzz_"
    ) as args.folder:
        begun = time.monotonic()
        counts, failures = run(make, args)
    print(table(counts))
    seconds = time.monotonic() - begun
    print(f"{sum(counts.values())} trials in {seconds:.0f} s, {failures} failures")
    return 1 if failures else 0
