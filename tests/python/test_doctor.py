"""``tagix doctor``: what it says is what there is."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import needs_cuda

import tagix as tx
from tagix import _core
from tagix.cli import doctor

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, code: int = 0, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )
    assert result.returncode == code, result.stderr
    return result.stdout


def test_json_is_what_there_is() -> None:
    found = json.loads(run("-m", "tagix.cli", "doctor", "--json"))
    assert found["tagix"]["version"] == tx.__version__
    assert found["python"] == {"version": platform.python_version(), "path": sys.executable}
    assert found["numpy"] == np.__version__
    assert found["processor"]["count"] == os.cpu_count()
    assert len(found["processor"]["name"]) > 2
    assert found["cpu"]["instruction_sets"] == _core.instruction_sets()
    assert found["cpu"]["threads"] == len(os.sched_getaffinity(0))
    assert found["self_check"] == {"ok": True}
    assert (found["cuda"]["built"], found["cuda"]["why_not"]) == (
        tx.cuda.is_built(),
        tx.cuda.why_not(),
    )


def test_instruction_set_that_is_forced_is_named() -> None:
    worst = _core.instruction_sets()[-1]
    found = json.loads(run("-m", "tagix.cli", "doctor", "--json", TAGIX_INSTRUCTION_SET=worst))
    assert found["cpu"]["instruction_set"] == found["cpu"]["forced"] == worst
    assert found["cpu"]["precisions"] == ["float32"]
    assert f"{worst} (by TAGIX_INSTRUCTION_SET of " in run(
        "-m", "tagix.cli", "doctor", TAGIX_INSTRUCTION_SET=worst
    )


def test_what_does_not_work_is_said_in_words() -> None:
    text = run("-m", "tagix.cli", "doctor", TAGIX_INSTRUCTION_SET="sse9")
    reason = "TAGIX_INSTRUCTION_SET: got 'sse9', needed one of"
    assert f"\ninstruction set  none: {reason}" in text
    assert f"\nself-check       failed: {reason}" in text


@pytest.mark.skipif(tx.cuda.is_available(), reason="device cuda is there")
def test_reason_why_there_is_no_gpu() -> None:
    assert f"not used: {tx.cuda.why_not()}" in doctor.report(doctor.examine())


@needs_cuda
def test_name_of_the_gpu() -> None:
    found = doctor.examine()
    assert found["cuda"]["device"] == tx.cuda.device_name()
    assert f"GPU              {tx.cuda.device_name()} (float32" in doctor.report(found)


@pytest.mark.parametrize(
    ("built", "architectures", "needed"),
    [
        (False, [], "not in this build"),
        (True, [], "in this build"),
        (True, ["sm_80", "sm_90"], "in this build, for sm_80, sm_90"),
        (
            True,
            ["sm_80", "compute_75", "compute_80"],
            "in this build, for sm_80; other GPUs compile compute_75 or compute_80 when they first"
            " run it",
        ),
    ],
)
def test_what_the_kernels_were_compiled_for(
    built: bool, architectures: list[str], needed: str
) -> None:
    found = doctor.examine()
    assert found["cuda"]["architectures"] == tx.cuda.architectures()
    found["cuda"].update(built=built, architectures=architectures)
    assert f"\nCUDA kernels     {needed}\n" in doctor.report(found)


def test_self_check_notices_a_wrong_update(monkeypatch: pytest.MonkeyPatch) -> None:
    update = tx.nn.Sequential.update

    def twice(self: tx.nn.Sequential, *arguments: Any, **options: Any) -> Any:
        update(self, *arguments, **options)
        return update(self, *arguments, **options)

    monkeypatch.setattr(tx.nn.Sequential, "update", twice)
    check = doctor.self_check()
    assert not check["ok"] and "needed" in check["error"]


class FakeDistribution:
    """The metadata of a package with two extras, of which this one is installed in part."""

    requires = (
        "numpy>=1.26",
        "pytest>=8; extra == 'lab'",
        'no-such-package-of-anyone>=2; extra == "lab"',
        'numpy>=1.26; extra == "sklearn"',
        'ruff; extra == "dev"',
    )

    class metadata:
        """As importlib.metadata has it."""

        @staticmethod
        def get_all(key: str) -> list[str]:
            assert key == "Provides-Extra"
            return ["lab", "sklearn", "dev"]


def test_extras_and_the_command_that_brings_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "distribution", lambda name: FakeDistribution)
    found = doctor.examine()
    assert found["extras"] == {
        "lab": {
            "packages": {"pytest": pytest.__version__, "no-such-package-of-anyone": None},
            "complete": False,
            "install": 'pip install "tagix[lab]"',
        },
        "sklearn": {
            "packages": {"numpy": np.__version__},
            "complete": True,
            "install": 'pip install "tagix[sklearn]"',
        },
    }
    lines = doctor.report(found).splitlines()
    assert lines[-2:] == [
        'extra lab        without no-such-package-of-anyone: pip install "tagix[lab]"',
        "extra sklearn    installed",
    ]


def test_command_is_the_module() -> None:
    testing = pytest.importorskip("typer.testing")
    from tagix.cli import build_app

    result = testing.CliRunner().invoke(build_app(), ["doctor", "--json"])
    assert result.exit_code == 0
    assert set(json.loads(result.output)) == set(doctor.examine())


def test_works_without_the_packages_of_the_command_line() -> None:
    program = (
        "import sys; sys.modules['typer'] = None; sys.argv = ['tagix', 'doctor', '--json']\n"
        "from tagix.cli import main; main()"
    )
    assert json.loads(run("-c", program))["tagix"]["version"] == tx.__version__
