// The host half of the emulator: one lock, under which every call of the runtime runs, and with it
// the device work that the call needs.
//
// A stream is a queue of operations, numbered from 1. An operation may have to come after
// operations of other streams, which were queued earlier, so there are no cycles. What a call waits
// for runs, and nothing else: streams that nobody waits for stay behind as far as they can.
//
// During a capture the operations become nodes of a graph with their dependencies; a replay runs
// them in any order that these allow.

#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <iterator>
#include <limits>
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
#define ASAN_POISON_MEMORY_REGION(address, size) (static_cast<void>(address))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) (static_cast<void>(address))
#endif

using tagix_emulator::Launch;
using Clock = std::chrono::steady_clock;
using Bytes = std::size_t;

namespace {

using Work = std::function<void()>;

struct Dependency {
  std::shared_ptr<CUstream_st> stream;
  std::uint64_t position = 0;
};

struct Operation {
  std::vector<Dependency> after;
  Work work;
};

struct Node {
  std::vector<Bytes> after;
  Work work;
};

struct Capture {
  CUstream_st* origin = nullptr;
  cudaStreamCaptureMode mode{};
  std::thread::id thread;
  bool valid = true;
  std::vector<Node> nodes;
  std::vector<std::shared_ptr<CUstream_st>> streams;  // those that take part
};

struct Recording {
  bool done = false;
  Clock::time_point time;
};

}  // namespace

struct CUstream_st {
  bool blocking = true;  // in order with the legacy stream
  int device = 0;
  std::deque<Operation> queue;
  std::uint64_t n_queued = 0, n_done = 0;
  std::shared_ptr<Capture> capture;
  std::vector<Bytes> frontier;  // the nodes that the next one of this stream comes after
};

struct CUevent_st {
  bool timed = true;
  int device = 0;
  Dependency at;
  std::shared_ptr<Recording> recording;  // null until it is recorded
  std::shared_ptr<Capture> capture;      // where it was recorded last, if in a capture
  std::vector<Bytes> frontier;
};

struct CUgraph_st {
  std::vector<Node> nodes;
};

struct CUgraphExec_st {
  std::vector<Node> nodes;
};

struct CUmemPoolHandle_st {};

namespace {

using Stream = std::shared_ptr<CUstream_st>;
using Event = std::shared_ptr<CUevent_st>;

constexpr Bytes kibi = 1024;
constexpr Bytes default_shared_bytes = 48 * kibi, total_memory = Bytes{64} << 30;

struct Allocation {
  Bytes size = 0;
  bool device = false;
  int on = 0;            // which device
  bool ready = true;     // false until a cudaMallocAsync comes to its turn
  bool freeing = false;  // true from cudaFreeAsync until its turn
};

struct KernelSettings {
  int shared_bytes = default_shared_bytes;
  bool large_clusters = false;
};

struct Device {
  int count = 1, driver_version = CUDART_VERSION;
  int major = 9, minor = 0, n_multiprocessors = 132;
  int n_allocations_before_failure = -1;

