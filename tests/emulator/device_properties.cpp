// Versions, devices and their properties, and what tests may set of them.

#include <cstring>

#include "device_memory.h"
#include "device_state.h"
#include "grid.h"

using namespace tagix_emulator;

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

namespace tagix_emulator {

Bytes max_shared_bytes() {
  const int version = 10 * device.major + device.minor;
  return (version >= 90   ? 227
          : version >= 86 ? version == 87 ? 163 : 99
          : version >= 80 ? 163
                          : 64) *
         kibi;
}

std::string last_message() {
  const std::lock_guard guard(lock);
  return message;
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

}  // namespace tagix_emulator
