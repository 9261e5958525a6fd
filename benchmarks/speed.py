"""Speed of the workloads beside the opponents: the table, the JSON and the chart."""

from __future__ import annotations

import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks import figures
from benchmarks.contest import in_a_line
from benchmarks.opponents import OPPONENTS
from benchmarks.workloads import WORKLOADS, Moments, Workload, tagix_call
from tagix import _core
from tagix.bench.threads import set_threads
from tagix.bench.timing import CallTimes, interleaved_calls


def run(
    workloads: list[Workload],
    opponents: list[str],
    precisions: list[str],
    moments: Moments,
    n_threads: int,
    quick: bool,
) -> list[Any]:
    """Measure workloads beside opponents, print a table and return its numbers.

    Args:
        workloads: What to run.
        opponents: Names in OPPONENTS.
        precisions: Of tagix, in columns.
        moments: Of the ReLU of tagix, "exact" or "first_order".
        n_threads: Of tagix and of every opponent.
        quick: 3 short rounds in place of 9.
    """
    set_threads(n_threads, torch=True)
    n_rounds, block_seconds = (3, 0.1) if quick else (9, 0.4)
    peak = _core.peak_flops("float32") * n_threads
    print(
        f"{_core.backend_name('cpu')}, {moments} ReLU, {n_threads} thread(s), {n_rounds} rounds, "
        f"PyTorch {torch.__version__}"
    )
    print(
        "milliseconds of single calls by the clock (least, 10th percentile, median), and of the "
        "processor,\nall threads together, in the least round; ratios are those of tagix to the "
        "opponent"
    )
    print(f"share, by the least, of {peak / 1e9:.0f} GFLOP/s: float32 multiply-adds in registers")
    before = {} if quick else figures.committed(moments, n_threads)
    beside = "beside committed figures" if before else "beside no committed figures"
    print(f"{figures.settings(moments, n_threads)}: {beside}\n")
    print(f"{'':42}{'least':>9}{'p10':>9}{'median':>9}{'processor':>11}{'GFLOP/s':>9}{'share':>7}")
    return [
        _measure(
            *(workload, opponents, precisions, moments, peak, n_rounds, block_seconds),
            before.get(workload.name, {}) if workload in WORKLOADS.values() else {},
        )
        for workload in workloads
    ]


def _measure(
    workload: Workload,
    opponents: list[str],
    precisions: list[str],
    moments: Moments,
    peak: float,
    n_rounds: int,
    block_seconds: float,
    before: dict[str, figures.Figure],
) -> dict[str, Any]:
    """Time one workload, print its lines and return its numbers."""
    calls = {name: tagix_call(workload, name, moments) for name in precisions}
    failures = {}
    for name in opponents:
        try:
            calls[name] = OPPONENTS[name](workload)
        except Exception as error:  # an opponent that does not work here is named, not hidden
            failures[name] = in_a_line(error)
    times = interleaved_calls(calls, n_rounds, block_seconds)
    for name in precisions:
        times[name] = times[name].per(workload.steps_per_call)
    ratios = {
        name: {precision: times[precision].over(times[name]) for precision in precisions}
        for name in opponents
        if name in calls
    }

    print(f"{workload.name} {workload.description}")
    for name in precisions:
        _print_line(f"tagix {name}", times[name], workload.tagix_flops(), peak)
    for name in opponents:
        if name in failures:
            print(f"    {name:38}does not run: {failures[name]}")
            continue
        _print_line(name, times[name], None if name == "pytagi" else workload.torch_flops(), peak)
        for precision, ratio in ratios[name].items():
            compare = name == figures.PEER and precision in before
            now = figures.Figure(times[precision], ratio)
            slower = figures.slower(now, before[precision]) if compare else []
            _print_ratio(precision, ratio, slower)
    return {
        **asdict(workload),
        "tagix_flops": workload.tagix_flops(),
        "torch_flops": workload.torch_flops(),
        "seconds": {name: asdict(each) for name, each in times.items()},
        "ratio": {
            name: {precision: asdict(ratio) for precision, ratio in by_precision.items()}
            for name, by_precision in ratios.items()
        },
        "failures": failures,
        "peak_flops": peak,
    }


def _print_line(label: str, times: CallTimes, flops: int | None, peak: float) -> None:
    """Print the times of a contender, and its rate where its operations are known."""
    least, p10, middle, processor = (1e3 * value for value in times.values())
    line = f"    {label:38}{least:>9.4g}{p10:>9.4g}{middle:>9.4g}{processor:>11.4g}"
    if flops is not None:
        rate = flops / times.least
        line += f"{rate / 1e9:>9.3g}{rate / peak:>7.0%}"
    print(line, flush=True)


def _print_ratio(precision: str, ratio: CallTimes, slower: list[str]) -> None:
    """Print a ratio beneath the times, and what is slower than the committed figures."""
    least, p10, middle, processor = ratio.values()
    line = f"      ratio of {precision:27}{least:>9.3g}{p10:>9.3g}{middle:>9.3g}{processor:>11.3g}"
    if slower:
        line += f"  SLOWER: {', '.join(slower)}"
    print(line, flush=True)


def to_commit(results: list[Any]) -> figures.Figures:
    """What run returned that is committed as figures."""
    return {
        result["name"]: {
            precision: figures.Figure(CallTimes(**result["seconds"][precision]), CallTimes(**ratio))
            for precision, ratio in result["ratio"][figures.PEER].items()
        }
        for result in results
        if figures.PEER in result["ratio"]
    }


def document(results: list[Any], moments: str, n_threads: int) -> dict[str, Any]:
    """What run returned, with the settings, as JSON can hold it."""
    return {
        "backend": _core.backend_name("cpu"),
        "platform": platform.platform(),
        "relu_moments": moments,
        "threads": n_threads,
        "torch": torch.__version__,
        "results": results,
    }


def draw_chart(path: Path, results: list[Any]) -> None:
    """Draw the ratios of what run returned, from the least to the median, to an image file."""
    from matplotlib.figure import Figure

    pairs = [
        (name, precision)
        for name in OPPONENTS
        for precision in next(
            (result["ratio"][name] for result in results if name in result["ratio"]), {}
        )
    ]
    figure = Figure(figsize=(9, 1.5 + 0.12 * len(pairs) * len(results)), layout="constrained")
    axes = figure.subplots()
    for i, (name, precision) in enumerate(pairs):
        rows = [k for k, result in enumerate(results) if name in result["ratio"]]
        ratios = [results[k]["ratio"][name][precision] for k in rows]
        low = [ratio["least"] for ratio in ratios]
        axes.errorbar(
            low,
            [k + 0.8 * (i / max(len(pairs) - 1, 1) - 0.5) for k in rows],
            xerr=[
                [max(0.0, each - ratio["median"]) for each, ratio in zip(low, ratios, strict=True)],
                [max(0.0, ratio["median"] - each) for each, ratio in zip(low, ratios, strict=True)],
            ],
            fmt=".os^*"[list(OPPONENTS).index(name)],
            color={"float32": "C0", "mixed": "C1", "bfloat16": "C2"}[precision],
            label=f"{precision} / {name}",
        )
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("time of tagix / time of the opponent: of the least calls, to the medians")
    axes.set_yticks(range(len(results)), [f"{r['name']} {r['description']}" for r in results])
    axes.invert_yaxis()
    figure.legend(loc="outside upper center", ncols=3, fontsize="small")
    figure.savefig(path, dpi=150)