  std::map<std::uintptr_t, Allocation> allocations;
  std::map<CUstream_st*, Stream> streams;
  std::map<CUevent_st*, Event> events;
  std::map<CUgraph_st*, std::shared_ptr<CUgraph_st>> graphs;
  std::map<CUgraphExec_st*, std::shared_ptr<CUgraphExec_st>> execs;
  std::vector<Stream> pending;   // destroyed before their work was done
  std::map<int, Stream> legacy;  // of each device
  std::vector<std::shared_ptr<Capture>> captures;
  std::map<const void*, KernelSettings> kernels;

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
  if (allocation.device) {
    ASAN_POISON_MEMORY_REGION(reinterpret_cast<void*>(start), allocation.size);
  }
}

void unpoison(std::uintptr_t start, const Allocation& allocation) {
  if (allocation.device && allocation.ready) {
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

cudaError_t allocate(const char* name, void** pointer, Allocation allocation) {
  if (pointer == nullptr) return refuse(cudaErrorInvalidValue, name, ": null pointer");
  *pointer = nullptr;
  if (allocation.size == 0) return cudaSuccess;
  void* memory = nullptr;
  if (device.n_allocations_before_failure >= 0 && device.n_allocations_before_failure-- == 0) {
    return refuse(cudaErrorMemoryAllocation, name, ": made to fail");
  }
  if (allocation.size > total_memory || posix_memalign(&memory, 256, allocation.size) != 0) {
    return refuse(cudaErrorMemoryAllocation, name, ": ", allocation.size, " bytes");
  }
  std::memset(memory, 0xff, allocation.size);
  allocation.on = current_device;
  device.allocations[address_of(memory)] = allocation;
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

const Stream& legacy_stream(int index) {
  Stream& stream = device.legacy[index];
  if (stream == nullptr) {
    stream = std::make_shared<CUstream_st>();
    stream->device = index;
  }
  return stream;
}

bool is_legacy(const Stream& stream) { return stream == legacy_stream(stream->device); }

/// The stream behind a handle, or null.
Stream find_stream(cudaStream_t handle) {
  if (handle == nullptr || handle == cudaStreamLegacy) return legacy_stream(current_device);
  const auto found = device.streams.find(handle);
  return found == device.streams.end() ? nullptr : found->second;
}

cudaError_t no_stream(const char* name) {
  return refuse(cudaErrorInvalidResourceHandle, name, ": no such stream");
}

void run_until(CUstream_st& stream, std::uint64_t position) {
  while (stream.n_done < position) {
    const Operation operation = std::move(stream.queue.front());
    stream.queue.pop_front();
    for (const Dependency& before : operation.after) run_until(*before.stream, before.position);
    if (device.fault == cudaSuccess && operation.work) {
      const DeviceScope scope;
      operation.work();
    }
    ++stream.n_done;
  }
}

void finish(CUstream_st& stream) {
  const DeviceScope scope;
  run_until(stream, stream.n_queued);
}

std::vector<Stream> all_streams(int index) {
  std::vector<Stream> streams{legacy_stream(index)};
  for (const auto& [handle, stream] : device.streams) streams.push_back(stream);
  streams.insert(streams.end(), device.pending.begin(), device.pending.end());
  std::erase_if(streams, [&](const Stream& stream) { return stream->device != index; });
  return streams;
}

void finish_device(int index) {
  std::vector<Stream> streams = all_streams(index);
  const DeviceScope scope;
  while (!streams.empty()) {
    const auto drawn =
        streams.begin() + static_cast<std::ptrdiff_t>(tagix_emulator::random_below(streams.size()));
    run_until(**drawn, (*drawn)->n_queued);
    streams.erase(drawn);
  }
  std::erase_if(device.pending, [](const Stream& stream) { return stream->queue.empty(); });
}

/// Queues the work, or makes it a node of the graph that the stream is captured into.
cudaError_t submit(const char* name, const Stream& stream, Work work,
                   std::vector<Dependency> after = {}) {
  if (stream->capture != nullptr) {
    Capture& capture = *stream->capture;
    if (!capture.valid) {
      return refuse(cudaErrorStreamCaptureInvalidated, name, ": the capture was invalidated");
    }
    capture.nodes.push_back({stream->frontier, std::move(work)});
    stream->frontier = {capture.nodes.size() - 1};
    return cudaSuccess;
  }
  if (is_legacy(stream)) {
    for (const std::shared_ptr<Capture>& capture : device.captures) {
      if (std::none_of(capture->streams.begin(), capture->streams.end(),
                       [](const Stream& other) { return other->blocking; })) {
        continue;
      }
      capture->valid = false;
      return refuse(cudaErrorStreamCaptureImplicit, name,
                    ": the legacy stream would wait for a stream that is being captured");
    }
    for (const Stream& other : all_streams(stream->device)) {
      if (other != stream && other->blocking && !other->queue.empty()) {
        after.push_back({other, other->n_queued});
      }
    }
  } else if (stream->blocking && !legacy_stream(stream->device)->queue.empty()) {
    const Stream& legacy = legacy_stream(stream->device);
    after.push_back({legacy, legacy->n_queued});
  }
  stream->queue.push_back({std::move(after), std::move(work)});
  ++stream->n_queued;
  return cudaSuccess;
}

/// Refuses a call that CUDA does not allow while this thread, or any in the global mode, captures.
cudaError_t refuse_in_capture(const char* name) {
  bool refused = false;
  for (const std::shared_ptr<Capture>& capture : device.captures) {
    const bool global = capture->mode == cudaStreamCaptureModeGlobal;
    const bool own = capture->mode == cudaStreamCaptureModeThreadLocal &&
                     capture->thread == std::this_thread::get_id();
    if (!global && !own) continue;
    capture->valid = false;
    refused = true;
  }
  if (!refused) return cudaSuccess;
  return refuse(cudaErrorStreamCaptureUnsupported, name, ": not allowed during a capture");
}

cudaError_t refuse_captured(const char* name, const Stream& stream) {
  if (stream->capture == nullptr) return refuse_in_capture(name);
  stream->capture->valid = false;
  return refuse(cudaErrorStreamCaptureUnsupported, name, ": the stream is being captured");
}

// Copies.

/// What is wrong with `size` bytes from `pointer` on as device or host memory, or null. Sets
/// `pageable`.
const char* check_range(const void* pointer, Bytes size, bool on_device, bool* pageable) {
  *pageable = false;
  if (pointer == nullptr) return "null pointer";
  const auto found = find_allocation(pointer);
  if (found == device.allocations.end()) {
    *pageable = true;
    return on_device ? "not device memory" : nullptr;
  }
  const Allocation& allocation = found->second;
  if (on_device && !allocation.device) return "not device memory";
  if (!on_device && allocation.device) return "device memory in place of host memory";
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
  void* to = nullptr;
  const void* from = nullptr;
  Bytes size = 0;
  bool to_device = false, from_device = false, to_pageable = false, from_pageable = false;
  std::shared_ptr<std::vector<char>> snapshot = {};  // of pageable memory, taken by the call

  void run(const char* name) const {
    if (!to_pageable && !still_there(name, to, size)) return;
    if (!from_pageable && !still_there(name, from, size)) return;
    std::memmove(to, snapshot == nullptr ? from : snapshot->data(), size);
  }
};

cudaError_t submit_copy(const char* name, Copy copy, cudaMemcpyKind kind, const Stream& stream) {
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) {
    return refuse(cudaErrorInvalidMemcpyDirection, name, ": no such direction");
  }
  if (copy.size == 0) return cudaSuccess;
  const auto on_device = [](const void* pointer) {
    const auto found = find_allocation(pointer);
    return found != device.allocations.end() && found->second.device;
  };
  const bool infer = kind == cudaMemcpyDefault;
  copy.to_device = infer ? on_device(copy.to)
                         : kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  copy.from_device = infer ? on_device(copy.from)
                           : kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  const char* wrong = check_range(copy.to, copy.size, copy.to_device, &copy.to_pageable);
  if (wrong != nullptr) return refuse(cudaErrorInvalidValue, name, ": the destination is ", wrong);
  wrong = check_range(copy.from, copy.size, copy.from_device, &copy.from_pageable);
  if (wrong != nullptr) return refuse(cudaErrorInvalidValue, name, ": the source is ", wrong);
  if (stream->capture != nullptr && (copy.to_pageable || copy.from_pageable)) {
    stream->capture->valid = false;
    return refuse(cudaErrorStreamCaptureUnsupported, name,
                  ": host memory must be pinned during a capture");
  }
  if (copy.from_pageable) {
    const char* const bytes = static_cast<const char*>(copy.from);
    copy.snapshot = std::make_shared<std::vector<char>>(bytes, bytes + copy.size);
  }
  return submit(name, stream, [name, copy] { copy.run(name); });
}

cudaError_t submit_set(const char* name, void* pointer, int value, Bytes size,
                       const Stream& stream) {
  if (size == 0) return cudaSuccess;
  bool pageable = false;
  if (const char* wrong = check_range(pointer, size, true, &pageable); wrong != nullptr) {
    return refuse(cudaErrorInvalidValue, name, ": ", wrong);
  }
  return submit(name, stream, [=] {
    if (still_there(name, pointer, size)) std::memset(pointer, value, size);
  });
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

Bytes shared_bytes_per_multiprocessor() { return max_shared_bytes() + kibi; }

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

cudaError_t check_cluster(const dim3& grid, const dim3& cluster, const KernelSettings& kernel) {
  if (device.major < 9) return refuse(cudaErrorNotSupported, "clusters need compute capability 9");
  if (cluster.x == 0 || cluster.y == 0 || cluster.z == 0) {
    return refuse(cudaErrorInvalidConfiguration, "a dimension of the cluster is 0");
  }
  const std::uint64_t size = std::uint64_t{cluster.x} * cluster.y * cluster.z;
  if (size > (kernel.large_clusters ? 16u : 8u)) {
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
  const KernelSettings settings =
      device.kernels.contains(launch.kernel) ? device.kernels[launch.kernel] : KernelSettings{};
  if (grid.shared_bytes > static_cast<Bytes>(settings.shared_bytes)) {
    return refuse(cudaErrorInvalidValue, grid.shared_bytes, " bytes of shared memory, where ",
                  settings.shared_bytes, " are allowed for the kernel");
  }
  if (config.numAttrs > 0 && config.attrs == nullptr) {
    return refuse(cudaErrorInvalidValue, "launch: no attributes");
  }
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config.attrs[i];
    if (attribute.id == cudaLaunchAttributeIgnore || attribute.id == cudaLaunchAttributePriority) {
      continue;
    }
    if (attribute.id != cudaLaunchAttributeClusterDimension) {
      return refuse(cudaErrorNotSupported, "the emulator has no launch attribute ", attribute.id);
    }
    const auto& shape = attribute.val.clusterDim;
    grid.cluster = dim3(shape.x, shape.y, shape.z);
    if (const cudaError_t error = check_cluster(grid.blocks, grid.cluster, settings);
        error != cudaSuccess) {
      return error;
    }
  }
  return submit("launch", stream,
                [launch = std::move(launch), grid = std::move(grid)] { run_kernel(launch, grid); });
}

// Graphs.

void run_graph(const std::vector<Node>& nodes) {
  std::vector<Bytes> n_before(nodes.size()), ready;
  std::vector<std::vector<Bytes>> then(nodes.size());
  for (Bytes i = 0; i < nodes.size(); ++i) {
    n_before[i] = nodes[i].after.size();
    for (Bytes before : nodes[i].after) then[before].push_back(i);
    if (n_before[i] == 0) ready.push_back(i);
  }
  while (!ready.empty() && device.fault == cudaSuccess) {
    std::swap(ready[tagix_emulator::random_below(ready.size())], ready.back());
    const Bytes i = ready.back();
    ready.pop_back();
    if (nodes[i].work) nodes[i].work();
    for (Bytes next : then[i]) {
      if (--n_before[next] == 0) ready.push_back(next);
    }
  }
}

/// Whether all nodes come before the frontier or are part of it.
bool all_joined(const std::vector<Node>& nodes, const std::vector<Bytes>& frontier) {
  std::vector<bool> seen(nodes.size());
  std::vector<Bytes> left = frontier;
  Bytes n_seen = 0;
  while (!left.empty()) {
    const Bytes i = left.back();
    left.pop_back();
    if (seen[i]) continue;
    seen[i] = true;
    ++n_seen;
    left.insert(left.end(), nodes[i].after.begin(), nodes[i].after.end());
  }
  return n_seen == nodes.size();
}

template <class Map, class Handle>
cudaError_t destroy(const char* name, Map& map, Handle handle) {
  if (map.erase(handle) == 0) {
    return refuse(cudaErrorInvalidResourceHandle, name, ": no such handle");
  }
  return cudaSuccess;
}

/// Frees everything; settings stay.
void clear_device() {
  device.captures.clear();
  for (const auto& [handle, stream] : device.streams) stream->queue.clear();
  for (const auto& [index, stream] : device.legacy) stream->queue.clear();
  for (const Stream& stream : device.pending) stream->queue.clear();
  device.streams.clear();
  device.legacy.clear();
  device.pending.clear();
  device.events.clear();
  device.graphs.clear();
  device.execs.clear();
  device.kernels.clear();
  while (!device.allocations.empty()) release(device.allocations.begin()->first);
  device.fault = cudaSuccess;
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
    TAGIX_EMULATOR_ERROR(cudaErrorInitializationError, "initialization error"),
    TAGIX_EMULATOR_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    TAGIX_EMULATOR_ERROR(cudaErrorInvalidDevicePointer, "invalid device pointer"),
    TAGIX_EMULATOR_ERROR(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"),
    TAGIX_EMULATOR_ERROR(cudaErrorInsufficientDriver,
                         "CUDA driver version is insufficient for CUDA runtime version"),
    TAGIX_EMULATOR_ERROR(cudaErrorInvalidDeviceFunction, "invalid device function"),
    TAGIX_EMULATOR_ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    TAGIX_EMULATOR_ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    TAGIX_EMULATOR_ERROR(cudaErrorNoKernelImageForDevice,
                         "no kernel image is available for execution on the device"),
    TAGIX_EMULATOR_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    TAGIX_EMULATOR_ERROR(cudaErrorNotReady, "device not ready"),
    TAGIX_EMULATOR_ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    TAGIX_EMULATOR_ERROR(cudaErrorLaunchOutOfResources, "too many resources requested for launch"),
    TAGIX_EMULATOR_ERROR(cudaErrorMisalignedAddress, "misaligned address"),
    TAGIX_EMULATOR_ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
    TAGIX_EMULATOR_ERROR(cudaErrorNotPermitted, "operation not permitted"),
    TAGIX_EMULATOR_ERROR(cudaErrorNotSupported, "operation not supported"),
    TAGIX_EMULATOR_ERROR(cudaErrorStreamCaptureUnsupported,
                         "operation not permitted when stream is capturing"),
    TAGIX_EMULATOR_ERROR(cudaErrorStreamCaptureInvalidated,
                         "operation failed due to a previous error during capture"),
    TAGIX_EMULATOR_ERROR(cudaErrorStreamCaptureMerge,
                         "operation would result in a merge of separate capture sequences"),
    TAGIX_EMULATOR_ERROR(cudaErrorStreamCaptureUnmatched,
                         "capture was not ended in the same stream as it began"),
    TAGIX_EMULATOR_ERROR(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    TAGIX_EMULATOR_ERROR(cudaErrorStreamCaptureIsolation,
                         "dependency created on uncaptured work in another stream"),
    TAGIX_EMULATOR_ERROR(cudaErrorStreamCaptureImplicit,
                         "operation would make the legacy stream depend on a capturing blocking "
                         "stream"),
    TAGIX_EMULATOR_ERROR(cudaErrorCapturedEvent,
                         "operation not permitted on an event last recorded in a capturing stream"),
    TAGIX_EMULATOR_ERROR(cudaErrorStreamCaptureWrongThread,
                         "attempt to terminate a thread-local capture sequence from another "
                         "thread"),
    TAGIX_EMULATOR_ERROR(cudaErrorInvalidClusterSize,
                         "a kernel launch error has occurred due to cluster misconfiguration"),
    TAGIX_EMULATOR_ERROR(cudaErrorUnknown, "unknown error"),
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

cudaError_t cudaPeekAtLastError() {
  const std::lock_guard guard(lock);
  return device.fault != cudaSuccess ? device.fault : last_error;
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
    cudaDeviceProp p{};
    std::strcpy(p.name, "emulated device");
    p.totalGlobalMem = total_memory;
    p.sharedMemPerBlock = default_shared_bytes;
    p.regsPerBlock = p.regsPerMultiprocessor = 65536;
    p.warpSize = warpSize;
    p.maxThreadsPerBlock = max_threads;
    p.maxThreadsDim[0] = p.maxThreadsDim[1] = max_threads;
    p.maxThreadsDim[2] = 64;
    p.maxGridSize[0] = 2147483647;
    p.maxGridSize[1] = p.maxGridSize[2] = 65535;
    p.major = device.major;
    p.minor = device.minor;
    p.multiProcessorCount = device.n_multiprocessors;
    p.l2CacheSize = 50 << 20;
    p.maxThreadsPerMultiProcessor = 2048;
    p.sharedMemPerMultiprocessor = shared_bytes_per_multiprocessor();
    p.sharedMemPerBlockOptin = max_shared_bytes();
    p.maxBlocksPerMultiProcessor = 32;
    p.reservedSharedMemPerBlock = kibi;
    p.concurrentKernels = p.unifiedAddressing = p.memoryPoolsSupported = 1;
    p.asyncEngineCount = 3;
    p.clusterLaunch = device.major >= 9;
    *properties = p;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int index) {
  cudaDeviceProp p{};
  if (const cudaError_t error = cudaGetDeviceProperties(&p, index); error != cudaSuccess) {
    return error;
  }
  return call("cudaDeviceGetAttribute", [&] {
    if (value == nullptr) {
      return refuse(cudaErrorInvalidValue, "cudaDeviceGetAttribute: null pointer");
    }
    switch (attribute) {
      case cudaDevAttrMaxThreadsPerBlock:
        *value = p.maxThreadsPerBlock;
        break;
      case cudaDevAttrMaxBlockDimX:
        *value = p.maxThreadsDim[0];
        break;
      case cudaDevAttrMaxBlockDimY:
        *value = p.maxThreadsDim[1];
        break;
      case cudaDevAttrMaxBlockDimZ:
        *value = p.maxThreadsDim[2];
        break;
      case cudaDevAttrMaxGridDimX:
        *value = p.maxGridSize[0];
        break;
      case cudaDevAttrMaxGridDimY:
        *value = p.maxGridSize[1];
        break;
      case cudaDevAttrMaxGridDimZ:
        *value = p.maxGridSize[2];
        break;
      case cudaDevAttrMaxSharedMemoryPerBlock:
        *value = static_cast<int>(p.sharedMemPerBlock);
        break;
      case cudaDevAttrWarpSize:
        *value = p.warpSize;
        break;
      case cudaDevAttrMaxRegistersPerBlock:
        *value = p.regsPerBlock;
        break;
      case cudaDevAttrMultiProcessorCount:
        *value = p.multiProcessorCount;
        break;
      case cudaDevAttrL2CacheSize:
        *value = p.l2CacheSize;
        break;
      case cudaDevAttrMaxThreadsPerMultiProcessor:
        *value = p.maxThreadsPerMultiProcessor;
        break;
      case cudaDevAttrUnifiedAddressing:
        *value = p.unifiedAddressing;
        break;
      case cudaDevAttrComputeCapabilityMajor:
        *value = p.major;
        break;
      case cudaDevAttrComputeCapabilityMinor:
        *value = p.minor;
        break;
      case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
        *value = static_cast<int>(p.sharedMemPerMultiprocessor);
        break;
      case cudaDevAttrCooperativeLaunch:
        *value = p.cooperativeLaunch;
        break;
      case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = static_cast<int>(p.sharedMemPerBlockOptin);
        break;
      case cudaDevAttrMaxBlocksPerMultiprocessor:
        *value = p.maxBlocksPerMultiProcessor;
        break;
      case cudaDevAttrReservedSharedMemoryPerBlock:
        *value = static_cast<int>(p.reservedSharedMemPerBlock);
        break;
      case cudaDevAttrMemoryPoolsSupported:
        *value = p.memoryPoolsSupported;
        break;
      case cudaDevAttrClusterLaunch:
        *value = p.clusterLaunch;
        break;
      default:
        return refuse(cudaErrorInvalidValue, "cudaDeviceGetAttribute: no such attribute");
    }
    return cudaSuccess;
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

cudaError_t cudaDeviceReset() {
  return call("cudaDeviceReset", [&] {
    clear_device();
    return cudaSuccess;
  });
}

// Memory.

cudaError_t cudaMalloc(void** pointer, Bytes size) {
  return call("cudaMalloc", [&] {
    if (const cudaError_t error = refuse_in_capture("cudaMalloc"); error != cudaSuccess) {
      return error;
    }
    return allocate("cudaMalloc", pointer, {.size = size, .device = true});
  });
}

namespace {

/// After a fault a call that frees returns the fault, but memory goes back all the same, so that
/// the destructors of what a test leaves behind leave nothing.
void free_after_fault(void* pointer, bool on_device) {
  const std::lock_guard guard(lock);
  const auto found = device.allocations.find(address_of(pointer));
  if (device.fault == cudaSuccess || found == device.allocations.end()) return;
  if (found->second.device == on_device) release(address_of(pointer));
}

cudaError_t free_memory(const char* name, void* pointer, bool on_device) {
  free_after_fault(pointer, on_device);
  return call(name, [&] {
    if (const cudaError_t error = refuse_in_capture(name); error != cudaSuccess) return error;
    if (pointer == nullptr) return cudaSuccess;
    const auto found = device.allocations.find(address_of(pointer));
    if (found == device.allocations.end() || found->second.device != on_device ||
        found->second.freeing) {
      return refuse(cudaErrorInvalidValue, name, ": not allocated, or freed already");
    }
    // CUDA waits for all work that may use device memory.
    if (on_device) finish_device(found->second.on);
    release(address_of(pointer));
    return cudaSuccess;
  });
}

}  // namespace

cudaError_t cudaFree(void* pointer) { return free_memory("cudaFree", pointer, true); }

cudaError_t cudaFreeHost(void* pointer) { return free_memory("cudaFreeHost", pointer, false); }

cudaError_t cudaMallocAsync(void** pointer, Bytes size, cudaStream_t handle) {
  return call("cudaMallocAsync", [&] {
    const Stream stream = find_stream(handle);
    if (stream == nullptr) return no_stream("cudaMallocAsync");
    if (stream->capture != nullptr) return refuse_captured("cudaMallocAsync", stream);
    const cudaError_t error =
        allocate("cudaMallocAsync", pointer, {.size = size, .device = true, .ready = false});
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
  free_after_fault(pointer, true);
  return call("cudaFreeAsync", [&] {
    const Stream stream = find_stream(handle);
    if (stream == nullptr) return no_stream("cudaFreeAsync");
    if (stream->capture != nullptr) return refuse_captured("cudaFreeAsync", stream);
    const auto found = device.allocations.find(address_of(pointer));
    if (found == device.allocations.end() || !found->second.device || found->second.freeing) {
      return refuse(cudaErrorInvalidValue, "cudaFreeAsync: not allocated, or freed already");
    }
    found->second.freeing = true;
    const std::uintptr_t start = found->first;
    return submit("cudaFreeAsync", stream, [start] { release(start); });
  });
}

cudaError_t cudaHostAlloc(void** pointer, Bytes size, unsigned flags) {
  return call("cudaHostAlloc", [&] {
    if (flags > 7) return refuse(cudaErrorInvalidValue, "cudaHostAlloc: no such flags");
    if (const cudaError_t error = refuse_in_capture("cudaHostAlloc"); error != cudaSuccess) {
      return error;
    }
    return allocate("cudaHostAlloc", pointer, {.size = size, .device = false});
  });
}

cudaError_t cudaMallocHost(void** pointer, Bytes size) {
  return cudaHostAlloc(pointer, size, cudaHostAllocDefault);
}

cudaError_t cudaMemcpy(void* to, const void* from, Bytes size, cudaMemcpyKind kind) {
  return call("cudaMemcpy", [&] {
    const Stream& legacy = legacy_stream(current_device);
    const cudaError_t error =
        submit_copy("cudaMemcpy", {.to = to, .from = from, .size = size}, kind, legacy);
    if (error != cudaSuccess || size == 0) return error;
    // Copies within the device are not waited for.
    const auto source = find_allocation(from), target = find_allocation(to);
    const auto end = device.allocations.end();
    const bool within =
        source != end && target != end && source->second.device && target->second.device;
    if (!within) finish(*legacy);
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, Bytes size, cudaMemcpyKind kind,
                            cudaStream_t handle) {
  return call("cudaMemcpyAsync", [&] {
    const Stream stream = find_stream(handle);
    if (stream == nullptr) return no_stream("cudaMemcpyAsync");
    return submit_copy("cudaMemcpyAsync", {.to = to, .from = from, .size = size}, kind, stream);
  });
}

cudaError_t cudaMemset(void* pointer, int value, Bytes size) {
  return call("cudaMemset", [&] {
    return submit_set("cudaMemset", pointer, value, size, legacy_stream(current_device));
  });
}

cudaError_t cudaMemsetAsync(void* pointer, int value, Bytes size, cudaStream_t handle) {
  return call("cudaMemsetAsync", [&] {
    const Stream stream = find_stream(handle);
    if (stream == nullptr) return no_stream("cudaMemsetAsync");
    return submit_set("cudaMemsetAsync", pointer, value, size, stream);
  });
}

cudaError_t cudaMemGetInfo(Bytes* free, Bytes* total) {
  return call("cudaMemGetInfo", [&] {
    if (free == nullptr || total == nullptr) {
      return refuse(cudaErrorInvalidValue, "cudaMemGetInfo: null pointer");
    }
    *total = *free = total_memory;
    for (const auto& [start, allocation] : device.allocations) {
      if (allocation.device && allocation.on == current_device) *free -= allocation.size;
    }
    return cudaSuccess;
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  return call("cudaPointerGetAttributes", [&] {
    if (attributes == nullptr) {
      return refuse(cudaErrorInvalidValue, "cudaPointerGetAttributes: null pointer");
    }
    void* const same = const_cast<void*>(pointer);
    const auto found = find_allocation(pointer);
    if (found == device.allocations.end()) {
      *attributes = {cudaMemoryTypeUnregistered, -1, nullptr, same};
    } else if (found->second.device) {
      *attributes = {cudaMemoryTypeDevice, found->second.on, same, nullptr};
    } else {
      *attributes = {cudaMemoryTypeHost, found->second.on, same, same};
    }
    return cudaSuccess;
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
    if (pool != &default_pool || value == nullptr ||
        attribute < cudaMemPoolReuseFollowEventDependencies ||
        attribute > cudaMemPoolAttrUsedMemHigh) {
      return refuse(cudaErrorInvalidValue, "cudaMemPoolSetAttribute: invalid argument");
    }
    return cudaSuccess;
  });
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, Bytes) {
  return call("cudaMemPoolTrimTo", [&] {
    if (pool != &default_pool) return refuse(cudaErrorInvalidValue, "cudaMemPoolTrimTo: no pool");
    return cudaSuccess;
  });
}

// Streams and events.

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* handle, unsigned flags) {
  return call("cudaStreamCreateWithFlags", [&] {
    if (handle == nullptr || flags > cudaStreamNonBlocking) {
      return refuse(cudaErrorInvalidValue, "cudaStreamCreateWithFlags: invalid argument");
    }
    const auto stream = std::make_shared<CUstream_st>();
    stream->blocking = flags != cudaStreamNonBlocking;
    stream->device = current_device;
    *handle = stream.get();
    device.streams[*handle] = stream;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  return call("cudaStreamDestroy", [&] {
    const auto found = device.streams.find(handle);
    if (found == device.streams.end()) return no_stream("cudaStreamDestroy");
    const Stream stream = found->second;
    if (stream->capture != nullptr) return refuse_captured("cudaStreamDestroy", stream);
    if (!stream->queue.empty()) device.pending.push_back(stream);
    device.streams.erase(found);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return call("cudaStreamSynchronize", [&] {
    const Stream stream = find_stream(handle);
    if (stream == nullptr) return no_stream("cudaStreamSynchronize");
    if (const cudaError_t error = refuse_captured("cudaStreamSynchronize", stream);
        error != cudaSuccess) {
      return error;
    }
    // The legacy stream is done when the blocking streams are.
    if (is_legacy(stream)) {
      if (const cudaError_t error = submit("cudaStreamSynchronize", stream, nullptr);
          error != cudaSuccess) {
        return error;
      }
    }
    finish(*stream);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return call("cudaStreamQuery", [&] {
    const Stream stream = find_stream(handle);
    if (stream == nullptr) return no_stream("cudaStreamQuery");
    if (const cudaError_t error = refuse_captured("cudaStreamQuery", stream);
        error != cudaSuccess) {
      return error;
    }
    // The legacy stream is done when the blocking streams are.
    std::vector<Stream> streams{stream};
    if (is_legacy(stream)) streams = all_streams(stream->device);
    std::erase_if(streams, [&](const Stream& other) {
      return other->queue.empty() || (other != stream && !other->blocking);
    });
    if (streams.empty()) return cudaSuccess;
    // Some progress, so that who asks again and again comes to an end.
    run_until(*streams.front(), streams.front()->n_done + 1);
    return refuse(cudaErrorNotReady, "cudaStreamQuery: work is left");
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event_handle, unsigned flags) {
  constexpr const char* name = "cudaStreamWaitEvent";
  return call(name, [&] {
    const Stream stream = find_stream(handle);
    if (stream == nullptr) return no_stream(name);
    const auto found = device.events.find(event_handle);
    if (found == device.events.end()) {
      return refuse(cudaErrorInvalidResourceHandle, name, ": no such event");
    }
    if (flags != 0) return refuse(cudaErrorInvalidValue, name, ": no such flags");
    const CUevent_st& event = *found->second;
    if (event.capture == nullptr) {
      if (stream->capture != nullptr) {
        stream->capture->valid = false;
        return refuse(cudaErrorStreamCaptureIsolation, name,
                      ": a captured stream cannot wait for work that is not captured");
      }
      if (event.recording == nullptr || event.recording->done) return cudaSuccess;
      return submit(name, stream, nullptr, {event.at});
    }
    Capture& capture = *event.capture;
    const bool active = std::find(device.captures.begin(), device.captures.end(), event.capture) !=
                        device.captures.end();
    if (!active) {
      return refuse(cudaErrorCapturedEvent, name, ": the event belongs to a capture that ended");
    }
    if (stream->capture == nullptr && is_legacy(stream)) {
      capture.valid = false;
      return refuse(cudaErrorStreamCaptureImplicit, name,
                    ": the legacy stream cannot take part in a capture");
    }
    if (stream->capture != nullptr && stream->capture != event.capture) {
      capture.valid = stream->capture->valid = false;
      return refuse(cudaErrorStreamCaptureMerge, name, ": the event belongs to another capture");
    }
    if (!capture.valid) {
      return refuse(cudaErrorStreamCaptureInvalidated, name, ": the capture was invalidated");
    }
    if (stream->capture == nullptr) {
      stream->capture = event.capture;
      stream->frontier.clear();
      capture.streams.push_back(stream);
    }
    for (Bytes node : event.frontier) {
      if (std::find(stream->frontier.begin(), stream->frontier.end(), node) ==
          stream->frontier.end()) {
        stream->frontier.push_back(node);
      }
    }
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* handle, unsigned flags) {
  return call("cudaEventCreateWithFlags", [&] {
    if (handle == nullptr || flags > (cudaEventBlockingSync | cudaEventDisableTiming)) {
      return refuse(cudaErrorInvalidValue, "cudaEventCreateWithFlags: invalid argument");
    }
    const auto event = std::make_shared<CUevent_st>();
    event->timed = (flags & cudaEventDisableTiming) == 0;
    event->device = current_device;
    *handle = event.get();
    device.events[*handle] = event;
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

namespace {

/// The event behind a handle, not captured; else null, and *error is set.
Event find_event(const char* name, cudaEvent_t handle, cudaError_t* error) {
  const auto found = device.events.find(handle);
  if (found == device.events.end()) {
    *error = refuse(cudaErrorInvalidResourceHandle, name, ": no such event");
    return nullptr;
  }
  if (found->second->capture != nullptr) {
    found->second->capture->valid = false;
    *error = refuse(cudaErrorCapturedEvent, name, ": the event was recorded in a capture");
    return nullptr;
  }
  *error = refuse_in_capture(name);
  return *error == cudaSuccess ? found->second : nullptr;
}

}  // namespace

cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream_handle) {
  return call("cudaEventRecord", [&] {
    const Stream stream = find_stream(stream_handle);
    if (stream == nullptr) return no_stream("cudaEventRecord");
    const auto found = device.events.find(handle);
    if (found == device.events.end() || found->second->device != stream->device) {
      return refuse(cudaErrorInvalidResourceHandle,
                    "cudaEventRecord: no such event on the stream's device");
    }
    CUevent_st& event = *found->second;
    if (stream->capture != nullptr) {
      if (!stream->capture->valid) {
        return refuse(cudaErrorStreamCaptureInvalidated,
                      "cudaEventRecord: the capture was invalidated");
      }
      event.capture = stream->capture;
      event.frontier = stream->frontier;
      event.recording = nullptr;
      return cudaSuccess;
    }
    const auto recording = std::make_shared<Recording>();
    const cudaError_t error = submit("cudaEventRecord", stream, [recording] {
      recording->done = true;
      recording->time = Clock::now();
    });
    if (error != cudaSuccess) return error;
    event.capture = nullptr;
    event.recording = recording;
    event.at = {stream, stream->n_queued};
    return cudaSuccess;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  return call("cudaEventSynchronize", [&] {
    cudaError_t error = cudaSuccess;
    const Event event = find_event("cudaEventSynchronize", handle, &error);
    if (event == nullptr || event->recording == nullptr) return error;
    const DeviceScope scope;
    run_until(*event->at.stream, event->at.position);
    return cudaSuccess;
  });
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
  return call("cudaEventQuery", [&] {
    cudaError_t error = cudaSuccess;
    const Event event = find_event("cudaEventQuery", handle, &error);
    if (event == nullptr || event->recording == nullptr || event->recording->done) return error;
    run_until(*event->at.stream, event->at.stream->n_done + 1);
    return refuse(cudaErrorNotReady, "cudaEventQuery: the event has not happened");
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  constexpr const char* name = "cudaEventElapsedTime";
  return call(name, [&] {
    cudaError_t error = cudaSuccess;
    const Event first = find_event(name, start, &error);
    if (first == nullptr) return error;
    const Event second = find_event(name, end, &error);
    if (second == nullptr) return error;
    if (milliseconds == nullptr) return refuse(cudaErrorInvalidValue, name, ": null pointer");
    if (first->recording == nullptr || second->recording == nullptr || !first->timed ||
        !second->timed) {
      return refuse(cudaErrorInvalidResourceHandle, name, ": not recorded, or without times");
    }
    if (!first->recording->done || !second->recording->done) {
      return refuse(cudaErrorNotReady, name, ": the events have not happened");
    }
    *milliseconds =
        std::chrono::duration<float, std::milli>(second->recording->time - first->recording->time)
            .count();
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return call("cudaEventDestroy",
              [&] { return destroy("cudaEventDestroy", device.events, event); });
}

// Graphs.

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  constexpr const char* name = "cudaStreamBeginCapture";
  return call(name, [&] {
    const Stream stream = find_stream(handle);
    if (stream == nullptr) return no_stream(name);
    if (mode < cudaStreamCaptureModeGlobal || mode > cudaStreamCaptureModeRelaxed) {
      return refuse(cudaErrorInvalidValue, name, ": no such mode");
    }
    if (is_legacy(stream)) {
      return refuse(cudaErrorStreamCaptureUnsupported, name,
                    ": the legacy stream cannot be captured");
    }
    if (stream->capture != nullptr) {
      return refuse(cudaErrorInvalidValue, name, ": the stream is being captured already");
    }
    const auto capture = std::make_shared<Capture>();
    capture->origin = handle;
    capture->mode = mode;
    capture->thread = std::this_thread::get_id();
    capture->streams = {stream};
    stream->capture = capture;
    stream->frontier.clear();
    device.captures.push_back(capture);
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
    const std::shared_ptr<Capture> capture = stream->capture;
    if (capture->origin != handle) {
      capture->valid = false;
      return refuse(cudaErrorStreamCaptureUnmatched, name, ": the capture began in another stream");
    }
    if (capture->mode != cudaStreamCaptureModeRelaxed &&
        capture->thread != std::this_thread::get_id()) {
      return refuse(cudaErrorStreamCaptureWrongThread, name,
                    ": the capture began in another thread");
    }
    const bool joined = all_joined(capture->nodes, stream->frontier);
    for (const Stream& other : capture->streams) other->capture = nullptr;
    std::erase(device.captures, capture);
    if (!capture->valid) {
      return refuse(cudaErrorStreamCaptureInvalidated, name, ": the capture was invalidated");
    }
    if (!joined) {
      return refuse(cudaErrorStreamCaptureUnjoined, name,
                    ": work of another stream was not waited for");
    }
    const auto made = std::make_shared<CUgraph_st>(CUgraph_st{std::move(capture->nodes)});
    *graph = made.get();
    device.graphs[*graph] = made;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return call("cudaStreamIsCapturing", [&] {
    const Stream stream = find_stream(handle);
    if (stream == nullptr) return no_stream("cudaStreamIsCapturing");
    if (status == nullptr) {
      return refuse(cudaErrorInvalidValue, "cudaStreamIsCapturing: null pointer");
    }
    *status = stream->capture == nullptr ? cudaStreamCaptureStatusNone
              : stream->capture->valid   ? cudaStreamCaptureStatusActive
                                         : cudaStreamCaptureStatusInvalidated;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return call("cudaGraphInstantiate", [&] {
    if (exec == nullptr || !device.graphs.contains(graph)) {
      return refuse(cudaErrorInvalidValue, "cudaGraphInstantiate: invalid argument");
    }
    const auto made = std::make_shared<CUgraphExec_st>(CUgraphExec_st{graph->nodes});
    *exec = made.get();
    device.execs[*exec] = made;
    return cudaSuccess;
  });
}

namespace {

cudaError_t submit_graph(const char* name, cudaGraphExec_t handle, cudaStream_t stream_handle,
                         bool run) {
  const Stream stream = find_stream(stream_handle);
  if (stream == nullptr) return no_stream(name);
  const auto found = device.execs.find(handle);
  if (found == device.execs.end()) {
    return refuse(cudaErrorInvalidValue, name, ": no such graph");
  }
  if (stream->capture != nullptr) return refuse_captured(name, stream);
  if (!run) return cudaSuccess;
  return submit(name, stream, [exec = found->second] { run_graph(exec->nodes); });
}

}  // namespace

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream) {
  return call("cudaGraphUpload",
              [&] { return submit_graph("cudaGraphUpload", exec, stream, false); });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  return call("cudaGraphLaunch",
              [&] { return submit_graph("cudaGraphLaunch", exec, stream, true); });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, Bytes* count) {
  return call("cudaGraphGetNodes", [&] {
    if (count == nullptr || !device.graphs.contains(graph)) {
      return refuse(cudaErrorInvalidValue, "cudaGraphGetNodes: invalid argument");
    }
    if (nodes == nullptr) {
      *count = graph->nodes.size();
      return cudaSuccess;
    }
    *count = std::min(*count, graph->nodes.size());
    for (Bytes i = 0; i < *count; ++i) {
      nodes[i] = reinterpret_cast<cudaGraphNode_t>(&graph->nodes[i]);
    }
    return cudaSuccess;
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
    switch (attribute) {
      case cudaFuncAttributeMaxDynamicSharedMemorySize:
        if (value < 0 || static_cast<Bytes>(value) > max_shared_bytes()) {
          return refuse(cudaErrorInvalidValue, name, ": ", value, " bytes of shared memory, where ",
                        max_shared_bytes(), " is the most");
        }
        device.kernels[kernel].shared_bytes = value;
        return cudaSuccess;
      case cudaFuncAttributePreferredSharedMemoryCarveout:
        if (value < -1 || value > 100) {
          return refuse(cudaErrorInvalidValue, name, ": ", value, " percent");
        }
        return cudaSuccess;
      case cudaFuncAttributeNonPortableClusterSizeAllowed:
        device.kernels[kernel].large_clusters = value != 0;
        return cudaSuccess;
    }
    return refuse(cudaErrorInvalidValue, name, ": no such attribute");
  });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel) {
  return call("cudaFuncGetAttributes", [&] {
    if (attributes == nullptr || kernel == nullptr) {
      return refuse(cudaErrorInvalidValue, "cudaFuncGetAttributes: null pointer");
    }
    *attributes = {};
    attributes->maxThreadsPerBlock = max_threads;
    attributes->numRegs = 64;
    attributes->ptxVersion = attributes->binaryVersion = 10 * device.major + device.minor;
    attributes->maxDynamicSharedSizeBytes = default_shared_bytes;
    if (const auto found = device.kernels.find(kernel); found != device.kernels.end()) {
      attributes->maxDynamicSharedSizeBytes = found->second.shared_bytes;
    }
    return cudaSuccess;
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* n_blocks, const void* kernel,
                                                          int block_size,
                                                          Bytes dynamic_shared_bytes) {
  return call("cudaOccupancyMaxActiveBlocksPerMultiprocessor", [&] {
    if (n_blocks == nullptr || kernel == nullptr || block_size <= 0) {
      return refuse(cudaErrorInvalidValue,
                    "cudaOccupancyMaxActiveBlocksPerMultiprocessor: invalid argument");
    }
    const auto found = device.kernels.find(kernel);
    const int allowed = found == device.kernels.end() ? static_cast<int>(default_shared_bytes)
                                                      : found->second.shared_bytes;
    if (static_cast<unsigned>(block_size) > max_threads ||
        dynamic_shared_bytes > static_cast<Bytes>(allowed)) {
      *n_blocks = 0;
      return cudaSuccess;
    }
    const int by_threads = 2048 / ((block_size + warpSize - 1) / warpSize * warpSize);
    const auto by_memory =
        static_cast<int>(shared_bytes_per_multiprocessor() / (dynamic_shared_bytes + kibi));
    *n_blocks = std::min({by_threads, by_memory, 32});
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
  clear_device();
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

void set_multiprocessor_count(int count) {
  const std::lock_guard guard(lock);
  device.n_multiprocessors = count;
}

void set_seed(std::uint64_t seed) {
  const std::lock_guard guard(lock);
  seed_order(seed);
}

void fail_next_allocation(int n_before) {
  const std::lock_guard guard(lock);
  device.n_allocations_before_failure = n_before;
}

}  // namespace tagix_emulator
