"""Figures that are committed, and by how much a run is slower than they were.

A ratio is the time of tagix over that of PyTorch eager in the same run: of the least, the 10th
percentile and the median of single calls by the clock, and of the processor (CallTimes). Figures
are kept by machine, since ratios differ between processors. The seconds of tagix are kept beside
them: where a ratio has changed and they have not, PyTorch was faster.
"""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from tagix import _core
from tagix.bench.store import write_json
from tagix.bench.timing import CallTimes

FIGURES = Path(__file__).with_name("figures.json")
PEER = "eager"
# By how much a ratio may be above the committed one before it is called slower.
TOLERANCE = 0.05


@dataclass(frozen=True)
class Figure:
    """Seconds of tagix, and what they are over those of the peer."""

    seconds: CallTimes
    ratio: CallTimes


Figures = dict[str, dict[str, Figure]]
"""By workload and precision."""


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
    """What figures belong to: the machine, the moments of the ReLU and the threads."""
    return f"{machine()}, {moments} ReLU, {n_threads} thread{'s' if n_threads > 1 else ''}"


def _kept() -> dict[str, Any]:
    """All that the file has, by machine and settings."""
    kept: dict[str, Any] = {}
    if FIGURES.exists():
        kept = json.loads(FIGURES.read_text(encoding="utf-8"))
    return kept


def committed(moments: str, n_threads: int) -> Figures:
    """The figures of this machine in these settings, none where it has not been measured."""
    return {
        workload: {
            precision: Figure(CallTimes(**figure["seconds"]), CallTimes(**figure["ratio"]))
            for precision, figure in by_precision.items()
        }
        for workload, by_precision in _kept().get(settings(moments, n_threads), {}).items()
    }


def record(figures: Figures, moments: str, n_threads: int) -> None:
    """Replace those of this machine, these settings and these workloads in the file."""
    kept = _kept()
    own = kept.setdefault(settings(moments, n_threads), {})
    for workload, by_precision in figures.items():
        own[workload] = {
            precision: {
                part: {kind: float(f"{value:.4g}") for kind, value in times.items()}
                for part, times in asdict(figure).items()
            }
            for precision, figure in by_precision.items()
        }
    write_json(FIGURES, kept)


def slower(now: Figure, before: Figure) -> list[str]:
    """The kinds of time whose ratio is above the committed one by more than the tolerance."""
    found = []
    for kind in (field.name for field in fields(CallTimes)):
        ratio, ratio_before = getattr(now.ratio, kind), getattr(before.ratio, kind)
        if ratio <= (1 + TOLERANCE) * ratio_before:
            continue
        own = getattr(now.seconds, kind) / getattr(before.seconds, kind)
        found.append(f"{kind} {ratio_before:.3g} to {ratio:.3g} (tagix alone x {own:.2f})")
    return found
