#pragma once

#include <vector>

#include "core/memory.h"
#include "graph/plan.h"

namespace tagix::graph {

/// The slots of a plan for some rows, in one array of memory.
class SlotMemory {
 public:
  explicit SlotMemory(Backend& backend) : memory_(backend) {}

  /// Makes room for the slots. The contents are undefined afterwards.
  void arrange(const Plan& plan, Index rows) {
    constexpr Index line = 64;  // floats: slots begin where vectors do
    starts_.clear();
    Index size = 0;
    for (Index slot_size : plan.slot_sizes) {
      starts_.push_back(size);
      size += (rows * slot_size + line - 1) / line * line;
    }
    memory_.resize(size);
  }
  float* operator[](Index slot) {
    const auto number = static_cast<std::size_t>(slot);
    return slot == Plan::nowhere ? nullptr : memory_.data() + starts_[number];
  }

 private:
  Buffer<float> memory_;
  std::vector<Index> starts_;
};

}  // namespace tagix::graph
