#!/usr/bin/env bash
# Damaged files and arbitrary arrays against the Python package, built with the address and the
# undefined-behaviour sanitizer. What follows goes to fuzz_files.py, as --n 1000000 --workers 2.
# TAGIX_FUZZ_BUILD is the folder of the build (default build/fuzz), TAGIX_FUZZ_TOOL the tool.
set -euo pipefail
cd "$(dirname "$0")/.."

build="${TAGIX_FUZZ_BUILD:-build/fuzz}"
if [ ! -f "$build/python/tagix/__init__.py" ] || [ -z "${TAGIX_FUZZ_AS_BUILT:-}" ]; then
  cmake --preset asan -B "$build" -DTAGIX_PYTHON=ON -DTAGIX_TESTS=OFF -DTAGIX_CUDA=OFF \
    -DPython_EXECUTABLE="$(command -v python)" -Dpybind11_DIR="$(python -m pybind11 --cmakedir)" >/dev/null
  cmake --build "$build" --parallel "${TAGIX_FUZZ_JOBS:-2}"
fi

# Python itself is not built with the sanitizer and leaks at exit. An allocation beyond 512 MiB fails
# as one beyond the memory would, and a process beyond 3 GiB ends.
export LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libstdc++.so)"
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=512:hard_rss_limit_mb=3072:quarantine_size_mb=64:malloc_context_size=8
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export PYTHONPATH="$PWD/$build/python" OMP_NUM_THREADS=1
case "$build" in /*) export PYTHONPATH="$build/python" ;; esac
exec python "${TAGIX_FUZZ_TOOL:-tools/fuzz_files.py}" "$@"
