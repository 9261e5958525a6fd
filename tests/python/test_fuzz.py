"""The tools that fuzz files and calls, and kill processes that save: a short run of each."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def tool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module of tools/."""
    monkeypatch.syspath_prepend(str(TOOLS))
    name = request.param
    module = importlib.import_module(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of precisions that the processor lacks, and overflows
        yield module
    sys.modules.pop(name, None)


@pytest.mark.parametrize("tool", ["fuzz_files"], indirect=True)
def test_damaged_files_are_refused_or_of_use(tool: Any, tmp_path: Path) -> None:
    files = tool.Files(tmp_path, seed=7)
    outcomes: Counter[str] = Counter()
    kinds = set()
    for number in range(1000):
        try:
            outcomes[files.run(number)] += 1
        except Exception as error:
            raise AssertionError(f"file {number}, {files.kind(number)}") from error
        kinds.add(files.kind(number))
    # Both ends are reached: most are refused, and many are good enough to be used.
    assert outcomes["refused"] > 500 and outcomes["loaded"] > 50
    assert len(kinds) > 10


@pytest.mark.parametrize("tool", ["fuzz_files"], indirect=True)
def test_the_files_are_valid_before_they_are_damaged(tool: Any, tmp_path: Path) -> None:
    damage = importlib.import_module("fuzz_damage")
    for content in tool.valid_files(tmp_path):
        (tmp_path / "file").write_bytes(content)
        assert tool.try_file(tmp_path / "file") == "loaded"
        (tmp_path / "file").write_bytes(damage.File(content).content())
        assert tool.try_file(tmp_path / "file", tmp_path / "again") == "loaded"


@pytest.mark.parametrize("tool", ["fuzz_bindings"], indirect=True)
def test_arbitrary_arrays_are_refused_or_taken(tool: Any, tmp_path: Path) -> None:
    calls = tool.Calls(tmp_path, seed=7)
    outcomes: Counter[tuple[str, str]] = Counter()
    for number in range(2000):
        try:
            outcomes[calls.kind(number), calls.run(number)] += 1
        except Exception as error:
            raise AssertionError(f"call {number}, {calls.kind(number)}") from error
    for kind in {kind for kind, _ in outcomes}:
        assert outcomes[kind, "refused"] and outcomes[kind, "done"], kind


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
@pytest.mark.parametrize("tool", ["kill_save"], indirect=True)
def test_kills_while_saving(tool: Any, tmp_path: Path) -> None:
    counts = tool.run(8, tmp_path, width=300)
    assert counts["left network 1"] + counts["left network 2"] == 8
