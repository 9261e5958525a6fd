"""Seconds of training to the quality that the published peer has after 100 epochs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tagix.bench.compare import Summary
from tagix.bench.jobs import Job, Sampling
from tagix.bench.markdown import markdown_table
from tagix.bench.recipes import LEARNING_RATE, LEARNING_RATES, Scale, pytorch_job, tagix_job
from tagix.bench.results import Results
from tagix.bench.section import Section, Target, show

DATA = "swiss_roll"
N_STEPS = 40
BATCH_SIZE = 256
N_THREADS = (1, 2)
# Share of samples off the manifold of the peer with batches of 2048, Adam at 1e-3, 100 epochs.
QUALITY = 0.068
SAMPLING = Sampling(n_samples=10_000, metrics=("off_manifold",))


def _groups(scale: Scale) -> dict[tuple[str, int], list[Job]]:
    """Jobs by contender and threads."""
    settings: dict[str, Any] = {
        "protocol": "toy",
        "n_steps": N_STEPS,
        "samplings": (SAMPLING,),
        "until": (SAMPLING.name, "off_manifold", QUALITY),
        "timed": True,
        "max_seconds": _max_seconds(scale),
    }
    small = {"batch_size": BATCH_SIZE, "checkpoints": tuple(range(1, 31))}
    groups: dict[tuple[str, int], list[Job]] = {}
    for n_threads in N_THREADS:
        shared = settings | {"n_threads": n_threads}
        groups["tagix", n_threads] = [
            # tagix.lab's default recipe.
            tagix_job(DATA, seed, noise=None, **shared, **small)
            for seed in scale.seeds
        ]
        for rate in LEARNING_RATES[1:2] if scale.quick else LEARNING_RATES:
            groups[_title(BATCH_SIZE, rate), n_threads] = [
                pytorch_job(DATA, seed, learning_rate=rate, **shared, **small)
                for seed in scale.seeds
            ]
        if not scale.quick:
            published = {"batch_size": 2048, "checkpoints": tuple(range(5, 151, 5))}
            groups[_title(2048, LEARNING_RATE), n_threads] = [
                pytorch_job(DATA, seed, learning_rate=LEARNING_RATE, **shared, **published)
                for seed in scale.seeds
            ]
    return groups


def _max_seconds(scale: Scale) -> float:
    """Of a training, whether it gets there or not; two threads on a busy machine may take ages."""
    return 12.0 if scale.quick else 60.0


def _title(batch_size: int, rate: float) -> str:
    return f"PyTorch, batch {batch_size}, Adam {rate:g}"


def jobs(scale: Scale) -> list[Job]:
    """Every contender, seed and number of threads, each to run alone."""
    return [job for group in _groups(scale).values() for job in group]


def seconds_to_quality(checkpoints: Iterable[dict[str, Any]]) -> tuple[float, int] | None:
    """Seconds of training and epochs to the first checkpoint of that quality, None without one."""
    for each in checkpoints:
        if each["samplings"][SAMPLING.name]["off_manifold"] <= QUALITY:
            return each["fit_seconds"], each["epoch"]
    return None


# Seconds and epochs to the quality, one pair a seed.
Reached = list[tuple[float, int]]


def report(results: Results, scale: Scale) -> Section:
    """Seconds and epochs by contender and threads, and how many times faster tagix is."""
    rows: list[list[str]] = []
    numbers: dict[str, Any] = {}
    # Of contenders whose seeds all got there: a mean of the quick ones alone would lie.
    reached: dict[tuple[str, int], Reached] = {}
    for key, group in _groups(scale).items():
        finished = [result for job in group if (result := results.of(job)) is not None]
        times = [seconds_to_quality(result["checkpoints"]) for result in finished]
        there = [each for each in times if each is not None]
        row = [key[0], str(key[1]), f"{len(there)} of {scale.n_seeds}", "", ""]
        if len(there) == scale.n_seeds:
            reached[key] = there
            seconds = Summary.of(each[0] for each in there)
            epochs = Summary.of(float(each[1]) for each in there)
            row[3:] = [show(epochs, 1), show(seconds, 2)]
            numbers[f"{key[0]}, {key[1]} thread(s)"] = {
                "seconds": [each[0] for each in there],
                "epochs": [each[1] for each in there],
            }
        rows.append(row)
    targets = []
    for n_threads in (*((n,) for n in N_THREADS), N_THREADS):
        words = " or ".join(map(str, n_threads)) + " thread(s)"
        text = f"tagix is faster than PyTorch at its best on {words}"
        found = {key: each for key, each in reached.items() if key[1] in n_threads}
        ours = _fastest({key: each for key, each in found.items() if key[0] == "tagix"})
        peer = _fastest({key: each for key, each in found.items() if key[0] != "tagix"})
        if ours is None or peer is None:
            missing = "tagix" if ours is None else "PyTorch"
            targets.append(Target(text, f"{missing} did not get there", ours is not None))
            continue
        # Of every pair of seeds: how often one run may beat another is part of the answer.
        ratios = sorted(b[0] / a[0] for a in found[ours] for b in found[peer])
        ratio = _seconds(found[peer]) / _seconds(found[ours])
        got = f"{ratio:.2f} times ({ratios[0]:.2f} to {ratios[-1]:.2f}) as fast as {peer[0]}"
        targets.append(Target(text, got, ratio > 1.0))
        numbers[f"ratio on {words}"] = {
            "tagix_threads": ours[1],
            "peer": peer[0],
            "peer_threads": peer[1],
            "ratio": ratio,
            "ratios": ratios,
        }
    return Section(
        "training-time",
        "Seconds of training",
        [
            f"The swiss roll, T = {N_STEPS}: seconds of training, by the clock and without the "
            f"time of measuring, until at most {QUALITY:.1%} of 10 000 samples are off the "
            "manifold, which is what the published PyTorch model has after 100 epochs in batches "
            f"of 2048 with Adam at {LEARNING_RATE:g}. tagix: default recipe, batches of "
            f"{BATCH_SIZE}. Measured after every epoch, in batches of 2048 after every fifth; each "
            f"training runs alone, for at most {_max_seconds(scale):.0f} seconds, and wants as "
            f"many idle processors as it has threads. {scale.n_seeds} seed(s); the ratio is that "
            "of mean times, in brackets those of all pairs of seeds.",
            markdown_table(["", "threads", "seeds that got there", "epochs", "seconds"], rows),
        ],
        targets,
        numbers=numbers,
    )


def _seconds(reached: Reached) -> float:
    return sum(each[0] for each in reached)


def _fastest(reached: Mapping[tuple[str, int], Reached]) -> tuple[str, int] | None:
    """The contender with the least seconds, None if there is none."""
    return min(reached, key=lambda key: _seconds(reached[key]), default=None)
