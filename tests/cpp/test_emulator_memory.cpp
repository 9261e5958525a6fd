// Device memory: its copies, its life, and who may touch it.

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#endif

#include "emulated_device.h"

using namespace tagix::test;

TEST_CASE("copies check directions and ranges") {
  const NewDevice restored;
  std::vector<float> host(4);
  float* const values = device_array(iota(4));
  float* const others = device_array<float>(4);
  CHECK(copy(host.data(), values, 16, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(copy(values, host.data(), 16, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(copy(values, host.data(), 16, cudaMemcpyDeviceToDevice) == cudaErrorInvalidValue);
  CHECK(copy(values, host.data(), 17, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(copy(host.data(), values + 1, 16, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(copy(nullptr, values, 16, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(copy(values, nullptr, 0, cudaMemcpyHostToDevice) == cudaSuccess);
  CHECK(copy(others, values, 16, cudaMemcpyDeviceToDevice) == cudaSuccess);
  CHECK(copy(host.data(), others, 16, cudaMemcpyDeviceToHost) == cudaSuccess);
  CHECK(host == iota(4));
}

TEST_CASE("memory is freed once, and not used afterwards") {
  const NewDevice restored;
  float* values = device_array<float>(4);
  CHECK(std::isnan(host_array(values, 4)[0]));
  CHECK(tagix_emulator::live_allocations() == 1);
  CHECK(free_now(values + 1) == cudaErrorInvalidValue);
  CHECK(cudaFreeAsync(values, NewDevice::stream) == cudaSuccess);
  CHECK(cudaFreeAsync(values, NewDevice::stream) == cudaErrorInvalidValue);
  CHECK(copy(values, values, 16, cudaMemcpyDeviceToDevice) == cudaErrorInvalidValue);
  CHECK(tagix_emulator::live_allocations() == 0);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);

  // On another stream that does not wait, the memory is not there yet.
  const std::vector<float> host(4);
  const cudaStream_t stream = new_stream();
  REQUIRE(cudaMallocAsync(&values, 16, stream) == cudaSuccess);
  CHECK(copy(values, host.data(), 16, cudaMemcpyHostToDevice) == cudaErrorIllegalAddress);
}

TEST_CASE("a kernel that is given memory of the host, or freed memory, is a fault") {
  std::vector<float> host = iota(4);
  for (const bool freed : {false, true}) {
    const NewDevice restored;
    float* const values = device_array(host);
    float* const given = freed ? device_array(host) : host.data();
    if (freed) REQUIRE(free_now(given) == cudaSuccess);
    CHECK(run(1, 4, 0, scale_kernel, given, 2.0f, 4, values) == cudaErrorIllegalAddress);
    CHECK(says("scale_kernel"));
  }
}

#if defined(__SANITIZE_ADDRESS__)
namespace {

__global__ void write_beyond_kernel(unsigned beyond) {
  shared<float>()[threadIdx.x + beyond] = 1.0f;
  __syncthreads();
}

__global__ void read_beyond_kernel(const float* input, float* output) {
  output[threadIdx.x] = input[threadIdx.x + 1];
}

/// Whether AddressSanitizer ends a child that runs `body`.
template <class Body>
bool dies(Body body) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::fclose(stderr);
    body();
    _exit(0);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

}  // namespace

TEST_CASE("AddressSanitizer finds what lies beyond, and host code that touches device memory") {
  const NewDevice restored;
  float* const values = device_array(iota(32));
  float* const output = device_array<float>(32);
  CHECK(!dies([] { run(1, 32, 128, write_beyond_kernel, 0u); }));
  CHECK(dies([] { run(1, 32, 128, write_beyond_kernel, 1u); }));
  CHECK(dies([&] { run(1, 32, 0, read_beyond_kernel, values, output); }));
  CHECK(!dies([&] { run(1, 31, 0, read_beyond_kernel, values, output); }));
  CHECK(dies([&] { output[0] = 1.0f; }));
}
#endif
