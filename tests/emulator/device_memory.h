#pragma once

// Allocations of the emulated device. Under AddressSanitizer they are poisoned, but for the time in
// which the device is at work.

#include <cstdint>
#include <map>

#include "device_state.h"

namespace tagix_emulator {

/// The allocation in which the pointer lies, or the end of which it is.
std::map<std::uintptr_t, Allocation>::iterator find_allocation(const void* pointer,
                                                               bool or_end = false);

/// While one is alive, device memory may be touched.
class DeviceScope {
 public:
  DeviceScope();
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;
};

/// Gives the memory that starts there back to the host.
void release(std::uintptr_t start);

}  // namespace tagix_emulator
