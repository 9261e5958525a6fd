#!/usr/bin/env bash
# Everything there is to check on a machine with a GPU, in one go and without a network: builds the
# C++ tests and the Python package, runs both test suites and compute-sanitizer, then measures.
#
#   tools/gpu_check.sh [FOLDER]     results and logs go to FOLDER, by default build/gpu_check
#   tools/gpu_check.sh --list       says what it would do
#
# A stage that fails does not stop the others; the last lines are a table of all, and the status is
# 1 unless every stage passed. Needs Python with its headers, a C++20 compiler, nvcc with
# compute-sanitizer, and Python packages: torch and those of the extras lab and dev.
#
# Environment, with defaults:
#   PYTHON=python3                 must find the packages
#   TAGIX_GPU_SECONDS=530          for all of it
#   TAGIX_GPU_ARCHITECTURES=native what the kernels are compiled for
#   TAGIX_SANITIZED                programs under compute-sanitizer, one a line with its doctest
#                                  options, named by a pattern in build/gpu/tests
set -uo pipefail
started_in="$PWD"
cd "$(dirname "$0")/.." || exit 1

python="${PYTHON:-python3}"
total_seconds="${TAGIX_GPU_SECONDS:-530}"
architectures="${TAGIX_GPU_ARCHITECTURES:-native}"
sanitized="${TAGIX_SANITIZED:-test_cuda --source-file=*/test_cuda_executor.cpp,*/test_cuda_fused.cpp,*/test_cuda_mma.cpp,*/test_cuda_training.cpp
test_conformance --subcase=affine_*,activation_forward,observe,update,gather_rows,sum_predictions,check_finite,shuffle,normal,diffuse,append_conditions,denoise,combine,observe_classes,class_probabilities,sum_classes}"
build=build/gpu
site="$PWD/build/gpu_site"
reserved_seconds=190 # that tests leave to the benchmark

# Name, seconds at most, and what it does.
stages="\
card       30  the card, the driver and the tools
cpp        220 builds the C++ tests for the architectures: $architectures
package    220 builds the Python package and installs it to build/gpu_site (beside cpp)
ctest      150 the C++ tests
pytest     150 the Python tests, those of the GPU among them (beside ctest)
memcheck   60  compute-sanitizer (these four in turn, beside the tests)
racecheck  60  compute-sanitizer
initcheck  60  compute-sanitizer
synccheck  40  compute-sanitizer
benchmark  400 python -m benchmarks gpu, alone on the machine"

run_card() {
  nvidia-smi --query-gpu=name,driver_version,compute_cap,memory.total,clocks.max.sm,clocks.max.mem,power.limit \
    --format=csv
  local status=$?
  nvidia-smi
  nvcc --version | tail -n 2
  "$python" -c 'import sys, torch; print("Python", sys.version); print("PyTorch", torch.__version__)'
  nproc
  git log -1 --format='commit %h %s' 2>/dev/null
  return "$status"
}

run_cpp() {
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DTAGIX_TESTS=ON -DTAGIX_CUDA=ON \
    -DTAGIX_WARNINGS_AS_ERRORS=ON -DCMAKE_CUDA_ARCHITECTURES="$architectures" || return
  cmake --build "$build" -- -k 0
}

run_package() {
  rm -rf "$site"
  PIP_ROOT_USER_ACTION=ignore "$python" -m pip install --no-index --no-build-isolation --no-deps \
    --target "$site" -C build-dir=build/gpu_package -C cmake.define.TAGIX_CUDA=ON \
    -C cmake.define.CMAKE_CUDA_ARCHITECTURES="$architectures" .
}

run_ctest() { ctest --test-dir "$build" --output-on-failure --timeout 120 -j 4; }

run_pytest() {
  export PYTHONPATH="$site"
  "$python" -c 'import tagix as tx; print("tagix from", tx.__file__)
reason = tx.cuda.why_not()
raise SystemExit(f"tagix.cuda: {reason}" if reason else 0)' || return
  "$python" -m pytest -p no:cacheprovider --durations=10 -ra
}

