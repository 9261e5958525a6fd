#pragma once

#include <algorithm>
#include <utility>

#include "device.h"
#include "runtime.h"

namespace tagix::cuda {

/// How many parts of size b cover a.
constexpr Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

/// The size of a launch: blocks, threads of a block, bytes of shared memory of a block, and blocks
/// of a cluster.
struct LaunchSize {
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes = 0;
  unsigned cluster = 1;
};

/// Queues a kernel on the calling thread's stream. Throws Error, with the operation's name, if it
/// cannot be launched.
template <class... Parameters, class... Arguments>
void launch(const char* operation, void (*kernel)(Parameters...), const LaunchSize& size,
            Arguments&&... arguments) {
  const DeviceScope scope;
  constexpr std::size_t always_there = 48 * 1024;
  if (size.shared_bytes > always_there) {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(size.shared_bytes)),
          operation);
  }
  cudaLaunchConfig_t config{};
  config.gridDim = size.grid;
  config.blockDim = size.block;
  config.dynamicSmemBytes = size.shared_bytes;
  config.stream = stream();
  cudaLaunchAttribute cluster{};
  if (size.cluster > 1) {
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim.x = size.cluster;
    cluster.val.clusterDim.y = 1;
    cluster.val.clusterDim.z = 1;
    config.attrs = &cluster;
    config.numAttrs = 1;
  }
  check(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...), operation);
}

/// function(i) for every i of a launch, in strides of the grid.
template <class Function>
__global__ void for_each_kernel(const __grid_constant__ Function function, Index size) {
  const Index stride = static_cast<Index>(gridDim.x) * blockDim.x;
  for (Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; i < size; i += stride) {
    function(i);
  }
}

/// Queues function(i) for 0 <= i < size, each by a thread of its own.
template <class Function>
void for_each(const char* operation, Index size, const Function& function) {
  if (size == 0) return;
  constexpr Index block = 256, most_blocks = 1 << 20;
  const Index blocks = std::min(ceil_div(size, block), most_blocks);
  launch(operation, for_each_kernel<Function>,
         {dim3(static_cast<unsigned>(blocks)), dim3(static_cast<unsigned>(block))}, function, size);
}

}  // namespace tagix::cuda
