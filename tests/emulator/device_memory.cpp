// Allocations, copies and the pool of memory.

#include "device_memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "streams.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) (static_cast<void>(address), void(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) (static_cast<void>(address), void(size))
#endif

using namespace tagix_emulator;

namespace {

constexpr Bytes total_memory = Bytes{64} << 30;

int n_device_scopes = 0;
CUmemPoolHandle_st default_pool;

void poison(std::uintptr_t start, const Allocation& allocation) {
  ASAN_POISON_MEMORY_REGION(reinterpret_cast<void*>(start), allocation.size);
}

void unpoison(std::uintptr_t start, const Allocation& allocation) {
  if (allocation.ready) {
    ASAN_UNPOISON_MEMORY_REGION(reinterpret_cast<void*>(start), allocation.size);
  }
}

cudaError_t allocate(const char* name, void** pointer, Bytes size) {
  if (pointer == nullptr) return refuse(cudaErrorInvalidValue, name, ": null pointer");
  *pointer = nullptr;
  if (size == 0) return cudaSuccess;
  void* memory = nullptr;
  if (device.n_allocations_before_failure >= 0 && device.n_allocations_before_failure-- == 0) {
    return refuse(cudaErrorMemoryAllocation, name, ": made to fail");
  }
  if (size > total_memory || posix_memalign(&memory, 256, size) != 0) {
    return refuse(cudaErrorMemoryAllocation, name, ": ", size, " bytes");
  }
  std::memset(memory, 0xff, size);
  const Allocation& allocation = device.allocations[address_of(memory)] = {.size = size};
  poison(address_of(memory), allocation);
  *pointer = memory;
  return cudaSuccess;
}

/// What is wrong with `size` bytes from `pointer` on as device or host memory, or null.
const char* check_range(const void* pointer, Bytes size, bool on_device) {
  if (pointer == nullptr) return "null pointer";
  const auto found = find_allocation(pointer);
  if (found == device.allocations.end()) return on_device ? "not device memory" : nullptr;
  if (!on_device) return "device memory in place of host memory";
  const Allocation& allocation = found->second;
  if (allocation.freeing) return "memory that cudaFreeAsync has freed";
  if (address_of(pointer) - found->first + size > allocation.size) {
    return "beyond the end of the allocation";
  }
  return nullptr;
}

/// Whether the memory is there when its turn has come; else a fault.
bool still_there(const char* name, const void* pointer, Bytes size) {
  const auto found = find_allocation(pointer);
  if (found != device.allocations.end() && found->second.ready &&
      address_of(pointer) - found->first + size <= found->second.size) {
    return true;
  }
  set_fault(cudaErrorIllegalAddress, name, ": memory is used ",
            found == device.allocations.end() ? "after it was freed"
                                              : "before its allocation on another stream");
  return false;
}

struct Copy {
  void* to;
  const void* from;
  Bytes size;
  bool to_device, from_device;
  std::shared_ptr<std::vector<char>> snapshot = {};  // of host memory, taken by the call

  void run(const char* name) const {
    if (to_device && !still_there(name, to, size)) return;
    if (from_device && !still_there(name, from, size)) return;
    std::memmove(to, from_device ? from : snapshot->data(), size);
  }
};

cudaError_t submit_copy(const char* name, Copy copy, const Stream& stream) {
  if (copy.size == 0) return cudaSuccess;
  const char* wrong = check_range(copy.to, copy.size, copy.to_device);
  if (wrong != nullptr) return refuse(cudaErrorInvalidValue, name, ": the destination is ", wrong);
  wrong = check_range(copy.from, copy.size, copy.from_device);
  if (wrong != nullptr) return refuse(cudaErrorInvalidValue, name, ": the source is ", wrong);
  if (stream->capture != nullptr && !(copy.to_device && copy.from_device)) {
    stream->capture->valid = false;
    return refuse(cudaErrorStreamCaptureUnsupported, name,
                  ": host memory must be pinned during a capture");
  }
  if (!copy.from_device) {
    const char* const bytes = static_cast<const char*>(copy.from);
    copy.snapshot = std::make_shared<std::vector<char>>(bytes, bytes + copy.size);
  }
  return submit(name, stream, [name, copy] { copy.run(name); });
}

/// After a fault a call that frees returns the fault, but memory goes back all the same, so that
/// the destructors of what a test leaves behind leave nothing.
void free_after_fault(void* pointer) {
  const std::lock_guard guard(lock);
  if (device.fault != cudaSuccess) release(address_of(pointer));
}

}  // namespace

