"""Speed of the workloads beside the opponents: the table, the JSON and the chart."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import tagix as tx
from benchmarks.opponents import OPPONENTS
from benchmarks.timing import Spread, interleaved_seconds
from benchmarks.workloads import Workload, tagix_call
from tagix import _core


def run(
    workloads: list[Workload],
    opponents: list[str],
    precisions: list[str],
    moments: str,
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
    tx.set_num_threads(n_threads)
    torch.set_num_threads(n_threads)
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
    moments: str,
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
            failures[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    seconds = interleaved_seconds(calls, n_rounds, block_seconds)
    for name in precisions:
        seconds[name] = [value / workload.steps_per_call for value in seconds[name]]
    times = {name: Spread.of(values) for name, values in seconds.items()}

    def print_line(label: str, name: str, flops: int | None, ratios: list[Spread]) -> None:
        line = f"{label:42}{times[name].median * 1e3:>9.4g}"
        if flops is not None:
            rate = flops / times[name].median
            line += f"{_three_digits(flops / 1e6):>8}{rate / 1e9:>9.3g}{rate / peak:>7.0%}"
        cells = [f"{ratio.median:.3g} ({ratio.min:.3g} - {ratio.max:.3g})" for ratio in ratios]
        print(f"{line:<75}" + "".join(f"  {cell:24}" for cell in cells), flush=True)

    print(f"{workload.name} {workload.description}")
    for name in precisions:
        print_line(f"    tagix {name}", name, workload.tagix_flops(), [])
    ratios: dict[str, dict[str, Spread]] = {}
    for name in opponents:
        if name in failures:
            print(f"    {name:38}does not run: {failures[name]}")
            continue
        ratios[name] = {
            precision: Spread.of(
                [a / b for a, b in zip(seconds[precision], seconds[name], strict=True)]
            )
            for precision in precisions
        }
        flops = None if name == "pytagi" else workload.torch_flops()
        print_line(f"    {name}", name, flops, list(ratios[name].values()))
    return {
        **asdict(workload),
        "tagix_flops": workload.tagix_flops(),
        "torch_flops": workload.torch_flops(),
        "seconds": {name: asdict(spread) for name, spread in times.items()},
        "ratio": {
            name: {precision: asdict(spread) for precision, spread in by_precision.items()}
            for name, by_precision in ratios.items()
        },
        "failures": failures,
        "peak_flops": peak,
    }


def write_json(path: Path, results: list[Any], moments: str, n_threads: int) -> None:
    """Write what run returned, with the settings, to a file."""
    document = {
        "backend": _core.backend_name("cpu"),
        "platform": platform.platform(),
        "relu_moments": moments,
        "threads": n_threads,
        "torch": torch.__version__,
        "results": results,
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


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
        axes.errorbar(
            [ratio["median"] for ratio in ratios],
            [k + 0.8 * (i / max(len(pairs) - 1, 1) - 0.5) for k in rows],
            xerr=[
                [ratio["median"] - ratio["min"] for ratio in ratios],
                [ratio["max"] - ratio["median"] for ratio in ratios],
            ],
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
