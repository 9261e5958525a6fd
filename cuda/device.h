#pragma once

// What differs between the compilers that see the kernels: nvcc, and a C++ compiler with an
// emulated <cuda_runtime.h>, on which the tests run where there is no GPU.

#ifndef TAGIX_CUDA_EMULATED
#include <cooperative_groups.h>
#endif
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

// Clusters of blocks, which read each other's shared memory: compute capability 9.0 and later.

/// The number of this block in its cluster, and how many there are.
__device__ __forceinline__ unsigned cluster_rank() {
#if defined(TAGIX_CUDA_EMULATED)
  return tagix_emulator::cluster_rank();
#elif __CUDA_ARCH__ >= 900
  return cooperative_groups::this_cluster().block_rank();
#else
  return 0;
#endif
}

__device__ __forceinline__ unsigned cluster_size() {
#if defined(TAGIX_CUDA_EMULATED)
  return tagix_emulator::cluster_size();
#elif __CUDA_ARCH__ >= 900
  return cooperative_groups::this_cluster().num_blocks();
#else
  return 1;
#endif
}

/// Waits for all threads of the cluster.
__device__ __forceinline__ void cluster_sync() {
#if defined(TAGIX_CUDA_EMULATED)
  tagix_emulator::cluster_sync();
#elif __CUDA_ARCH__ >= 900
  cooperative_groups::this_cluster().sync();
#endif
}

/// The place in block `rank`'s shared memory that `mine` is in this one's.
__device__ __forceinline__ const float* in_cluster(float* mine, unsigned rank) {
#if defined(TAGIX_CUDA_EMULATED)
  return static_cast<const float*>(tagix_emulator::cluster_shared_memory(mine, rank));
#elif __CUDA_ARCH__ >= 900
  return cooperative_groups::this_cluster().map_shared_rank(mine, rank);
#else
  return rank == 0 ? mine : nullptr;
#endif
}

}  // namespace tagix::cuda
