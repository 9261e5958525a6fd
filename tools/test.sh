#!/usr/bin/env bash
# Builds the project and runs its tests and linters, in virtual environments of its own.
#
#   tools/test.sh          what every change has to pass, in ten minutes on two cores
#   tools/test.sh --all    everything that there is; before a release, and before a change counts as
#                          done that touches what the fast command leaves out
#
# The fast command builds once, with device cuda emulated: the wheel that Python tests run on and the
# C++ tests share their objects. It leaves out what tools/checked.py finds unchanged since --all last
# passed (C++ tests with sanitizers and of formulas; what nvcc makes of the kernels; tests of the
# estimators and of the PyTorch reference by itself; tests, figures and benchmarks of the laboratory),
# instruction sets that this processor lacks, most of the sanitizers, and the wheel with CUDA.
# docs/architecture.md says what runs where, and why.
#
# Needs Python with its headers, and a C++20 compiler; uses ccache and nvcc where they are installed.
# TAGIX_VENV is the environment that tests run in (default .venv-test).
set -euo pipefail
cd "$(dirname "$0")/.."

everything=
case "${1:-}" in
  --all) everything=1 ;;
  "") ;;
  *) echo "usage: tools/test.sh [--all]" >&2 && exit 2 ;;
esac

took=() current=
step() {
  finish
  current="$*" started=$SECONDS
  printf '\n== %s\n' "$current"
}
finish() { [ -z "$current" ] || took+=("$(printf '%5d s  %s' $((SECONDS - started)) "$current")"); }
report() {
  local status=$?
  finish
  printf '\n'
  printf '%s\n' "${took[@]}"
  printf '%5d s  in all\n' "$SECONDS"
  [ "$status" = 0 ] && echo "all passed" || echo "failed in: $current"
}
trap report EXIT
# A signal is a failure; without these it ends the script with what the last command gave.
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Whether files of a group differ from those that --all has seen.
changed() { [ -n "$everything" ] || ! python tools/checked.py "$1"; }

venv="${TAGIX_VENV:-.venv-test}"
export PIP_DISABLE_PIP_VERSION_CHECK=1
# In the environment, so that they hold where pip builds the wheel as well.
export PIP_CONSTRAINT="$PWD/tools/constraints.txt" PIP_BUILD_CONSTRAINT="$PWD/tools/constraints.txt"
export CMAKE_BUILD_PARALLEL_LEVEL="${CMAKE_BUILD_PARALLEL_LEVEL:-2}"
if command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache
fi

step "tools to build with"
build_venv="$venv-build"
[ -x "$build_venv/bin/python" ] || python3 -m venv "$build_venv"
"$build_venv/bin/python" -m pip install --quiet cmake ninja pybind11 'scikit-build-core>=1.1'
export PATH="$PWD/$build_venv/bin:$PATH"

step "the package with device cuda emulated, and the C++ tests; beside it, what tests need"
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
mkdir -p build
python - >build/requirements.txt <<'EOF'
try:
    import tomllib
except ImportError:  # Python 3.10
    import pip._vendor.tomli as tomllib
with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
extras = project["optional-dependencies"]
del extras["peers"]  # large packages, for benchmarks alone: tests of them are left out without
print(*project["dependencies"], *sum(extras.values(), []), sep="\n")
EOF
"$venv/bin/python" -m pip install --quiet --requirement build/requirements.txt &
installing=$!
rm -rf build/wheel
instruction_sets=native
[ -z "$everything" ] || instruction_sets=all
formula_tests=OFF
! changed formulas || formula_tests=ON
python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir build/wheel \
  --config-settings=build-dir=build/release \
  --config-settings=cmake.define.TAGIX_CUDA=EMULATED \
  --config-settings=cmake.define.TAGIX_TESTS=ON \
  --config-settings=cmake.define.TAGIX_FORMULA_TESTS="$formula_tests" \
  --config-settings=cmake.define.TAGIX_INSTRUCTION_SETS="$instruction_sets" \
  --config-settings=cmake.define.TAGIX_WARNINGS_AS_ERRORS=ON .
