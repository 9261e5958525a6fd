"""Speed of the workloads beside the opponents: the table, the JSON and the chart."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.contest import draw_bars, in_a_line, numbers_of, ratio_cells, ratios_of
from benchmarks.opponents import OPPONENTS
from benchmarks.workloads import Moments, Workload, tagix_call
from tagix import _core
from tagix.bench.threads import set_threads
from tagix.bench.timing import Spread, interleaved_seconds


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
    print("ratio = time of tagix / time of the opponent: median (least - greatest)")
    print(f"share = of {peak / 1e9:.0f} GFLOP/s, the float32 multiply-adds in registers\n")
    print(f"{'':42}{'ms':>9}{'MFLOP':>8}{'GFLOP/s':>9}{'share':>7}", end="")
    print("".join(f"  {'ratio of ' + precision:24}" for precision in precisions))
    return [
        _measure(workload, opponents, precisions, moments, peak, n_rounds, block_seconds)
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
) -> dict[str, Any]:
    """Time one workload, print its lines and return its numbers."""
    calls = {name: tagix_call(workload, name, moments) for name in precisions}
    failures = {}
    for name in opponents:
        try:
            calls[name] = OPPONENTS[name](workload)
        except Exception as error:  # an opponent that does not work here is named, not hidden
            failures[name] = in_a_line(error)
    seconds = interleaved_seconds(calls, n_rounds, block_seconds)
    for name in precisions:
        seconds[name] = [value / workload.steps_per_call for value in seconds[name]]
    times = {name: Spread.of(values) for name, values in seconds.items()}
    ratios = ratios_of(seconds, (name for name in opponents if name in calls), precisions)

    print(f"{workload.name} {workload.description}")
    for name in precisions:
        _print_line(f"tagix {name}", times[name], workload.tagix_flops(), peak, [])
    for name in opponents:
        if name in failures:
            print(f"    {name:38}does not run: {failures[name]}")
            continue
        flops = None if name == "pytagi" else workload.torch_flops()
        _print_line(name, times[name], flops, peak, ratios[name].values())
    return {
        **asdict(workload),
        "tagix_flops": workload.tagix_flops(),
        "torch_flops": workload.torch_flops(),
        **numbers_of(times, ratios),
        "failures": failures,
        "peak_flops": peak,
    }


def _print_line(
    label: str, time: Spread, flops: int | None, peak: float, ratios: Iterable[Spread]
) -> None:
    """Print the time of a contender, its rate where its operations are known, and its ratios."""
    line = f"    {label:38}{time.median * 1e3:>9.4g}"
    if flops is not None:
        rate = flops / time.median
        line += f"{_three_digits(flops / 1e6):>8}{rate / 1e9:>9.3g}{rate / peak:>7.0%}"
    print(f"{line:<75}  {ratio_cells(ratios)}".rstrip(), flush=True)


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
    """Draw the ratios of what run returned as bars, with their spread, to an image file."""
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
        draw_bars(
            axes,
            ratios,
            [k + 0.8 * (i / max(len(pairs) - 1, 1) - 0.5) for k in rows],
            fmt=".os^*"[list(OPPONENTS).index(name)],
            color={"float32": "C0", "mixed": "C1", "bfloat16": "C2"}[precision],
            label=f"{precision} / {name}",
        )
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("time of tagix / time of the opponent (below 1: tagix is faster)")
    axes.set_yticks(range(len(results)), [f"{r['name']} {r['description']}" for r in results])
    axes.invert_yaxis()
    figure.legend(loc="outside upper center", ncols=3, fontsize="small")
    figure.savefig(path, dpi=150)


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
