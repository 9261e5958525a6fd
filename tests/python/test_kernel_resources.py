"""tools/kernel_resources.py reads what ptxas wrote, and tools/keep_ptxas_report.sh keeps it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


def load_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kernel_resources", TOOLS / "kernel_resources.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for the types of their fields
    spec.loader.exec_module(module)
    return module


tool = load_tool()

# What nvcc 13.0 -Xptxas=-v writes for two instances of a kernel at two architectures, and for a
# kernel with shared memory that spills and calls a function.
MOMENTS = "_ZN5tagix4cuda14moments_kernelI{}EEvPKfPf"
GELU, RELU = MOMENTS.format("N5tagix4math4GELUE"), MOMENTS.format("N5tagix4math4ReLUE")
CROWDED = "_ZN5tagix4cuda40_GLOBAL__N__a8bd21fd_8_spill_cu_96cf7f7c14crowded_kernelEPKfPf"
OUTLINED = (
    "_ZN38_INTERNAL_a8bd21fd_8_spill_cu_96cf7f7c5tagix4cuda40_GLOBAL__N__a8bd21fd_8_spill_cu_"
    "96cf7f7c8outlinedEfi"
)
WITHOUT_SPILLS = f"""\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '{GELU}' for 'sm_75'
ptxas info    : Function properties for {GELU}
    240 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 0 barriers, 240 bytes cumulative stack size, 408 bytes cmem[0]
ptxas info    : Compile time = 16.321 ms
ptxas info    : Compiling entry function '{RELU}' for 'sm_75'
ptxas info    : Function properties for {RELU}
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 30 registers, used 0 barriers, 408 bytes cmem[0]
ptxas info    : Compile time = 8.485 ms
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '{GELU}' for 'sm_90'
ptxas info    : Function properties for {GELU}
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 32 registers, used 0 barriers
ptxas info    : Compile time = 13.062 ms
"""  # noqa: E501
WITH_SPILLS = f"""\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '{CROWDED}' for 'sm_90'
ptxas info    : Function properties for {CROWDED}
    816 bytes stack frame, 1436 bytes spill stores, 1712 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers, 816 bytes cumulative stack size, 1024 bytes smem
ptxas info    : Compile time = 69.691 ms
ptxas info    : Function properties for {OUTLINED}
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
"""


def test_parse() -> None:
    assert tool.parse(WITHOUT_SPILLS) == [
        tool.Resources(GELU, "sm_75", registers=40, shared=0, stack=240, spills=0),
        tool.Resources(RELU, "sm_75", registers=30, shared=0, stack=0, spills=0),
        tool.Resources(GELU, "sm_90", registers=32, shared=0, stack=0, spills=0),
    ]


def test_parse_spills_and_functions_that_kernels_call() -> None:
    assert tool.parse(WITH_SPILLS) == [
        tool.Resources(CROWDED, "sm_90", registers=32, shared=1024, stack=816, spills=3148),
        tool.Resources(OUTLINED, "sm_90", registers=None, shared=0, stack=0, spills=0),
    ]
    assert tool.parse("") == []


@pytest.mark.parametrize(
    ("declaration", "expected"),
    [
        (
            "void tagix::cuda::(anonymous namespace)::f_kernel<tagix::math::Exact<tagix::math::"
            "ReLU> >(tagix::math::Exact<tagix::math::ReLU>, float const*)",
            ("f_kernel", "Exact<ReLU>"),
        ),
        ("tagix::cuda::g_kernel(float*)", ("g_kernel", "")),
        ("void h_kernel<64, (bool)1>(int)", ("h_kernel", "64, (bool)1")),
        ("_Z_what_no_filter_knows", ("_Z_what_no_filter_knows", "")),
    ],
)
def test_split_declaration(declaration: str, expected: tuple[str, str]) -> None:
    assert tool.split_declaration(declaration) == expected


def run(build: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOLS / "kernel_resources.py"), str(build), *options]
    return subprocess.run(command, capture_output=True, text=True)


def test_table(tmp_path: Path) -> None:
    (tmp_path / "cuda").mkdir()
    (tmp_path / "cuda" / "moments.cu.o.ptxas").write_text(WITHOUT_SPILLS)
    result = run(tmp_path)
    assert result.returncode == 0, result.stderr
    assert [line.split() for line in result.stdout.splitlines()[1:]] == [
        ["kernel", "instances", "sm_75", "sm_90", "shared", "stack", "spills"],
        ["moments_kernel", "2", "40", "32", "0", "240", "sm_75", "0"],
    ]
    by_instance = run(tmp_path, "--instances").stdout
    assert "moments_kernel<ReLU>" in by_instance


def test_spills_fail(tmp_path: Path) -> None:
    (tmp_path / "spill.cu.o.ptxas").write_text(WITH_SPILLS)
    result = run(tmp_path)
    assert result.returncode == 1
    assert "spills 3148 bytes at sm_90: crowded_kernel\n" in result.stderr


def test_nothing_to_read_fails(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.returncode == 1
    assert "needed *.ptxas files" in result.stderr


@pytest.mark.parametrize("status", [0, 3])
def test_launcher_keeps_the_report(tmp_path: Path, status: int) -> None:
    """The compiler is played by a script that writes a report, a warning and the object."""
    (tmp_path / "report").write_text(WITH_SPILLS)
    compiler = tmp_path / "compiler"
    compiler.write_text(
        f"#!/bin/sh\ncat {tmp_path}/report >&2\necho 'warning: beware' >&2\n"
        f"echo object > {tmp_path}/a.o\nexit {status}\n"
    )
    compiler.chmod(0o755)
    kept = tmp_path / "a.o.ptxas"
    kept.write_text("of an earlier compilation")
    launcher = str(TOOLS / "keep_ptxas_report.sh")
    result = subprocess.run(
        [launcher, str(compiler), "-c", "a.cu", "-o", str(tmp_path / "a.o")],
        capture_output=True,
        text=True,
    )
    assert result.returncode == status
    assert result.stderr == "warning: beware\n"
    assert (kept.read_text() if status == 0 else kept.exists()) == (
        WITH_SPILLS if status == 0 else False
    )
