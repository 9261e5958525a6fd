#pragma once

#include <memory>
#include <new>

#include "core/index.h"

namespace tagix::cpu {

/// Where vectors start that are read whole: a cache line.
constexpr std::align_val_t alignment{64};

/// A distance between rows, at least `size` floats, at which they do not compete for the same few
/// lines of the first-level cache.
constexpr Index spread_stride(Index size) {
  const Index lines = (size + 15) / 16;
  return 16 * (lines % 2 == 0 ? lines + 1 : lines);
}

/// Working memory of one thread, aligned to `alignment`: it grows to the largest size asked for and
/// stays. A purpose is a type of its own, so that two uses on one thread do not collide.
template <class Purpose>
float* scratch(Index size) {
  struct Release {
    void operator()(float* memory) const { ::operator delete(memory, alignment); }
  };
  thread_local std::unique_ptr<float, Release> memory;
  thread_local Index capacity = 0;
  if (size > capacity) {
    capacity = 0;
    memory.reset();
    memory.reset(static_cast<float*>(
        ::operator new(static_cast<std::size_t>(size) * sizeof(float), alignment)));
    capacity = size;
  }
  return memory.get();
}

}  // namespace tagix::cpu
