// Threads, barriers and warps: each planted bug beside the code without it.

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "emulated_device.h"

using namespace tagix::test;

namespace {

/// Two rounds through one buffer: a thread may not write again before all have read.
template <bool barrier>
__global__ void rotate_twice_kernel(const float* input, float* output) {
  const unsigned i = threadIdx.x;
  float value = input[i];
  for (int round = 0; round < 2; ++round) {
    shared<float>()[i] = value;
    __syncthreads();
    value = shared<float>()[(i + 1) % blockDim.x];
    if constexpr (barrier) __syncthreads();
  }
  output[i] = value;
}

/// A tree of sums, whose rounds follow on one another.
template <bool barrier>
__global__ void sum_kernel(const float* input, float* output) {
  const unsigned i = threadIdx.x;
  float* const sums = shared<float>();
  sums[i] = input[i];
  __syncthreads();
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    if (i < half) sums[i] += sums[i + half];
    if constexpr (barrier) __syncthreads();
  }
  if (i == 0) *output = sums[0];
}

__global__ void barrier_for_some_kernel() {
  if (threadIdx.x < 20) __syncthreads();
}

__global__ void barriers_in_two_branches_kernel() {
  if (threadIdx.x % 2 == 0) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void shuffle_without_a_lane_kernel(int* output) {
  int value = static_cast<int>(threadIdx.x);
  if (threadIdx.x != 7) value = __shfl_xor_sync(0xffffffffu, value, 1);
  output[threadIdx.x] = value;
}

__global__ void shuffle_from_outside_the_mask_kernel() {
  if (threadIdx.x < 16) __shfl_xor_sync(0xffffu, 1.0f, 16);
}

}  // namespace

TEST_CASE("a grid runs every thread of every block, with its indices") {
  const NewDevice restored;
  struct Indices {
    uint3 block, thread;
  };
  const auto kernel = +[](Indices* output) {
    const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    output[block * blockDim.x * blockDim.y * blockDim.z + thread] = {blockIdx, threadIdx};
  };
  const dim3 grid(3, 2, 2), block(5, 3, 2);
  auto* const output = device_array<Indices>(12 * 30);
  REQUIRE(run(grid, block, 0, kernel, output) == cudaSuccess);
  const std::vector<Indices> indices = host_array(output, 12 * 30);
  for (unsigned b = 0; b < 12; ++b) {
    for (unsigned t = 0; t < 30; ++t) {
      const auto& [at_block, at_thread] = indices[b * 30 + t];
      CHECK(at_block.x + 3 * (at_block.y + 2 * at_block.z) == b);
      CHECK(at_thread.x + 5 * (at_thread.y + 3 * at_thread.z) == t);
    }
  }
  CHECK(free_now(output) == cudaSuccess);
  CHECK(tagix_emulator::live_allocations() == 0);
}

TEST_CASE("missing barriers change the result") {
  const NewDevice restored;
  constexpr unsigned n = 128;
  const std::vector<float> values = iota(n);
  float* const input = device_array(values);
  float* const output = device_array<float>(n);
  std::vector<float> once(n), twice(n);
  for (unsigned i = 0; i < n; ++i) {
    once[i] = values[(i + 1) % n];
    twice[i] = values[(i + 2) % n];
  }
  for (int times = 0; times < 5; ++times) {
    CHECK(run(1, n, n * sizeof(float), rotate_kernel<true>, input, output) == cudaSuccess);
    CHECK(host_array(output, n) == once);
    CHECK(run(1, n, n * sizeof(float), rotate_kernel<false>, input, output) == cudaSuccess);
    const std::vector<float> wrong = host_array(output, n);
    bool has_nan = false;
    for (float value : wrong) has_nan = has_nan || std::isnan(value);
    CHECK(has_nan);

    CHECK(run(1, n, n * sizeof(float), rotate_twice_kernel<true>, input, output) == cudaSuccess);
    CHECK(host_array(output, n) == twice);
    CHECK(run(1, n, n * sizeof(float), rotate_twice_kernel<false>, input, output) == cudaSuccess);
    CHECK(host_array(output, n) != twice);

    CHECK(run(1, n, n * sizeof(float), sum_kernel<true>, input, output) == cudaSuccess);
    CHECK(host_array(output, 1)[0] == n * (n + 1) / 2.0f);
    CHECK(run(1, n, n * sizeof(float), sum_kernel<false>, input, output) == cudaSuccess);
    CHECK(host_array(output, 1)[0] != n * (n + 1) / 2.0f);
  }
}

