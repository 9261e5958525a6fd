#pragma once

#include "core/memory.h"

namespace tagix::graph {

/// What an affine map of windows works in: some rows of windows at a time, and its weight by taps.
struct WindowMemory {
  explicit WindowMemory(Backend& backend) : tile(backend), weight(backend) {}

  Buffer<float> tile;
  Buffer<float> weight;
};

}  // namespace tagix::graph
