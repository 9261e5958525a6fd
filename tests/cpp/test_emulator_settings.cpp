// Devices and drivers that are missing or old, and memory that runs out.

#include <doctest/doctest.h>

#include <string>

#include "emulated_device.h"

using namespace tagix::test;

TEST_CASE("what is missing, and what runs out, can be played") {
  const NewDevice restored;
  int count = -1, version = 0;
  CHECK(cudaGetDeviceCount(&count) == cudaSuccess);
  CHECK(count == 1);
  CHECK(cudaSetDevice(1) == cudaErrorInvalidDevice);
  float* values = nullptr;
  tagix_emulator::fail_next_allocation(1);
  const auto allocate = [&](std::size_t size) {
    return cudaMallocAsync(&values, size, NewDevice::stream);
  };
  CHECK(allocate(16) == cudaSuccess);
  CHECK(allocate(16) == cudaErrorMemoryAllocation);
  CHECK(values == nullptr);
  CHECK(allocate(16) == cudaSuccess);
  CHECK(allocate(std::size_t{1} << 50) == cudaErrorMemoryAllocation);

  tagix_emulator::set_device_count(0);
  CHECK(cudaGetDeviceCount(&count) == cudaErrorNoDevice);
  CHECK(allocate(16) == cudaErrorNoDevice);
  tagix_emulator::set_driver_version(12080);
  CHECK(cudaGetDeviceCount(&count) == cudaErrorInsufficientDriver);
  CHECK(cudaDriverGetVersion(&version) == cudaSuccess);
  CHECK(version == 12080);

  tagix_emulator::reset();
  tagix_emulator::set_compute_capability(7, 5);
  cudaDeviceProp properties{};
  CHECK(cudaGetDeviceProperties(&properties, 0) == cudaSuccess);
  CHECK(std::string(properties.name) == "emulated device");
  CHECK(properties.sharedMemPerBlockOptin == 64 * 1024);
  int value = 0;
  CHECK(cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, 0) == cudaSuccess);
  CHECK(value == 7);
}
