#pragma once

#include <cuda_runtime_api.h>

#include <stdexcept>

namespace tagix::cuda {

/// An error of the CUDA runtime, with the operation that met it.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Throws Error, "operation: what the runtime says", unless `status` is a success.
void check(cudaError_t status, const char* operation);

/// The compute capability that the kernels on this GPU have, as 80 for 8.0: that of the GPU, or
/// less where their code was compiled for an older one. It is asked once.
int compute_capability();

/// Everything lies on the first device. This makes it the calling thread's current one, and in the
/// end gives back what was, which another library may have chosen.
class DeviceScope {
 public:
  DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;
  ~DeviceScope();

 private:
  int before_ = 0;
};

/// The stream of the calling thread, on which all its work is queued. Threads that run at the same
/// time have different ones, and what a thread has queued is done when it ends.
cudaStream_t stream();

/// Waits for the work of the calling thread.
void synchronise(const char* operation);

/// Memory that is allocated and released in the order of the calling thread's stream, from a pool
/// that keeps what it once had.
void* allocate(std::size_t bytes);
void release(void* memory) noexcept;

}  // namespace tagix::cuda
