#include "runtime.h"

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "architectures.h"

namespace tagix::cuda {
namespace {

constexpr int the_device = 0;

/// Streams that no thread uses. Never destroyed: at exit the driver may be gone before it would be.
struct IdleStreams {
  std::mutex mutex;
  std::vector<cudaStream_t> streams;
};

IdleStreams& idle_streams() {
  static IdleStreams& instance = *new IdleStreams;
  return instance;
}

/// Takes a stream for a thread's life.
class ThreadStream {
 public:
  ThreadStream() = default;
  ThreadStream(const ThreadStream&) = delete;
  ThreadStream& operator=(const ThreadStream&) = delete;
  ~ThreadStream() {
    if (stream_ == nullptr) return;
    cudaStreamSynchronize(stream_);  // of any device
    IdleStreams& idle = idle_streams();
    const std::lock_guard lock(idle.mutex);
    idle.streams.push_back(stream_);
  }

  cudaStream_t get() {
    if (stream_ == nullptr) take();
    return stream_;
  }

 private:
  void take() {
    IdleStreams& idle = idle_streams();
    const std::lock_guard lock(idle.mutex);
    if (!idle.streams.empty()) {
      stream_ = idle.streams.back();
      idle.streams.pop_back();
      return;
    }
    const DeviceScope scope;
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
  }

  cudaStream_t stream_ = nullptr;
};

/// Tells the device's pool to keep memory that has been released.
void keep_released_memory() {
  cudaMemPool_t pool = nullptr;
  std::uint64_t threshold = UINT64_MAX;
  check(cudaDeviceGetDefaultMemPool(&pool, the_device), "finding the memory pool");
  check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold),
        "setting up the memory pool");
}

}  // namespace

void check(cudaError_t status, const char* operation) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // so that the next operation does not report this one's error
  throw Error(std::string("CUDA, ") + operation + ": " + cudaGetErrorString(status) + " (" +
              cudaGetErrorName(status) + ")");
}

int compute_capability() {
  static const int asked = [] {
    int major = 0, minor = 0;
    check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, the_device),
          "finding the compute capability");
    check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, the_device),
          "finding the compute capability");
    return code_for(compiled_architectures(), 10 * major + minor);
  }();
  return asked;
}

DeviceScope::DeviceScope() {
  check(cudaGetDevice(&before_), "finding the current device");
  if (before_ != the_device) check(cudaSetDevice(the_device), "choosing the device");
}

DeviceScope::~DeviceScope() {
  if (before_ != the_device) cudaSetDevice(before_);
}

cudaStream_t stream() {
  thread_local ThreadStream own;
  return own.get();
}

void synchronise(const char* operation) {
  const DeviceScope scope;
  check(cudaStreamSynchronize(stream()), operation);
}

void* allocate(std::size_t bytes) {
  static const bool kept = (keep_released_memory(), true);
  static_cast<void>(kept);
  const DeviceScope scope;
  void* memory = nullptr;
  check(cudaMallocAsync(&memory, std::max<std::size_t>(bytes, 1), stream()),
        ("allocating " + std::to_string(bytes) + " bytes").c_str());
  return memory;
}

void release(void* memory) noexcept {
  try {
    const DeviceScope scope;
    check(cudaFreeAsync(memory, stream()), "releasing memory");
  } catch (const Error&) {
    // Of work that failed before, or of a driver that is shutting down: nothing is lost by it here.
  }
}

}  // namespace tagix::cuda