TEST_CASE("barriers combine values") {
  const NewDevice restored;
  const auto kernel = +[](int* output) {
    const int i = static_cast<int>(threadIdx.x);
    const int one = __syncthreads_or(i == 40), none = __syncthreads_or(0);
    output[i] = one == 1 && none == 0;
  };
  auto* const output = device_array<int>(70);
  REQUIRE(run(1, 70, 0, kernel, output) == cudaSuccess);
  CHECK(host_array(output, 70) == std::vector<int>(70, 1));
}

TEST_CASE("divergent barriers are faults that stay and name kernel and place") {
  for (auto* kernel : {barrier_for_some_kernel, barriers_in_two_branches_kernel}) {
    const NewDevice restored;
    float* const pointer = device_array<float>(1);
    CHECK(run(2, 64, 0, kernel) == cudaErrorLaunchFailure);
    CHECK(says("_kernel"));
    CHECK(says("test_emulator_grid.cpp:"));
    CHECK(std::string(cudaGetErrorString(cudaErrorLaunchFailure)).find("__syncthreads") !=
          std::string::npos);
    CHECK(cudaGetLastError() == cudaErrorLaunchFailure);
    CHECK(cudaGetLastError() == cudaErrorLaunchFailure);
    CHECK(cudaStreamSynchronize(NewDevice::stream) == cudaErrorLaunchFailure);
    CHECK(cudaFreeAsync(pointer, NewDevice::stream) == cudaErrorLaunchFailure);
    CHECK(tagix_emulator::live_allocations() == 0);
  }
  // The fibers of what never ended serve again.
  const NewDevice restored;
  float* const output = device_array<float>(128);
  CHECK(run(1, 128, 512, rotate_kernel<true>, device_array(iota(128)), output) == cudaSuccess);
  CHECK(host_array(output, 128)[127] == 1.0f);
}

TEST_CASE("warp collectives that lack a lane are faults") {
  {
    const NewDevice restored;
    CHECK(run(1, 32, 0, shuffle_without_a_lane_kernel, device_array<int>(32)) ==
          cudaErrorLaunchFailure);
    CHECK(says("31 waiting at __shfl_xor_sync"));
    CHECK(says("1 ended"));
  }
  {
    const NewDevice restored;
    CHECK(run(1, 32, 0, shuffle_from_outside_the_mask_kernel) == cudaErrorLaunchFailure);
    CHECK(says("a lane that takes no part"));
  }
  {
    const NewDevice restored;
    CHECK(run(1, 40, 0, +[] { __shfl_xor_sync(0xffffffffu, 1.0f, 1); }) == cudaErrorLaunchFailure);
    CHECK(says("lanes that the block lacks"));
  }
  {
    const NewDevice restored;
    CHECK(run(1, 32, 0, +[] { __shfl_xor_sync(1, 1.0f, 0); }) == cudaErrorLaunchFailure);
    CHECK(says("leaves out the thread itself"));
  }
  const NewDevice restored;
  CHECK(run(1, 1, 0, trap_kernel) == cudaErrorLaunchFailure);
  CHECK(says("trap_kernel"));
}

TEST_CASE("shuffles") {
  const NewDevice restored;
  const auto kernel = +[](int* output) {
    const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
    const unsigned all = 0xffffffffu;
    const int value = 100 * warp + lane, first = 100 * warp;
    bool right = __shfl_xor_sync(all, value, 9) == first + (lane ^ 9);
    right = right && __shfl_xor_sync(all, 0.5f + value, 1) == first + (lane ^ 1) + 0.5f;
    right = right && __shfl_xor_sync(all, 0.5 + value, 2) == first + (lane ^ 2) + 0.5;
    // The halves of a warp on their own.
    const bool low = lane < 16;
    const int own = __shfl_xor_sync(low ? 0xffffu : 0xffff0000u, value, 15);
    right = right && own == first + (lane ^ 15);
    output[threadIdx.x] = right;
  };
  auto* const output = device_array<int>(96);
  REQUIRE(run(1, 96, 0, kernel, output) == cudaSuccess);
  CHECK(host_array(output, 96) == std::vector<int>(96, 1));
}
