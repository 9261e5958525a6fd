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


def run(make: MakeTrials, args: argparse.Namespace) -> tuple[Counter[tuple[str, str]], int]:
    """Run all trials; how many of each kind had which outcome, and the failures."""
    context = multiprocessing.get_context("spawn")
    counts: Counter[tuple[str, str]] = Counter()
    failures = 0

    def keep(number: int, content: bytes, report: str) -> None:
        nonlocal failures
        failures += 1
        args.keep.mkdir(parents=True, exist_ok=True)
        (args.keep / f"{args.seed}-{number}").write_bytes(content)
        (args.keep / f"{args.seed}-{number}.txt").write_text(report, errors="replace")
        print(f"failure: number {number}, in {args.keep}\n{report}", flush=True)

    def start(numbers: list[int]) -> _Worker:
        current = context.Value("q", -1, lock=False)
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(make, numbers, args, current, sending))
        process.start()
        sending.close()
        return _Worker(process, current, receiving, numbers)

    every = range(args.first, args.first + args.n)
    running = [start(list(every[i :: args.workers])) for i in range(args.workers)]
    begun = shown = time.monotonic()
    while running:
        if args.total_seconds and time.monotonic() - begun > args.total_seconds:
            for each in running:
                each.process.terminate()
                each.process.join()
            break
        ready = multiprocessing.connection.wait([each.results for each in running], timeout=5)
        for worker in [each for each in running if each.results in ready]:
            try:
                message = worker.results.recv()
            except EOFError:
                running.remove(worker)
                worker.process.join()
                if worker.process.exitcode == 0:
                    continue
                number = worker.current.value
                if number < 0 or failures >= 100:
                    raise RuntimeError("a worker does not start, or too many fail") from None
                with tempfile.TemporaryDirectory() as folder:
                    trials = make(Path(folder), args.seed)
                    kind, content = trials.kind(number), trials.content(number)
                counts[kind, "FAILED"] += 1
                keep(number, content, f"the process ended with {worker.process.exitcode}")
                # Those since its last message again, as their outcomes are lost.
                left = [each for each in worker.numbers[worker.done :] if each != number]
                if left:
                    running.append(start(left))
                continue
            if message[0] == "counts":
                counts += message[1]
                worker.done = message[2]
            else:
                keep(*message[1:])
        if time.monotonic() - shown > 60:
            shown = time.monotonic()
            done = sum(counts.values())
            print(f"{done} done, {failures} failures, {shown - begun:.0f} s", flush=True)
    return counts, failures


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
