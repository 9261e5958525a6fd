#pragma once

#include <span>
#include <vector>

#include "core/index.h"

namespace tagix::graph {

/// An array that a pass needs from one moment to another, both included.
struct Lifetime {
  Index size;  ///< floats for each row of a batch
  Index born;
  Index dies;
};

/// Which slot of memory each of some arrays occupies, and the size of each slot.
struct Slots {
  std::vector<Index> of;
  std::vector<Index> sizes;  ///< floats for each row of a batch
};

/// Puts arrays, in the order in which they are born, into slots that are free by then: the smallest
/// that is large enough, else the largest, which grows.
Slots place(std::span<const Lifetime> arrays);

}  // namespace tagix::graph
