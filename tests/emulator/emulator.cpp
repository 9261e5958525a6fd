// The host half of the emulator: one lock, under which every call of the runtime runs, and with it
// the device work that the call needs.
//
// A stream is a queue of work. What a call waits for runs, and nothing else: streams that nobody
// waits for stay behind as far as they can. During a capture the work becomes that of a graph.

#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <sstream>
#include <thread>

#include "grid.h"
#include "host_side.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) (static_cast<void>(address), void(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) (static_cast<void>(address), void(size))
#endif

using tagix_emulator::Launch;
using Bytes = std::size_t;

namespace {

using Work = std::function<void()>;

struct Capture {
  std::thread::id thread;
  bool valid = true;
  std::vector<Work> work;
};

}  // namespace

struct CUstream_st {
  int device = 0;
  std::deque<Work> queue;
  std::shared_ptr<Capture> capture;
};

struct CUgraph_st {
  std::vector<Work> work;
};

struct CUgraphExec_st {
  std::vector<Work> work;
};

struct CUmemPoolHandle_st {};

namespace {

using Stream = std::shared_ptr<CUstream_st>;

constexpr Bytes kibi = 1024;
constexpr Bytes default_shared_bytes = 48 * kibi, total_memory = Bytes{64} << 30;

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

Device device;
std::mutex lock;
std::string message;
int n_device_scopes = 0;
thread_local bool inside = false;  // a call of the runtime
thread_local cudaError_t last_error = cudaSuccess;
thread_local int current_device = 0;
CUmemPoolHandle_st default_pool;

template <class... Parts>
cudaError_t refuse(cudaError_t error, const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  message = out.str();
  return error;
}

template <class... Parts>
void set_fault(cudaError_t error, const Parts&... parts) {
  if (device.fault == cudaSuccess) device.fault = refuse(error, parts...);
}

bool driver_is_new_enough() { return device.driver_version >= CUDART_VERSION; }

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

// Memory.

std::uintptr_t address_of(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

/// The allocation in which the pointer lies, or the end of which it is.
auto find_allocation(const void* pointer, bool or_end = false) {
  auto found = device.allocations.upper_bound(address_of(pointer));
  if (found == device.allocations.begin()) return device.allocations.end();
  --found;
  const Bytes offset = address_of(pointer) - found->first;
  const bool inside_it = offset < found->second.size || (or_end && offset == found->second.size);
  return inside_it ? found : device.allocations.end();
}

void poison(std::uintptr_t start, const Allocation& allocation) {
  ASAN_POISON_MEMORY_REGION(reinterpret_cast<void*>(start), allocation.size);
}

void unpoison(std::uintptr_t start, const Allocation& allocation) {
  if (allocation.ready) {
    ASAN_UNPOISON_MEMORY_REGION(reinterpret_cast<void*>(start), allocation.size);
  }
}

/// While one is alive, device memory may be touched.
class DeviceScope {
 public:
  DeviceScope() {
    if (n_device_scopes++ > 0) return;
    for (const auto& [start, allocation] : device.allocations) unpoison(start, allocation);
  }
  ~DeviceScope() {
    if (--n_device_scopes > 0) return;
    for (const auto& [start, allocation] : device.allocations) poison(start, allocation);
  }
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;
};

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

void release(std::uintptr_t start) {
  const auto found = device.allocations.find(start);
  if (found == device.allocations.end()) return;
  void* const memory = reinterpret_cast<void*>(start);
  ASAN_UNPOISON_MEMORY_REGION(memory, found->second.size);
  device.allocations.erase(found);
  std::free(memory);
}

// Streams.

/// The stream behind a handle, or null. There is no legacy stream: the project does not use it.
Stream find_stream(cudaStream_t handle) {
  const auto found = device.streams.find(handle);
  return found == device.streams.end() ? nullptr : found->second;
}

cudaError_t no_stream(const char* name) {
  return refuse(cudaErrorInvalidResourceHandle, name, ": no such stream");
}

void run(const Work& work) {
  if (device.fault != cudaSuccess) return;
  const DeviceScope scope;
  work();
}

void finish(CUstream_st& stream) {
  const DeviceScope scope;
  while (!stream.queue.empty()) {
    const Work work = std::move(stream.queue.front());
    stream.queue.pop_front();
    run(work);
  }
}

void finish_device(int index) {
  std::vector<Stream> streams;
  for (const auto& [handle, stream] : device.streams) {
    if (stream->device == index) streams.push_back(stream);
  }
  const DeviceScope scope;
  while (!streams.empty()) {
    const auto drawn =
        streams.begin() + static_cast<std::ptrdiff_t>(tagix_emulator::random_below(streams.size()));
    finish(**drawn);
    streams.erase(drawn);
  }
}

/// Queues the work, or makes it part of the graph that the stream is captured into.
cudaError_t submit(const char* name, const Stream& stream, Work work) {
  if (stream->capture == nullptr) {
    stream->queue.push_back(std::move(work));
    return cudaSuccess;
  }
  if (!stream->capture->valid) {
    return refuse(cudaErrorStreamCaptureInvalidated, name, ": the capture was invalidated");
  }
  stream->capture->work.push_back(std::move(work));
  return cudaSuccess;
}

/// Refuses a call that CUDA does not allow for a stream that is captured.
cudaError_t refuse_captured(const char* name, const Stream& stream) {
  if (stream->capture == nullptr) return cudaSuccess;
  stream->capture->valid = false;
  return refuse(cudaErrorStreamCaptureUnsupported, name, ": the stream is being captured");
}

/// Refuses a call that CUDA does not allow while this thread captures.
cudaError_t refuse_in_capture(const char* name) {
  bool refused = false;
  for (const std::shared_ptr<Capture>& capture : device.captures) {
    if (capture->thread != std::this_thread::get_id()) continue;
    capture->valid = false;
    refused = true;
  }
  if (!refused) return cudaSuccess;
  return refuse(cudaErrorStreamCaptureUnsupported, name, ": not allowed during a capture");
}

// Copies.

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

// Kernels.

/// The name of the function in the program's own symbol table, which has local functions too.
std::string symbol_at(const void* address) {
  Dl_info info{};
  if (dladdr(address, &info) == 0) return {};
  std::string name;
  if (info.dli_sname != nullptr && info.dli_saddr == address) {
    name = info.dli_sname;
  } else {
    std::ifstream file(info.dli_fname, std::ios::binary);
    const std::string image{std::istreambuf_iterator<char>(file), {}};
    const auto read = [&](Bytes offset, auto& value) {
      if (offset + sizeof(value) > image.size()) return false;
      std::memcpy(&value, image.data() + offset, sizeof(value));
      return true;
    };
    Elf64_Ehdr header{};
    if (!read(0, header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return {};
    const std::uintptr_t base = header.e_type == ET_EXEC ? 0 : address_of(info.dli_fbase);
    for (unsigned i = 0; i < header.e_shnum; ++i) {
      Elf64_Shdr table{}, strings{};
      if (!read(header.e_shoff + i * sizeof(table), table) || table.sh_type != SHT_SYMTAB) continue;
      if (!read(header.e_shoff + table.sh_link * sizeof(strings), strings)) continue;
      Elf64_Sym symbol{};
      for (Bytes at = 0; at < table.sh_size; at += sizeof(symbol)) {
        if (!read(table.sh_offset + at, symbol)) break;
        const Bytes name_at = strings.sh_offset + symbol.st_name;
        if (symbol.st_value == address_of(address) - base && name_at < image.size()) {
          name = image.data() + name_at;
        }
      }
    }
  }
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> readable(
      abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status), std::free);
  return readable != nullptr ? readable.get() : name;
}

std::string name_of(const Launch& launch) {
  std::string name = symbol_at(launch.kernel);
  return name.empty() ? launch.signature : name;
}

Bytes max_shared_bytes() {
  const int version = 10 * device.major + device.minor;
  return (version >= 90   ? 227
          : version >= 86 ? version == 87 ? 163 : 99
          : version >= 80 ? 163
                          : 64) *
         kibi;
}

constexpr unsigned max_threads = 1024;

cudaError_t check_dimensions(const dim3& grid, const dim3& block) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || block.x == 0 || block.y == 0 || block.z == 0) {
    return refuse(cudaErrorInvalidConfiguration, "a dimension of the launch is 0");
  }
  if (grid.x > 2147483647u || grid.y > 65535u || grid.z > 65535u) {
    return refuse(cudaErrorInvalidConfiguration, "too many blocks: ", grid.x, " x ", grid.y, " x ",
                  grid.z);
  }
  if (block.x > max_threads || block.y > max_threads || block.z > 64 ||
      std::uint64_t{block.x} * block.y * block.z > max_threads) {
    return refuse(cudaErrorInvalidConfiguration, "too many threads in a block: ", block.x, " x ",
                  block.y, " x ", block.z);
  }
  return cudaSuccess;
}

cudaError_t check_cluster(const dim3& grid, const dim3& cluster) {
  if (device.major < 9) return refuse(cudaErrorNotSupported, "clusters need compute capability 9");
  if (cluster.x == 0 || cluster.y == 0 || cluster.z == 0) {
    return refuse(cudaErrorInvalidConfiguration, "a dimension of the cluster is 0");
  }
  const std::uint64_t size = std::uint64_t{cluster.x} * cluster.y * cluster.z;
  if (size > 8) {
    return refuse(cudaErrorInvalidClusterSize, "too many blocks in a cluster: ", size);
  }
  if (grid.x % cluster.x != 0 || grid.y % cluster.y != 0 || grid.z % cluster.z != 0) {
    return refuse(cudaErrorInvalidConfiguration, "the cluster does not divide the grid");
  }
  return cudaSuccess;
}

void run_kernel(const Launch& launch, const tagix_emulator::Grid& grid) {
  for (const void* pointer : launch.pointers) {
    if (pointer == nullptr) continue;
    const auto found = find_allocation(pointer, true);
    if (found == device.allocations.end() || !found->second.ready) {
      set_fault(cudaErrorIllegalAddress, name_of(launch),
                ": an argument points to memory that is not the device's (any more)");
      return;
    }
  }
  const std::string wrong = tagix_emulator::run_grid(grid);
  if (!wrong.empty()) set_fault(cudaErrorLaunchFailure, name_of(launch), ": ", wrong);
}

cudaError_t submit_kernel(const cudaLaunchConfig_t& config, Launch launch) {
  const Stream stream = find_stream(config.stream);
  if (stream == nullptr || stream->device != current_device) return no_stream("launch");
  tagix_emulator::Grid grid{config.gridDim, config.blockDim, dim3(1, 1, 1), config.dynamicSmemBytes,
                            std::move(launch.thread)};
  if (const cudaError_t error = check_dimensions(grid.blocks, grid.threads); error != cudaSuccess) {
    return error;
  }
  const auto asked = device.shared_bytes.find(launch.kernel);
  const Bytes allowed =
      asked == device.shared_bytes.end() ? default_shared_bytes : static_cast<Bytes>(asked->second);
  if (grid.shared_bytes > allowed) {
    return refuse(cudaErrorInvalidValue, grid.shared_bytes, " bytes of shared memory, where ",
                  allowed, " are allowed for the kernel");
  }
  if (config.numAttrs > 0 && config.attrs == nullptr) {
    return refuse(cudaErrorInvalidValue, "launch: no attributes");
  }
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config.attrs[i];
    if (attribute.id != cudaLaunchAttributeClusterDimension) {
      return refuse(cudaErrorNotSupported, "the emulator has no launch attribute ", attribute.id);
    }
    const auto& shape = attribute.val.clusterDim;
    grid.cluster = dim3(shape.x, shape.y, shape.z);
    if (const cudaError_t error = check_cluster(grid.blocks, grid.cluster); error != cudaSuccess) {
      return error;
    }
  }
  return submit("launch", stream,
                [launch = std::move(launch), grid = std::move(grid)] { run_kernel(launch, grid); });
}

