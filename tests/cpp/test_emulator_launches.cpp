// What launches may ask for, and what they cost.

#include <doctest/doctest.h>

#include <chrono>
#include <vector>

#include "emulated_device.h"

using namespace tagix::test;

namespace {

/// value += 1, one thread.
__global__ void increment_kernel(float* value) { *value += 1.0f; }

}  // namespace

TEST_CASE("launches outside the limits are refused") {
  const NewDevice restored;
  float* const values = device_array(iota(4));
  const auto launch = [&](dim3 grid, dim3 block, std::size_t shared_bytes = 0) {
    const cudaLaunchConfig_t config = configure(grid, block, shared_bytes);
    return cudaLaunchKernelEx(&config, scale_kernel, values, 1.0f, 4, values);
  };
  CHECK(launch(1, 1024) == cudaSuccess);
  CHECK(launch(1, 1025) == cudaErrorInvalidConfiguration);
  CHECK(launch(1, dim3(32, 33)) == cudaErrorInvalidConfiguration);
  CHECK(launch(1, dim3(1, 1, 65)) == cudaErrorInvalidConfiguration);
  CHECK(launch(1, 0) == cudaErrorInvalidConfiguration);
  CHECK(launch(0, 1) == cudaErrorInvalidConfiguration);
  CHECK(launch(dim3(1, 65536), 1) == cudaErrorInvalidConfiguration);
  CHECK(launch(2147483648u, 1) == cudaErrorInvalidConfiguration);

  CHECK(launch(1, 1, 49152) == cudaSuccess);
  CHECK(launch(1, 1, 49153) == cudaErrorInvalidValue);
  const auto allow = [](int bytes) {
    return cudaFuncSetAttribute(scale_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  };
  CHECK(allow(100000) == cudaSuccess);
  CHECK(launch(1, 1, 100000) == cudaSuccess);
  CHECK(launch(1, 1, 100001) == cudaErrorInvalidValue);
  CHECK(allow(232448) == cudaSuccess);
  CHECK(allow(232449) == cudaErrorInvalidValue);
  CHECK(launch(1, 1, 232448) == cudaSuccess);
  // Errors of calls, unlike faults, are forgotten when they have been asked for.
  CHECK(cudaGetLastError() == cudaErrorInvalidValue);
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
}

TEST_CASE("costs" * doctest::skip()) {
  const NewDevice restored;
  using Clock = std::chrono::steady_clock;
  const auto nanoseconds = [](auto body) {
    body();
    const auto start = Clock::now();
    for (int times = 0; times < 5; ++times) body();
    return std::chrono::duration<double, std::nano>(Clock::now() - start).count() / 5;
  };
  constexpr int size = 1 << 20;
  float* const values = device_array<float>(size);
  MESSAGE("a thread without barriers, ns: ",
          nanoseconds([&] { run(size / 256, 256, 0, scale_kernel, values, 2.0f, size, values); }) /
              size);
  const auto barriers = +[](int n) {
    for (int i = 0; i < n; ++i) __syncthreads();
  };
  for (const unsigned threads : {32u, 128u, 256u, 1024u}) {
    MESSAGE("a barrier of ", threads, " threads, ns a thread: ",
            nanoseconds([&] { run(16, threads, 0, barriers, 200); }) / (16.0 * threads * 200));
  }
  const auto shuffles = +[](int n) {
    for (int i = 0; i < n; ++i) __shfl_xor_sync(0xffffffffu, i, 1);
  };
  MESSAGE("a shuffle, ns a thread: ",
          nanoseconds([&] { run(16, 256, 0, shuffles, 200); }) / (16.0 * 256 * 200));
  MESSAGE("a launch of one thread, ns: ",
          nanoseconds([&] { run(1, 1, 0, increment_kernel, values); }));
}