namespace tagix_emulator {

std::map<std::uintptr_t, Allocation>::iterator find_allocation(const void* pointer, bool or_end) {
  auto found = device.allocations.upper_bound(address_of(pointer));
  if (found == device.allocations.begin()) return device.allocations.end();
  --found;
  const Bytes offset = address_of(pointer) - found->first;
  const bool inside_it = offset < found->second.size || (or_end && offset == found->second.size);
  return inside_it ? found : device.allocations.end();
}

DeviceScope::DeviceScope() {
  if (n_device_scopes++ > 0) return;
  for (const auto& [start, allocation] : device.allocations) unpoison(start, allocation);
}

DeviceScope::~DeviceScope() {
  if (--n_device_scopes > 0) return;
  for (const auto& [start, allocation] : device.allocations) poison(start, allocation);
}

void release(std::uintptr_t start) {
  const auto found = device.allocations.find(start);
  if (found == device.allocations.end()) return;
  void* const memory = reinterpret_cast<void*>(start);
  ASAN_UNPOISON_MEMORY_REGION(memory, found->second.size);
  device.allocations.erase(found);
  std::free(memory);
}

std::size_t live_allocations() {
  const std::lock_guard guard(lock);
  return static_cast<Bytes>(std::count_if(device.allocations.begin(), device.allocations.end(),
                                          [](const auto& entry) { return !entry.second.freeing; }));
}

void fail_next_allocation(int n_before) {
  const std::lock_guard guard(lock);
  device.n_allocations_before_failure = n_before;
}

}  // namespace tagix_emulator

cudaError_t cudaMallocAsync(void** pointer, Bytes size, cudaStream_t handle) {
  return call("cudaMallocAsync", [&] {
    const Stream stream = find_stream(handle);
    if (stream == nullptr) return no_stream("cudaMallocAsync");
    if (const cudaError_t error = refuse_captured("cudaMallocAsync", stream);
        error != cudaSuccess) {
      return error;
    }
    const cudaError_t error = allocate("cudaMallocAsync", pointer, size);
    if (error != cudaSuccess || size == 0) return error;
    const std::uintptr_t start = address_of(*pointer);
    return submit("cudaMallocAsync", stream, [start] {
      const auto found = device.allocations.find(start);
      if (found == device.allocations.end()) return;
      found->second.ready = true;
      unpoison(start, found->second);
    });
  });
}

cudaError_t cudaFreeAsync(void* pointer, cudaStream_t handle) {
  free_after_fault(pointer);
  return call("cudaFreeAsync", [&] {
    const Stream stream = find_stream(handle);
    if (stream == nullptr) return no_stream("cudaFreeAsync");
    if (const cudaError_t error = refuse_captured("cudaFreeAsync", stream); error != cudaSuccess) {
      return error;
    }
    const auto found = device.allocations.find(address_of(pointer));
    if (found == device.allocations.end() || found->second.freeing) {
      return refuse(cudaErrorInvalidValue, "cudaFreeAsync: not allocated, or freed already");
    }
    found->second.freeing = true;
    const std::uintptr_t start = found->first;
    return submit("cudaFreeAsync", stream, [start] { release(start); });
  });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, Bytes size, cudaMemcpyKind kind,
                            cudaStream_t handle) {
  return call("cudaMemcpyAsync", [&] {
    const Stream stream = find_stream(handle);
    if (stream == nullptr) return no_stream("cudaMemcpyAsync");
    const Copy copy{to, from, size, kind != cudaMemcpyDeviceToHost, kind != cudaMemcpyHostToDevice};
    return submit_copy("cudaMemcpyAsync", copy, stream);
  });
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int index) {
  return call("cudaDeviceGetDefaultMemPool", [&] {
    if (pool == nullptr) {
      return refuse(cudaErrorInvalidValue, "cudaDeviceGetDefaultMemPool: null pointer");
    }
    if (!exists(index)) return no_device("cudaDeviceGetDefaultMemPool");
    *pool = &default_pool;
    return cudaSuccess;
  });
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  return call("cudaMemPoolSetAttribute", [&] {
    if (pool != &default_pool || value == nullptr || attribute != cudaMemPoolAttrReleaseThreshold) {
      return refuse(cudaErrorInvalidValue, "cudaMemPoolSetAttribute: invalid argument");
    }
    return cudaSuccess;
  });
}