template <class Map, class Handle>
cudaError_t destroy(const char* name, Map& map, Handle handle) {
  if (map.erase(handle) == 0) {
    return refuse(cudaErrorInvalidResourceHandle, name, ": no such handle");
  }
  return cudaSuccess;
}

struct ErrorText {
  cudaError_t error;
  const char *name, *text;
};

#define TAGIX_EMULATOR_ERROR(name, text) {name, #name, text}
constexpr ErrorText error_texts[] = {
    TAGIX_EMULATOR_ERROR(cudaSuccess, "no error"),
    TAGIX_EMULATOR_ERROR(cudaErrorInvalidValue, "invalid argument"),
    TAGIX_EMULATOR_ERROR(cudaErrorMemoryAllocation, "out of memory"),
    TAGIX_EMULATOR_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    TAGIX_EMULATOR_ERROR(cudaErrorInsufficientDriver,
                         "CUDA driver version is insufficient for CUDA runtime version"),
    TAGIX_EMULATOR_ERROR(cudaErrorInvalidDeviceFunction, "invalid device function"),
    TAGIX_EMULATOR_ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    TAGIX_EMULATOR_ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    TAGIX_EMULATOR_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    TAGIX_EMULATOR_ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    TAGIX_EMULATOR_ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
    TAGIX_EMULATOR_ERROR(cudaErrorNotSupported, "operation not supported"),
    TAGIX_EMULATOR_ERROR(cudaErrorStreamCaptureUnsupported,
                         "operation not permitted when stream is capturing"),
    TAGIX_EMULATOR_ERROR(cudaErrorStreamCaptureInvalidated,
                         "operation failed due to a previous error during capture"),
    TAGIX_EMULATOR_ERROR(cudaErrorStreamCaptureWrongThread,
                         "attempt to terminate a thread-local capture sequence from another "
                         "thread"),
    TAGIX_EMULATOR_ERROR(cudaErrorInvalidClusterSize,
                         "a kernel launch error has occurred due to cluster misconfiguration"),
};
#undef TAGIX_EMULATOR_ERROR