# compute-sanitizer's status is 1 where it finds something, else that of the program.
sanitize() {
  local status=0 found=0 pattern options program
  while read -r pattern options; do
    for program in "$build"/tests/$pattern; do # the pattern is to be expanded
      [ -x "$program" ] || continue
      found=1
      printf '\n== %s %s\n' "$program" "$options"
      # shellcheck disable=SC2086 # options are words; set -f keeps their patterns
      (set -f && compute-sanitizer --tool "$@" --error-exitcode 1 "$program" $options) \
        </dev/null || status=1
    done
  done <<<"$sanitized"
  [ "$found" = 1 ] || { echo "found no programs: $sanitized" && status=1; }
  return "$status"
}
run_memcheck() { sanitize memcheck --leak-check full; }
run_racecheck() { sanitize racecheck; }
run_initcheck() { sanitize initcheck; }
run_synccheck() { sanitize synccheck; }

run_benchmark() {
  # Setting up one more opponent and measuring a workload can take longer than its share.
  local budget=$((limit - 60))
  [ "$budget" -lt 280 ] || budget=280
  PYTHONPATH="$site" "$python" -m benchmarks gpu --seconds-budget "$budget" \
    --json "$out/benchmark.json" --chart "$out/benchmark.png"
}

# This script runs each of its stages as a process of its own, which timeout can end.
if [ "${1:-}" = --stage ]; then
  limit="$3" out="$4"
  "run_$2"
  exit
fi
if [ "${1:-}" = --list ]; then
  printf 'stage      seconds at most, of %s together\n%s\n' "$total_seconds" "$stages"
  printf '\nprograms under compute-sanitizer:\n%s\n' "$sanitized"
  exit
fi
case "${1:-}" in
-*)
  echo "gpu_check: got $1, needed a folder or --list" >&2
  exit 2
  ;;
esac

case "${1:-}" in
"") out="$PWD/build/gpu_check" ;;
/*) out="$1" ;;
*) out="$started_in/$1" ;;
esac
mkdir -p "$out/logs" || exit 1
rm -f "$out"/logs/* "$out"/benchmark.* "$out/summary.txt"
states="$(mktemp -d)"
trap 'rm -rf "$states"' EXIT
export PYTHONUNBUFFERED=1
export TAGIX_REQUIRE_CUDA=1 # what needs the GPU may not be left out

# run NAME RESERVED: one stage, which leaves so many seconds to later ones.
run() {
  local name="$1" reserved="$2" seconds_left limit start="$SECONDS" status state
  limit="$(awk -v name="$name" '$1 == name { print $2 }' <<<"$stages")"
  seconds_left=$((total_seconds - SECONDS - reserved))
  [ "$limit" -le "$seconds_left" ] || limit="$seconds_left"
  if [ "$limit" -lt 5 ]; then
    echo "no time was left" >"$out/logs/$name.log"
    echo "skipped 0" >"$states/$name"
    return
  fi
  timeout --kill-after=10 "$limit" bash tools/gpu_check.sh --stage "$name" "$limit" "$out" \
    >"$out/logs/$name.log" 2>&1
  status=$?
  case "$status" in
  0) state=passed ;;
  124 | 137) state="timed-out" ;;
  *) state="failed($status)" ;;
  esac
  echo "$state $((SECONDS - start))" >"$states/$name"
  printf '%4d s  %-10s %s\n' "$SECONDS" "$name" "$state"
}

run card 0
cat "$out/logs/card.log"

run cpp "$reserved_seconds" &
run package "$reserved_seconds" &
wait
run ctest "$reserved_seconds" &
run pytest "$reserved_seconds" &
for tool in memcheck racecheck initcheck synccheck; do run "$tool" "$reserved_seconds"; done &
wait
run benchmark 0
printf '\n'
cat "$out/logs/benchmark.log"

all_passed=true
while read -r name _; do
  read -r state _ <"$states/$name"
  [ "$state" = passed ] && continue
  all_passed=false
  [ "$name" = benchmark ] && continue # shown in full above
  printf '\n== the end of %s, %s\n' "$out/logs/$name.log" "$state"
  tail -n 30 "$out/logs/$name.log"
done <<<"$stages"

{
  printf '\n%-12s%-14s%8s\n' stage status seconds
  while read -r name _; do
    read -r state seconds <"$states/$name"
    printf '%-12s%-14s%8s\n' "$name" "$state" "$seconds"
  done <<<"$stages"
  printf '%-26s%8s\n' all "$SECONDS"
} | tee "$out/summary.txt"
"$all_passed"
