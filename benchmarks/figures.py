"""Figures that are committed, and by how much a run is slower than they were.

A figure is the time of tagix over that of PyTorch eager in the same run, of the least, the 10th
percentile and the median of single calls by the clock, and of the least of the processor
(CallTimes). They are kept by machine, since ratios differ between processors.
"""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, fields
from pathlib import Path

from tagix import _core
from tagix.bench.store import write_json
from tagix.bench.timing import CallTimes

FIGURES = Path(__file__).with_name("figures.json")
PEER = "eager"
# By how much a ratio may be above the committed one before it is called slower.
TOLERANCE = 0.05

Figures = dict[str, dict[str, CallTimes]]
"""Ratios by workload and precision."""


def machine() -> str:
    """The processor and the instruction set that figures belong to."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        name = next(models, name)
    # As "cpu (x86-64-v3, float32)".
    return f"{name}, {_core.backend_name('cpu').partition('(')[2].partition(',')[0]}"


def settings(moments: str, n_threads: int) -> str:
    """What figures of a machine belong to besides."""
    return f"{machine()}, {moments} ReLU, {n_threads} thread{'s' if n_threads > 1 else ''}"


def committed(moments: str, n_threads: int) -> Figures:
    """The figures of this machine in these settings, none where it has not been measured."""
    kept = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    return {
        workload: {precision: CallTimes(**ratio) for precision, ratio in by_precision.items()}
        for workload, by_precision in kept.get(settings(moments, n_threads), {}).items()
    }


def record(figures: Figures, moments: str, n_threads: int) -> None:
    """Replace those of this machine, settings and these workloads in the file."""
    kept = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    own = kept.setdefault(settings(moments, n_threads), {})
    for workload, by_precision in figures.items():
        own[workload] = {
            precision: {kind: round(value, 4) for kind, value in asdict(ratio).items()}
            for precision, ratio in by_precision.items()
        }
    write_json(FIGURES, kept)


def slower(ratio: CallTimes, before: CallTimes) -> list[str]:
    """The kinds of time that are slower than they were by more than the tolerance, in words."""
    change = ratio.over(before)
    return [
        f"{kind.name} {getattr(before, kind.name):.3g} to {getattr(ratio, kind.name):.3g}"
        for kind in fields(CallTimes)
        if getattr(change, kind.name) > 1 + TOLERANCE
    ]