wheel="$(ls build/wheel/*.whl)"
wait "$installing"
"$venv/bin/python" -m pip install --quiet --no-deps --force-reinstall "$wheel"
export PATH="$PWD/$venv/bin:$PATH"

step "C++ tests"
ctest --test-dir build/release --output-on-failure --parallel 2
python tools/check_hot_loops.py build/release

# With --all they run on the emulated device as well, further down.
if [ -z "$everything" ] && changed core; then
  step "C++ tests of what touches memory, with sanitizers"
  cmake --preset asan -G Ninja -DTAGIX_CUDA=OFF -DTAGIX_INSTRUCTION_SETS=x86-64-v3 >/dev/null
  cmake --build --preset asan
  ctest --preset asan --parallel 2
fi

if command -v nvcc >/dev/null && changed kernels; then
  step "what nvcc makes of the kernels"
  # The oldest GPUs are the narrowest, the first with clusters have paths of their own.
  architectures=90
  [ -z "$everything" ] || architectures="75-real;90"
  cmake -S . -B build/kernels -G Ninja -DCMAKE_BUILD_TYPE=Release -DTAGIX_CUDA=ON \
    -DTAGIX_WARNINGS_AS_ERRORS=ON -DCMAKE_CUDA_ARCHITECTURES="$architectures" >/dev/null
  cmake --build build/kernels --target tagix_core
  python tools/kernel_resources.py build/kernels
fi

step "Python tests, on the CPU and on the emulated device"
left_out=(tests/python/laboratory)  # which is further down
for group in estimators reference; do
  changed "$group" || left_out+=("tests/python/$group")
done
# Two processes, and no threads of other libraries beside them.
export OMP_NUM_THREADS=1
TAGIX_REQUIRE_CUDA=emulated python -m pytest -n 2 tests/python "${left_out[@]/#/--ignore=}"
unset OMP_NUM_THREADS

if changed laboratory; then
  step "the laboratory: its tests, the examples, the documentation, short benchmarks"
  rm -rf build/gallery_small
  TAGIX_GALLERY="$PWD/build/gallery_small" python -m pytest -n 2 tests/python/laboratory
  TAGIX_GALLERY="$PWD/build/gallery_small" NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet
  ./build/release/benchmarks/cpp/bench_backend --quick
  python -m benchmarks cpu --quick --threads 1
  python -m benchmarks convolutions --quick --threads 1
  python -m benchmarks gpu --quick --device cpu
  python -m benchmarks quality --seeds 1 --epochs 1
  python -m benchmarks uncertainty --quick
  python -m benchmarks classes --quick
  tagix bench toy --table samplers --quick --output build/bench_toy
fi

step "linters"
ruff check .
ruff format --check .
git ls-files -- '*.h' '*.cpp' '*.cu' ':!third_party' | xargs clang-format --dry-run --Werror
mypy python/tagix benchmarks examples tools

[ -n "$everything" ] || exit 0

step "the wheel as it is released, on a bare system root"
rm -rf build/released
CUDAARCHS="${CUDAARCHS:-75-real;90}" python -m pip wheel --quiet --no-deps --wheel-dir build/released .
python tools/check_symbols.py build/released/*.whl
python tools/test_wheel.py build/released/*.whl

step "all C++ tests with sanitizers, on the emulated device as well"
cmake --preset asan -B build/asan_all -G Ninja >/dev/null
cmake --build build/asan_all
ctest --test-dir build/asan_all --output-on-failure --parallel 2

step "C++ tests of threads with ThreadSanitizer"
cmake --preset tsan -G Ninja >/dev/null
cmake --build --preset tsan
ctest --preset tsan

step "damaged files and arbitrary calls, a minute each"
tools/fuzz.sh --n 10000000 --total-seconds 60 --workers 2
TAGIX_FUZZ_TOOL=tools/fuzz_bindings.py tools/fuzz.sh --n 10000000 --total-seconds 60 --workers 2

step "a record for tools/checked.py"
python tools/checked.py --record
