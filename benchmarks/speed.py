"""Speed of the workloads beside the opponents: the table, the JSON and the chart."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import tagix as tx
from benchmarks.opponents import OPPONENTS, sgemm_call
from benchmarks.timing import Spread, interleaved_seconds
from benchmarks.workloads import Workload, tagix_call


def run(workloads: list[Workload], opponents: list[str], n_threads: int, quick: bool) -> list[Any]:
    """Measure workloads beside opponents, print a table and return its numbers.

    Args:
        workloads: What to run.
        opponents: Names in OPPONENTS.
        n_threads: Of tagix and of every opponent.
        quick: 3 short rounds in place of 9.
    """
    tx.set_num_threads(n_threads)
    torch.set_num_threads(n_threads)
    n_rounds, block_seconds = (3, 0.1) if quick else (9, 0.4)
    print(f"float32, {n_threads} thread(s), {n_rounds} rounds, PyTorch {torch.__version__}")
    print("ratio = time of tagix / time of the opponent: median (least - greatest)")
    print("share = of the rate of a 1024 x 1024 matrix product in PyTorch, in the same rounds\n")
    print(f"{'':4}{'':38}{'ms':>10}{'MFLOP':>8}{'GFLOP/s':>9}{'share':>7}  {'ratio':<}")
    return [_measure(workload, opponents, n_rounds, block_seconds) for workload in workloads]


def _measure(
    workload: Workload, opponents: list[str], n_rounds: int, block_seconds: float
) -> dict[str, Any]:
    """Time one workload, print its lines and return its numbers."""
    sgemm, sgemm_flops = sgemm_call()
    calls = {"tagix": tagix_call(workload), "sgemm": sgemm}
    failures = {}
    for name in opponents:
        try:
            calls[name] = OPPONENTS[name](workload)
        except Exception as error:  # an opponent that does not work here is named, not hidden
            failures[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    seconds = interleaved_seconds(calls, n_rounds, block_seconds)
    times = {name: Spread.of(values) for name, values in seconds.items()}
    sgemm_rate = sgemm_flops / times["sgemm"].median / 1e9
    rate = workload.tagix_flops() / times["tagix"].median / 1e9
    print(
        f"{workload.name:4}{workload.description:38}{times['tagix'].median * 1e3:>10.4g}"
        f"{_three_digits(workload.tagix_flops() / 1e6):>8}{rate:>9.3g}{rate / sgemm_rate:>7.0%}",
        flush=True,
    )
    ratios = {}
    for name in opponents:
        if name in failures:
            print(f"    {name:38}does not run: {failures[name]}")
            continue
        pairs = zip(seconds["tagix"], seconds[name], strict=True)
        ratio = ratios[name] = Spread.of([ours / theirs for ours, theirs in pairs])
        line = f"    {name:38}{times[name].median * 1e3:>10.4g}"
        if name != "pytagi":
            flops = workload.torch_flops()
            line += f"{_three_digits(flops / 1e6):>8}{flops / times[name].median / 1e9:>9.3g}"
        spread = f"{ratio.median:.3g} ({ratio.min:.3g} - {ratio.max:.3g})"
        print(f"{line:<76}  {spread}", flush=True)
    return {
        **asdict(workload),
        "tagix_flops": workload.tagix_flops(),
        "torch_flops": workload.torch_flops(),
        "seconds": {name: asdict(spread) for name, spread in times.items()},
        "ratio": {name: asdict(spread) for name, spread in ratios.items()},
        "failures": failures,
        "tagix_gflops_per_second": rate,
        "sgemm_gflops_per_second": sgemm_rate,
    }


def write_json(path: Path, results: list[Any], n_threads: int) -> None:
    """Write what run returned, with the settings, to a file."""
    document = {
        "machine": platform.machine(),
        "platform": platform.platform(),
        "precision": "float32",
        "threads": n_threads,
        "torch": torch.__version__,
        "results": results,
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def draw_chart(path: Path, results: list[Any]) -> None:
    """Draw the ratios of what run returned as bars, with their spread, to an image file."""
    from matplotlib.figure import Figure

    names = [name for name in OPPONENTS if any(name in result["ratio"] for result in results)]
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for i, name in enumerate(names):
        rows = [k for k, result in enumerate(results) if name in result["ratio"]]
        ratios = [results[k]["ratio"][name] for k in rows]
        axes.errorbar(
            [ratio["median"] for ratio in ratios],
            [k + 0.15 * (i - (len(names) - 1) / 2) for k in rows],
            xerr=[
                [ratio["median"] - ratio["min"] for ratio in ratios],
                [ratio["max"] - ratio["median"] for ratio in ratios],
            ],
            fmt="o",
            label=name,
        )
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("time of tagix / time of the opponent (below 1: tagix is faster)")
    axes.set_yticks(range(len(results)), [f"{r['name']} {r['description']}" for r in results])
    axes.invert_yaxis()
    figure.legend(loc="outside upper center", ncols=len(names))
    figure.savefig(path, dpi=150)


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
