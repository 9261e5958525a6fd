// Launches of kernels, and the limits that CUDA sets them.

#include <cstdint>
#include <string>
#include <utility>

#include "device_memory.h"
#include "device_state.h"
#include "grid.h"
#include "kernel_names.h"
#include "streams.h"

using namespace tagix_emulator;

namespace {

constexpr Bytes default_shared_bytes = 48 * kibi;
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

void run_kernel(const Launch& launch, const Grid& grid) {
  for (const void* pointer : launch.pointers) {
    if (pointer == nullptr) continue;
    const auto found = find_allocation(pointer, true);
    if (found == device.allocations.end() || !found->second.ready) {
      set_fault(cudaErrorIllegalAddress, name_of(launch),
                ": an argument points to memory that is not the device's (any more)");
      return;
    }
  }
  const std::string wrong = run_grid(grid);
  if (!wrong.empty()) set_fault(cudaErrorLaunchFailure, name_of(launch), ": ", wrong);
}

cudaError_t submit_kernel(const cudaLaunchConfig_t& config, Launch launch) {
  const Stream stream = find_stream(config.stream);
  if (stream == nullptr || stream->device != current_device) return no_stream("launch");
  Grid grid{config.gridDim, config.blockDim, dim3(1, 1, 1), config.dynamicSmemBytes,
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

}  // namespace

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

}  // namespace tagix_emulator
