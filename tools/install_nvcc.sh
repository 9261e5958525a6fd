#!/usr/bin/env bash
# Installs the CUDA compiler and static runtime, no driver, into a manylinux_2_28 container
# (AlmaLinux 8, of x86-64 or 64-bit ARM) from NVIDIA's repository of packages.
set -euo pipefail

version="${TAGIX_CUDA_VERSION:-13-0}"
case "$(uname -m)" in
  x86_64) architecture=x86_64 ;;
  aarch64) architecture=sbsa ;;
  *) echo "no CUDA for $(uname -m)" >&2 && exit 1 ;;
esac
dnf install --assumeyes dnf-plugins-core
dnf config-manager --add-repo \
  "https://developer.download.nvidia.com/compute/cuda/repos/rhel8/$architecture/cuda-rhel8.repo"
dnf install --assumeyes "cuda-nvcc-$version" "cuda-cudart-devel-$version"
ln --symbolic --force --no-dereference "/usr/local/cuda-${version/-/.}" /usr/local/cuda
/usr/local/cuda/bin/nvcc --version
