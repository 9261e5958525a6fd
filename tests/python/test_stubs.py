"""The committed types of the compiled core are those of the bindings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_stub_of_the_core_is_current() -> None:
    pytest.importorskip("pybind11_stubgen")
    command = [sys.executable, str(ROOT / "tools" / "update_stubs.py"), "--check"]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
