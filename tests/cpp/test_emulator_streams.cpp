// Streams and host threads.

#include <doctest/doctest.h>

#include <thread>
#include <vector>

#include "emulated_device.h"

using namespace tagix::test;

TEST_CASE("nothing has happened before it is synchronised") {
  const NewDevice restored;
  const cudaStream_t stream = new_stream();
  float* const values = device_array(iota(4));
  const cudaLaunchConfig_t config = configure(1, 4, 0, stream);
  REQUIRE(cudaLaunchKernelEx(&config, scale_kernel, values, 2.0f, 4, values) == cudaSuccess);
  std::vector<float> host(4, -1.0f);
  REQUIRE(cudaMemcpyAsync(host.data(), values, 16, cudaMemcpyDeviceToHost, stream) == cudaSuccess);
  CHECK(host[0] == -1.0f);
  // Another stream's end is not this one's.
  CHECK(host_array(values, 4) == iota(4));
  CHECK(host[0] == -1.0f);
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(host[3] == 8.0f);

  // Host memory is read when the copy is called.
  host[0] = 1;
  REQUIRE(cudaMemcpyAsync(values, host.data(), 16, cudaMemcpyHostToDevice, stream) == cudaSuccess);
  host[0] = 5;
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(host_array(values, 1)[0] == 1);
}

TEST_CASE("there is no other stream than those that were made") {
  const NewDevice restored;
  CHECK(cudaStreamSynchronize(nullptr) == cudaErrorInvalidResourceHandle);
  const cudaLaunchConfig_t config = configure(1, 1, 0, nullptr);
  CHECK(cudaLaunchKernelEx(&config, trap_kernel) == cudaErrorInvalidResourceHandle);
}

TEST_CASE("several host threads launch at once") {
  const NewDevice restored;
  std::vector<std::thread> threads;
  std::vector<int> right(4, 0);
  for (std::size_t i = 0; i < right.size(); ++i) {
    threads.emplace_back([&right, i] {
      cudaStream_t stream = nullptr;
      float *input = nullptr, *output = nullptr;
      std::vector<float> host(128);
      if (cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess) return;
      if (cudaMallocAsync(&input, 512, stream) != cudaSuccess) return;
      if (cudaMallocAsync(&output, 512, stream) != cudaSuccess) return;
      const cudaLaunchConfig_t config = configure(1, 128, 512, stream);
      for (int times = 0; times < 50; ++times) {
        for (std::size_t k = 0; k < 128; ++k) host[k] = static_cast<float>(k) + times;
        cudaMemcpyAsync(input, host.data(), 512, cudaMemcpyHostToDevice, stream);
        cudaLaunchKernelEx(&config, rotate_kernel<true>, input, output);
        cudaMemcpyAsync(host.data(), output, 512, cudaMemcpyDeviceToHost, stream);
        if (cudaStreamSynchronize(stream) != cudaSuccess) return;
        right[i] += host[0] == 1.0f + static_cast<float>(times) && host[127] == times;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(right == std::vector<int>(4, 50));
}
