"""Times of single calls, and figures that are committed."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

figures = pytest.importorskip("benchmarks.figures", reason="benchmarks are not there")
timing = pytest.importorskip("tagix.bench.timing")


def test_times_of_single_calls() -> None:
    clock = [5.0, 1.0, 4.0, 3.0, 2.0, 9.0, 8.0, 7.0, 6.0, 10.0, 11.0]
    times = timing.CallTimes.of(clock, [0.5, 0.25, 4.0])
    assert times == timing.CallTimes(least=1.0, p10=2.0, median=6.0, processor=0.25)
    assert times.per(2) == timing.CallTimes(0.5, 1.0, 3.0, 0.125)
    assert times.over(timing.CallTimes(2.0, 1.0, 3.0, 0.5)) == timing.CallTimes(0.5, 2.0, 2.0, 0.5)
    assert timing.CallTimes.of([3.0], [1.0]) == timing.CallTimes(3.0, 3.0, 3.0, 1.0)


def test_each_call_is_timed_by_the_clock_and_the_processor() -> None:
    def busy() -> None:
        end = time.process_time() + 0.004
        while time.process_time() < end:
            pass

    times = timing.interleaved_calls({"busy": busy, "idle": lambda: time.sleep(0.004)}, 2, 0.02)
    assert all(each.least <= each.p10 <= each.median for each in times.values())
    assert times["busy"].processor >= 0.004
    assert times["busy"].least >= 0.003
    assert times["idle"].least >= 0.004
    assert times["idle"].processor < 0.003


def test_slower_is_beyond_five_percent() -> None:
    ones = timing.CallTimes(1.0, 1.0, 1.0, 1.0)
    before = figures.Figure(seconds=timing.CallTimes(2.0, 2.0, 2.0, 2.0), ratio=ones)
    now = figures.Figure(seconds=ones, ratio=timing.CallTimes(1.04, 0.5, 1.0, 1.049))
    assert figures.slower(now, before) == []
    now = figures.Figure(
        seconds=timing.CallTimes(2.2, 3.0, 2.0, 3.0), ratio=timing.CallTimes(1.06, 1.0, 1.2, 0.9)
    )
    assert figures.slower(now, before) == [
        "least 1 to 1.06 (tagix alone x 1.10)",
        "median 1 to 1.2 (tagix alone x 1.00)",
    ]


def test_figures_are_kept_by_machine_and_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "FIGURES", tmp_path / "figures.json")
    ratio = timing.CallTimes(1.25, 1.26, 1.3, 1.24)
    first, second, third = (figures.Figure(ratio.per(1000 * n), ratio.per(n)) for n in (1, 2, 4))
    assert figures.committed("exact", 1) == {}
    figures.record({"W1": {"float32": first}, "W2": {"float32": first}}, "exact", 1)
    figures.record({"W1": {"float32": second}}, "exact", 1)
    figures.record({"W1": {"float32": third}}, "first_order", 2)
    assert figures.committed("exact", 1) == {"W1": {"float32": second}, "W2": {"float32": first}}
    assert figures.committed("exact", 2) == {}
    kept = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert len(kept) == 2
    assert all(key.startswith(figures.machine()) for key in kept)


def test_only_whole_runs_are_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    command_line = pytest.importorskip("benchmarks.command_line", reason="needs the extras")
    arguments = command_line.make_parser("").parse_args(["cpu", "--record", "--quick"])
    with pytest.raises(SystemExit):
        arguments.run(arguments)
    assert "--record: got --quick" in capsys.readouterr().err