const ErrorText* find_error(cudaError_t error) {
  for (const ErrorText& known : error_texts) {
    if (known.error == error) return &known;
  }
  return nullptr;
}

cudaError_t no_device(const char* name) {
  return refuse(cudaErrorInvalidDevice, name, ": no such device");
}

bool exists(int index) { return index >= 0 && index < device.count; }

}  // namespace

// Errors, versions and devices.

const char* cudaGetErrorName(cudaError_t error) {
  const ErrorText* const known = find_error(error);
  return known == nullptr ? "unrecognized error code" : known->name;
}

const char* cudaGetErrorString(cudaError_t error) {
  const ErrorText* const known = find_error(error);
  if (known == nullptr) return "unrecognized error code";
  const std::lock_guard guard(lock);
  if (error == cudaSuccess || error != device.fault) return known->text;
  static std::set<std::string> texts;  // callers keep the pointer
  return texts.insert(std::string(known->text) + " (" + message + ")").first->c_str();
}

cudaError_t cudaGetLastError() {
  const std::lock_guard guard(lock);
  const cudaError_t error = device.fault != cudaSuccess ? device.fault : last_error;
  last_error = cudaSuccess;
  return error;
}

cudaError_t cudaDriverGetVersion(int* version) {
  const std::lock_guard guard(lock);
  if (version == nullptr) return last_error = cudaErrorInvalidValue;
  *version = device.driver_version;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  if (version == nullptr) return last_error = cudaErrorInvalidValue;
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  if (count != nullptr) *count = 0;
  return call("cudaGetDeviceCount", [&] {
    if (count == nullptr) return refuse(cudaErrorInvalidValue, "cudaGetDeviceCount: null pointer");
    *count = device.count;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDevice(int* index) {
  return call("cudaGetDevice", [&] {
    if (index == nullptr) return refuse(cudaErrorInvalidValue, "cudaGetDevice: null pointer");
    *index = current_device;
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int index) {
  return call("cudaSetDevice", [&] {
    if (!exists(index)) return no_device("cudaSetDevice");
    current_device = index;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int index) {
  return call("cudaGetDeviceProperties", [&] {
    if (properties == nullptr) {
      return refuse(cudaErrorInvalidValue, "cudaGetDeviceProperties: null pointer");
    }
    if (!exists(index)) return no_device("cudaGetDeviceProperties");
    *properties = {};
    std::strcpy(properties->name, "emulated device");
    properties->major = device.major;
    properties->minor = device.minor;
    properties->sharedMemPerBlockOptin = max_shared_bytes();
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int index) {
  return call("cudaDeviceGetAttribute", [&] {
    if (value == nullptr) {
      return refuse(cudaErrorInvalidValue, "cudaDeviceGetAttribute: null pointer");
    }
    if (!exists(index)) return no_device("cudaDeviceGetAttribute");
    switch (attribute) {
      case cudaDevAttrComputeCapabilityMajor:
        *value = device.major;
        return cudaSuccess;
      case cudaDevAttrComputeCapabilityMinor:
        *value = device.minor;
        return cudaSuccess;
      case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = static_cast<int>(max_shared_bytes());
        return cudaSuccess;
    }
    return refuse(cudaErrorInvalidValue, "cudaDeviceGetAttribute: no such attribute");
  });
}

cudaError_t cudaDeviceSynchronize() {
  return call("cudaDeviceSynchronize", [&] {
    if (!device.captures.empty()) {
      for (const auto& capture : device.captures) capture->valid = false;
      return refuse(cudaErrorStreamCaptureUnsupported,
                    "cudaDeviceSynchronize: not allowed during a capture");
    }
    finish_device(current_device);
    return cudaSuccess;
  });
}

// Memory.

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

namespace {

/// After a fault a call that frees returns the fault, but memory goes back all the same, so that
/// the destructors of what a test leaves behind leave nothing.
void free_after_fault(void* pointer) {
  const std::lock_guard guard(lock);
  if (device.fault != cudaSuccess) release(address_of(pointer));
}

}  // namespace

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

// Streams.

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* handle, unsigned flags) {
  return call("cudaStreamCreateWithFlags", [&] {
    if (handle == nullptr || flags != cudaStreamNonBlocking) {
      return refuse(cudaErrorInvalidValue, "cudaStreamCreateWithFlags: invalid argument");
    }
    const auto stream = std::make_shared<CUstream_st>();
    stream->device = current_device;
    *handle = stream.get();
    device.streams[*handle] = stream;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return call("cudaStreamSynchronize", [&] {
    const Stream stream = find_stream(handle);
    if (stream == nullptr) return no_stream("cudaStreamSynchronize");
    cudaError_t error = refuse_captured("cudaStreamSynchronize", stream);
    if (error == cudaSuccess) error = refuse_in_capture("cudaStreamSynchronize");
    if (error == cudaSuccess) finish(*stream);
    return error;
  });
}

// Graphs.

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  constexpr const char* name = "cudaStreamBeginCapture";
  return call(name, [&] {
    const Stream stream = find_stream(handle);
    if (stream == nullptr) return no_stream(name);
    if (mode != cudaStreamCaptureModeThreadLocal) {
      return refuse(cudaErrorInvalidValue, name, ": no such mode");
    }
    if (stream->capture != nullptr) {
      return refuse(cudaErrorInvalidValue, name, ": the stream is being captured already");
    }
    stream->capture = std::make_shared<Capture>();
    stream->capture->thread = std::this_thread::get_id();
    device.captures.push_back(stream->capture);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  constexpr const char* name = "cudaStreamEndCapture";
  return call(name, [&] {
    if (graph == nullptr) return refuse(cudaErrorInvalidValue, name, ": null pointer");
    *graph = nullptr;
    const Stream stream = find_stream(handle);
    if (stream == nullptr) return no_stream(name);
    if (stream->capture == nullptr) {
      return refuse(cudaErrorInvalidValue, name, ": the stream is not being captured");
    }
    if (stream->capture->thread != std::this_thread::get_id()) {
      return refuse(cudaErrorStreamCaptureWrongThread, name,
                    ": the capture began in another thread");
    }
    const std::shared_ptr<Capture> capture = std::move(stream->capture);
    stream->capture = nullptr;
    std::erase(device.captures, capture);
    if (!capture->valid) {
      return refuse(cudaErrorStreamCaptureInvalidated, name, ": the capture was invalidated");
    }
    const auto made = std::make_shared<CUgraph_st>(CUgraph_st{std::move(capture->work)});
    *graph = made.get();
    device.graphs[*graph] = made;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return call("cudaGraphInstantiate", [&] {
    if (exec == nullptr || !device.graphs.contains(graph)) {
      return refuse(cudaErrorInvalidValue, "cudaGraphInstantiate: invalid argument");
    }
    const auto made = std::make_shared<CUgraphExec_st>(CUgraphExec_st{graph->work});
    *exec = made.get();
    device.execs[*exec] = made;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t handle) {
  constexpr const char* name = "cudaGraphLaunch";
  return call(name, [&] {
    const Stream stream = find_stream(handle);
    if (stream == nullptr) return no_stream(name);
    const auto found = device.execs.find(exec);
    if (found == device.execs.end()) {
      return refuse(cudaErrorInvalidValue, name, ": no such graph");
    }
    if (const cudaError_t error = refuse_captured(name, stream); error != cudaSuccess) {
      return error;
    }
    return submit(name, stream, [graph = found->second] {
      for (const Work& work : graph->work) run(work);
    });
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  return call("cudaGraphExecDestroy",
              [&] { return destroy("cudaGraphExecDestroy", device.execs, exec); });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return call("cudaGraphDestroy",
              [&] { return destroy("cudaGraphDestroy", device.graphs, graph); });
}

// Kernels.

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  constexpr const char* name = "cudaFuncSetAttribute";
  return call(name, [&] {
    if (kernel == nullptr) return refuse(cudaErrorInvalidDeviceFunction, name, ": no kernel");
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) {
      return refuse(cudaErrorInvalidValue, name, ": no such attribute");
    }
    if (value < 0 || static_cast<Bytes>(value) > max_shared_bytes()) {
      return refuse(cudaErrorInvalidValue, name, ": ", value, " bytes of shared memory, where ",
                    max_shared_bytes(), " is the most");
    }
    device.shared_bytes[kernel] = value;
    return cudaSuccess;
  });
}

namespace tagix_emulator {

cudaError_t launch(const cudaLaunchConfig_t* config, Launch launch) {
  return call("cudaLaunchKernelEx", [&] {
    if (config == nullptr || launch.kernel == nullptr) {
      return refuse(cudaErrorInvalidValue, "cudaLaunchKernelEx: null pointer");
    }
    return submit_kernel(*config, std::move(launch));
  });
}

std::string last_message() {
  const std::lock_guard guard(lock);
  return message;
}

std::size_t live_allocations() {
  const std::lock_guard guard(lock);
  return static_cast<Bytes>(std::count_if(device.allocations.begin(), device.allocations.end(),
                                          [](const auto& entry) { return !entry.second.freeing; }));
}

void reset() {
  const std::lock_guard guard(lock);
  while (!device.allocations.empty()) release(device.allocations.begin()->first);
  device = Device{};
  message.clear();
  last_error = cudaSuccess;
  current_device = 0;
  seed_order(1);
}

void set_device_count(int count) {
  const std::lock_guard guard(lock);
  device.count = count;
}

void set_driver_version(int version) {
  const std::lock_guard guard(lock);
  device.driver_version = version;
}

void set_compute_capability(int major, int minor) {
  const std::lock_guard guard(lock);
  device.major = major;
  device.minor = minor;
}

void fail_next_allocation(int n_before) {
  const std::lock_guard guard(lock);
  device.n_allocations_before_failure = n_before;
}

}  // namespace tagix_emulator
