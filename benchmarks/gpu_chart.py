"""The chart of what benchmarks.gpu measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.contest import draw_bars
from benchmarks.gpu_opponents import OPPONENTS


def draw_chart(path: Path, results: dict[str, Any]) -> None:
    """Draw times and ratios of what gpu.run returned, with their spread, to an image file."""
    from matplotlib.figure import Figure

    workloads = results["workloads"]
    figure = Figure(figsize=(11, 2 + 0.8 * len(workloads)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    names = [
        name
        for name in ["float32", "mixed", "bfloat16", *OPPONENTS]
        if any(name in workload["seconds"] for workload in workloads)
    ]
    for i, name in enumerate(names):
        rows = [k for k, workload in enumerate(workloads) if name in workload["seconds"]]
        style = {
            "fmt": "o" if name in OPPONENTS else "s",
            "color": f"C{i}",
            "markersize": 4,
        }
        positions = [k + 0.7 * (i / max(len(names) - 1, 1) - 0.5) for k in rows]
        times = [workloads[k]["seconds"][name] for k in rows]
        label = name if name in OPPONENTS else f"tagix {name}"
        draw_bars(left, times, positions, 1e6, label=label, **style)
        if name in OPPONENTS:
            ratios = [next(iter(workloads[k]["ratio"][name].values()), None) for k in rows]
            pairs = [(r, at) for r, at in zip(ratios, positions, strict=True) if r is not None]
            draw_bars(right, [r for r, _ in pairs], [at for _, at in pairs], 1, **style)
    left.set_xlabel("microseconds a step")
    right.set_xlabel("time of tagix / time of the opponent")
    right.axvline(1, color="black", linewidth=0.8)
    for axes in (left, right):
        axes.set_xscale("log")
        axes.grid(axis="x", linewidth=0.3)
    left.set_yticks(range(len(workloads)), [f"{w['name']} {w['description']}" for w in workloads])
    left.invert_yaxis()
    figure.suptitle(results["device"], fontsize="medium")
    if names:
        figure.legend(loc="outside lower center", ncols=5, fontsize="small")
    figure.savefig(path, dpi=150)
