#!/usr/bin/env bash
# Runs a CUDA compiler (CMake's CUDA_COMPILER_LAUNCHER) and keeps what ptxas reports of its kernels
# beside the object file, as <object>.ptxas, for tools/kernel_resources.py. ptxas reports only when
# it runs: without the file, an incremental build would know nothing of the kernels it kept. Needs
# -Xptxas=-v among the compiler's arguments; warnings and errors still go to stderr.
set -uo pipefail

object=""
previous=""
for argument in "$@"; do
  [ "$previous" = "-o" ] && object="$argument"
  previous="$argument"
done
[ -n "$object" ] || exec "$@"

report="$object.ptxas"
rm -f "$report"
messages="$(mktemp)"
trap 'rm -f "$messages"' EXIT
"$@" 2>"$messages"
status=$?
is_report='^ptxas info|^ +[0-9]+ bytes stack frame'
grep -Ev "$is_report" "$messages" >&2
# A report of every object: an empty one says that it has no kernels.
[ "$status" -ne 0 ] || { grep -E "$is_report" "$messages" || true; } >"$report"
exit "$status"
