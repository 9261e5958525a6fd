#!/usr/bin/env bash
# Builds everything and runs every test, linter and a short benchmark, in a virtual environment of
# its own (TAGIX_VENV, by default .venv-test). Needs Python, a C++20 compiler and the Python headers.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

venv="${TAGIX_VENV:-.venv-test}"
step "virtual environment $venv, and the package installed into it"
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
export PATH="$PWD/$venv/bin:$PATH"
export PIP_DISABLE_PIP_VERSION_CHECK=1
# In the environment, so that they hold where pip builds the wheel as well.
export PIP_CONSTRAINT="$PWD/tools/constraints.txt" PIP_BUILD_CONSTRAINT="$PWD/tools/constraints.txt"
# The oldest GPUs and the first with clusters: all of them take minutes longer.
export CUDAARCHS="${CUDAARCHS:-75-real;90}"
rm -rf build/wheel
python -m pip wheel --quiet --no-deps --wheel-dir build/wheel .
wheel="$(ls build/wheel/*.whl)"
python -m pip install --quiet --no-deps --force-reinstall "$wheel"
python -m pip install --quiet "$wheel[sklearn,cli,lab,torch,docs,dev]"

step "the wheel on a bare system root"
python tools/check_symbols.py "$wheel"
python tools/test_wheel.py "$wheel"

for preset in release asan; do
  step "C++ build and tests, $preset, device cuda emulated"
  options=()
  if [ "$preset" = release ]; then # the Python package as well, for tests on the emulated device
    options=(-DTAGIX_PYTHON=ON -DPython_EXECUTABLE="$(command -v python)"
      -Dpybind11_DIR="$(python -m pybind11 --cmakedir)")
  fi
  cmake --preset "$preset" -G Ninja "${options[@]}" >/dev/null
  cmake --build --preset "$preset"
  ctest --preset "$preset" --parallel 2
done

step "machine code of the hot loops"
python tools/check_hot_loops.py build/release

if command -v nvcc >/dev/null; then
  step "registers, shared memory and spills of the package's CUDA kernels"
  python tools/kernel_resources.py "$(ls -td build/cp*/ | head -n 1)"
fi

step "Python tests, two at a time"
rm -rf build/gallery_small
TAGIX_GALLERY="$PWD/build/gallery_small" python -m pytest -n 2

step "Python tests of device cuda, emulated"
on_emulated_device() {
  TAGIX_REQUIRE_CUDA=emulated PYTHONPATH="$PWD/build/release/python" python -m pytest -n 2 "$@"
}
on_emulated_device tests/python/test_cuda.py tests/python/test_cuda_arrays.py \
  tests/python/test_golden.py
on_emulated_device tests/python/test_{forgetting,jacobian,uncertainty}.py \
  tests/python/test_{class_embedding,classes,conditioning,diffusion_copies,model_samplers}.py \
  tests/python/test_{noise*,sample_weight}.py -k cuda
on_emulated_device tests/python/test_cli.py -k gpu

step "linters"
ruff check .
ruff format --check .
git ls-files -- '*.h' '*.cpp' '*.cu' ':!third_party' | xargs clang-format --dry-run --Werror
mypy python/tagix benchmarks examples tools

step "documentation, with the figures that the tests of examples have left"
TAGIX_GALLERY="$PWD/build/gallery_small" NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

step "benchmarks, to see that they run"
./build/release/benchmarks/cpp/bench_backend --quick
python -m benchmarks cpu --quick --threads 1
python -m benchmarks gpu --quick --device cpu
python -m benchmarks quality --seeds 1 --epochs 1
python -m benchmarks uncertainty --quick
python -m benchmarks classes --quick
tagix bench toy --table samplers --quick --output build/bench_toy

step "all passed"
