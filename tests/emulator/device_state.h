#pragma once

// The state of the emulated device, and one lock, under which every call of the runtime runs, and
// with it the device work that the call needs.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "host_side.h"

namespace tagix_emulator {

using Bytes = std::size_t;
using Work = std::function<void()>;

/// What a stream's work becomes while it is captured into a graph.
struct Capture {
  std::thread::id thread;
  bool valid = true;
  std::vector<Work> work;
};

}  // namespace tagix_emulator

/// A queue of work.
struct CUstream_st {
  int device = 0;
  std::deque<tagix_emulator::Work> queue;
  std::shared_ptr<tagix_emulator::Capture> capture;
};

struct CUgraph_st {
  std::vector<tagix_emulator::Work> work;
};

struct CUgraphExec_st {
  std::vector<tagix_emulator::Work> work;
};

struct CUmemPoolHandle_st {};

namespace tagix_emulator {

using Stream = std::shared_ptr<CUstream_st>;

constexpr Bytes kibi = 1024;

struct Allocation {
  Bytes size = 0;
  bool ready = false;    // from its turn in its stream on
  bool freeing = false;  // true from cudaFreeAsync until its turn
};

struct Device {
  int count = 1, driver_version = CUDART_VERSION;
  int major = 9, minor = 0;
  int n_allocations_before_failure = -1;

  std::map<std::uintptr_t, Allocation> allocations;
  std::map<CUstream_st*, Stream> streams;
  std::map<CUgraph_st*, std::shared_ptr<CUgraph_st>> graphs;
  std::map<CUgraphExec_st*, std::shared_ptr<CUgraphExec_st>> execs;
  std::vector<std::shared_ptr<Capture>> captures;
  std::map<const void*, int> shared_bytes;  // allowed for kernels, where they asked

  cudaError_t fault = cudaSuccess;
};

inline Device device;
inline std::mutex lock;
inline std::string message;               ///< what the last error was about
inline thread_local bool inside = false;  ///< a call of the runtime
inline thread_local cudaError_t last_error = cudaSuccess;
inline thread_local int current_device = 0;

/// Keeps what the error is about, and returns it.
template <class... Parts>
cudaError_t refuse(cudaError_t error, const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  message = out.str();
  return error;
}

/// From the first fault on, every call returns it.
template <class... Parts>
void set_fault(cudaError_t error, const Parts&... parts) {
  if (device.fault == cudaSuccess) device.fault = refuse(error, parts...);
}

inline bool driver_is_new_enough() { return device.driver_version >= CUDART_VERSION; }

/// Runs the body of a call of the runtime, unless there is no device or it has faulted.
template <class Body>
cudaError_t call(const char* name, Body body) {
  if (inside) {
    std::fprintf(stderr, "CUDA emulator: a kernel calls %s\n", name);
    std::abort();
  }
  const std::lock_guard guard(lock);
  inside = true;
  cudaError_t error = cudaSuccess;
  if (!driver_is_new_enough()) {
    error = refuse(cudaErrorInsufficientDriver, name, ": the driver is too old, or there is none");
  } else if (device.count == 0) {
    error = refuse(cudaErrorNoDevice, name, ": there is no device");
  } else {
    if (device.fault == cudaSuccess) error = body();
    if (device.fault != cudaSuccess) error = device.fault;
  }
  inside = false;
  if (error != cudaSuccess) last_error = error;
  return error;
}

inline cudaError_t no_device(const char* name) {
  return refuse(cudaErrorInvalidDevice, name, ": no such device");
}

/// Whether there is a device of that number.
inline bool exists(int index) { return index >= 0 && index < device.count; }

inline std::uintptr_t address_of(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer);
}

/// The most shared memory that a block of the device may have, in bytes.
Bytes max_shared_bytes();

}  // namespace tagix_emulator
