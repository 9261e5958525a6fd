// Clusters of blocks.

#include <doctest/doctest.h>

#include <vector>

#include "emulated_device.h"

using namespace tagix::test;

namespace {

/// Every block of a cluster adds what all have written to their shared memory.
__global__ void cluster_kernel(float* output) {
  const unsigned rank = tagix_emulator::cluster_rank(), size = tagix_emulator::cluster_size();
  if (threadIdx.x == 0) *shared<float>() = static_cast<float>(10 * rank + 1);
  tagix_emulator::cluster_sync();
  float sum = 0;
  for (unsigned other = 0; other < size; ++other) {
    sum += *static_cast<float*>(tagix_emulator::cluster_shared_memory(shared<float>(), other));
  }
  tagix_emulator::cluster_sync();
  output[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

/// As above, without waiting for the others before the block ends.
__global__ void early_end_kernel() {
  if (tagix_emulator::cluster_rank() == 0) return;
  for (int i = 0; i < 100; ++i) __syncthreads();
  tagix_emulator::cluster_shared_memory(tagix_emulator::shared_memory(), 0);
}

cudaLaunchAttribute cluster_of(unsigned x, unsigned y = 1, unsigned z = 1) {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {x, y, z};
  return attribute;
}

}  // namespace

TEST_CASE("blocks of a cluster run together and share memory") {
  const NewDevice restored;
  float* const output = device_array<float>(8 * 64);
  cudaLaunchConfig_t config = configure(8, 64, sizeof(float));
  cudaLaunchAttribute attribute = cluster_of(4);
  config.attrs = &attribute;
  config.numAttrs = 1;
  REQUIRE(cudaLaunchKernelEx(&config, cluster_kernel, output) == cudaSuccess);
  CHECK(host_array(output, 8 * 64) == std::vector<float>(8 * 64, 64.0f));
  // Without a cluster each block is alone.
  REQUIRE(run(8, 64, sizeof(float), cluster_kernel, output) == cudaSuccess);
  CHECK(host_array(output, 8 * 64) == std::vector<float>(8 * 64, 1.0f));

  attribute = cluster_of(3);
  CHECK(cudaLaunchKernelEx(&config, cluster_kernel, output) == cudaErrorInvalidConfiguration);
  config.gridDim = 16;
  attribute = cluster_of(16);
  CHECK(cudaLaunchKernelEx(&config, cluster_kernel, output) == cudaErrorInvalidClusterSize);
  attribute = cluster_of(4);
  tagix_emulator::set_compute_capability(8, 0);
  CHECK(cudaLaunchKernelEx(&config, cluster_kernel, output) != cudaSuccess);
}

TEST_CASE("the memory of a block of the cluster that has ended is out of reach") {
  const NewDevice restored;
  cudaLaunchConfig_t config = configure(2, 32, sizeof(float));
  cudaLaunchAttribute attribute = cluster_of(2);
  config.attrs = &attribute;
  config.numAttrs = 1;
  REQUIRE(cudaLaunchKernelEx(&config, early_end_kernel) == cudaSuccess);
  CHECK(cudaDeviceSynchronize() == cudaErrorLaunchFailure);
  CHECK(says("has ended"));
}
