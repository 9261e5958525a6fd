#pragma once

// What differs between the compilers that see the kernels: nvcc, and a C++ compiler with an
// emulated <cuda_runtime.h>, on which the tests run where there is no GPU.

#include <cuda_runtime.h>

#include "core/index.h"

namespace tagix::cuda {

constexpr int warp_size = 32;

/// The dynamic shared memory of the block, the only shared memory that kernels use: the emulator
/// fills it with NaN before each block.
__device__ __forceinline__ float* shared_memory() {
#ifdef TAGIX_CUDA_EMULATED
  return static_cast<float*>(tagix_emulator::shared_memory());
#else
  extern __shared__ float4 memory[];
  return reinterpret_cast<float*>(memory);
#endif
}

}  // namespace tagix::cuda
