"""cuda/architectures.cmake chooses what the kernels are compiled for."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KNOWN = "75;80;86;90;100;120;121"
NO_GPU = "No CUDA devices found.-real"  # CMAKE_CUDA_ARCHITECTURES_NATIVE where there is none

pytestmark = pytest.mark.skipif(shutil.which("cmake") is None, reason="CMake is not there")


def cmake(folder: Path, *lines: str) -> subprocess.CompletedProcess[str]:
    script = folder / "script.cmake"
    include = f'include("{ROOT}/cuda/architectures.cmake")'
    script.write_text("\n".join([include, *lines]), encoding="utf-8")
    return subprocess.run(["cmake", "-P", str(script)], capture_output=True, text=True)


def result(folder: Path, call: str) -> str:
    ran = cmake(folder, call, 'message("<${result}>")')
    assert ran.returncode == 0, ran.stderr
    return ran.stderr.strip().removeprefix("<").removesuffix(">")


@pytest.mark.parametrize(
    ("native", "known", "needed"),
    [
        ("90-real", KNOWN, "90-real"),
        ("90", KNOWN, "90-real"),
        ("75-real;90-real;90-real", KNOWN, "75-real;90-real"),
        ("90-real", "", "90-real"),
        ("61-real", KNOWN, ""),  # too old for tagix
        ("61-real;86-real", KNOWN, "86-real"),
        ("103-real", KNOWN, "100"),  # newer than nvcc, which makes PTX for it
        ("130-real", KNOWN, "121"),
        (NO_GPU, KNOWN, ""),
        ("", KNOWN, ""),
    ],
)
def test_gpus_that_are_there(tmp_path: Path, native: str, known: str, needed: str) -> None:
    assert result(tmp_path, f'tagix_native_architectures("{known}" "{native}" result)') == needed


@pytest.mark.parametrize(
    ("known", "needed"), [(KNOWN, "75-virtual;80"), ("", "75-virtual;80"), ("80;90", "80")]
)
def test_portable(tmp_path: Path, known: str, needed: str) -> None:
    assert result(tmp_path, f'tagix_portable_architectures("{known}" result)') == needed


@pytest.mark.parametrize(
    ("asked", "needed"),
    [
        ("80;90-real", "80;90-real"),
        ("all-major", "75-real;80-real;90-real;100-real;120-real;120-virtual"),
        ("all", "75-real;80-real;86-real;90-real;100-real;120-real;121-real;121-virtual"),
        ("native", "86-real"),
    ],
)
def test_what_is_asked_for(tmp_path: Path, asked: str, needed: str) -> None:
    call = f'tagix_expand_architectures("{asked}" "{KNOWN}" "86-real" result)'
    assert result(tmp_path, call) == needed


def test_native_without_a_gpu_is_refused(tmp_path: Path) -> None:
    call = f'tagix_expand_architectures(native "{KNOWN}" "{NO_GPU}" result)'
    ran = cmake(tmp_path, call)
    assert ran.returncode != 0
    assert "no GPU of compute capability 7.5 or later" in " ".join(ran.stderr.split())


def test_architectures_that_nvcc_knows(tmp_path: Path) -> None:
    """nvcc is played by a script whose list is in no order, as nvcc 13.0's."""
    nvcc = tmp_path / "nvcc"
    nvcc.write_text("#!/bin/sh\nprintf 'compute_%s\\n' 52 75 90 110 103 121\n")
    nvcc.chmod(0o755)
    known = f'tagix_known_architectures("{nvcc}" result)'
    assert result(tmp_path, known) == "75;90;103;110;121"
    assert result(tmp_path, f'tagix_known_architectures("{tmp_path}/none" result)') == ""


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not there")
def test_choice_of_a_build(tmp_path: Path) -> None:
    """CUDAARCHS wins over what was chosen, and what the cache was given over CUDAARCHS."""
    (tmp_path / "CMakeLists.txt").write_text(
        f"""cmake_minimum_required(VERSION 3.24)
project(choice LANGUAGES NONE)
include("{ROOT}/cuda/architectures.cmake")
tagix_enable_cuda()
""",
        encoding="utf-8",
    )
    clean = {name: value for name, value in os.environ.items() if name != "CUDAARCHS"}

    def chosen(*options: str, **environment: str) -> str:
        command = ["cmake", "-S", str(tmp_path), "-B", str(tmp_path / "build"), *options]
        ran = subprocess.run(
            command, capture_output=True, text=True, env={**clean, **environment}, timeout=120
        )
        assert ran.returncode == 0, ran.stderr
        line = next(line for line in ran.stdout.splitlines() if "CUDA architectures" in line)
        return line.partition("CUDA architectures ")[2]

    first = chosen()
    assert "CUDAARCHS=all-major in the environment compiles for all GPUs" in first
    assert chosen() == first
    assert chosen(CUDAARCHS="90-real;100") == "90-real, 100"
    assert chosen() == "90-real, 100"
    assert chosen(CUDAARCHS="80") == "80"
    assert chosen("-DCMAKE_CUDA_ARCHITECTURES=90") == "90"
    assert chosen(CUDAARCHS="80") == "90"
