#pragma once

#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include <cstddef>
#include <numeric>
#include <string>
#include <vector>

// What tests of the emulator share: a new device for each, its memory, launches, and kernels.

namespace tagix::test {

/// A stream of the current device.
inline cudaStream_t new_stream() {
  cudaStream_t stream = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  return stream;
}

/// A new device for each test, with a stream.
struct NewDevice {
  NewDevice() {
    tagix_emulator::reset();
    stream = new_stream();
  }
  ~NewDevice() { tagix_emulator::reset(); }
  NewDevice(const NewDevice&) = delete;
  NewDevice& operator=(const NewDevice&) = delete;

  static inline cudaStream_t stream = nullptr;
};

/// Shared memory of the block that runs, as an array.
template <class T>
T* shared() {
  return static_cast<T*>(tagix_emulator::shared_memory());
}

/// One launch of so many blocks and threads.
inline cudaLaunchConfig_t configure(dim3 grid, dim3 block, std::size_t shared_bytes = 0,
                                    cudaStream_t stream = NewDevice::stream) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  return config;
}

/// Copies bytes, and waits.
inline cudaError_t copy(void* to, const void* from, std::size_t size, cudaMemcpyKind kind) {
  const cudaError_t error = cudaMemcpyAsync(to, from, size, kind, NewDevice::stream);
  return error != cudaSuccess ? error : cudaStreamSynchronize(NewDevice::stream);
}

/// Memory that is there at once.
template <class T>
T* device_array(std::size_t size) {
  T* pointer = nullptr;
  REQUIRE(cudaMallocAsync(&pointer, size * sizeof(T), NewDevice::stream) == cudaSuccess);
  REQUIRE(cudaStreamSynchronize(NewDevice::stream) == cudaSuccess);
  return pointer;
}

template <class T>
T* device_array(const std::vector<T>& values) {
  T* const pointer = device_array<T>(values.size());
  REQUIRE(copy(pointer, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice) ==
          cudaSuccess);
  return pointer;
}

template <class T>
std::vector<T> host_array(const T* pointer, std::size_t size) {
  std::vector<T> values(size);
  CHECK(copy(values.data(), pointer, size * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
  return values;
}

/// Gives memory back at once.
inline cudaError_t free_now(void* pointer) {
  const cudaError_t error = cudaFreeAsync(pointer, NewDevice::stream);
  return error != cudaSuccess ? error : cudaStreamSynchronize(NewDevice::stream);
}

/// 1, 2, 3 and so on.
inline std::vector<float> iota(std::size_t size) {
  std::vector<float> values(size);
  std::iota(values.begin(), values.end(), 1.0f);
  return values;
}

/// Whether the emulator's words about the last error hold this part.
inline bool says(const std::string& part) {
  return tagix_emulator::last_message().find(part) != std::string::npos;
}

/// Launches and waits; the error of either.
template <class... Parameters, class... Arguments>
cudaError_t run(dim3 grid, dim3 block, std::size_t shared_bytes, void (*kernel)(Parameters...),
                Arguments... arguments) {
  const cudaLaunchConfig_t config = configure(grid, block, shared_bytes);
  const cudaError_t error = cudaLaunchKernelEx(&config, kernel, arguments...);
  return error != cudaSuccess ? error : cudaDeviceSynchronize();
}

/// output = factor * input, an element for each thread.
inline __global__ void scale_kernel(const float* input, float factor, int size, float* output) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < size) output[i] = factor * input[i];
}

/// Each thread writes its value and reads its neighbour's.
template <bool barrier>
__global__ void rotate_kernel(const float* input, float* output) {
  const unsigned i = threadIdx.x;
  shared<float>()[i] = input[i];
  if constexpr (barrier) __syncthreads();
  output[i] = shared<float>()[(i + 1) % blockDim.x];
}

/// Always a fault.
inline __global__ void trap_kernel() { __trap(); }

}  // namespace tagix::test
