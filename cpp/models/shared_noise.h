#pragma once

#include <vector>

#include "core/memory.h"
#include "core/noise.h"

namespace tagix {

/// The noise that holds for all rows of a source.
class SharedNoise {
 public:
  explicit SharedNoise(Backend& backend) : var_(backend) {}

  /// Variances: 1 or n_outputs values; throws std::invalid_argument for another number.
  void set_var(const std::vector<float>& var, Index n_outputs);
  /// What the network's head infers, and what its outputs say of classes, if it does either.
  void set_heads(math::NoiseHead head, math::ClassHead classes) {
    head_ = head;
    classes_ = classes;
  }
  /// Whether the outputs say all that there is to say.
  bool is_known_by_heads() const { return head_.exists() || classes_.exists(); }

  /// Throws std::invalid_argument if none has been set.
  NoiseView view() const;

 private:
  Buffer<float> var_;
  math::NoiseHead head_;
  math::ClassHead classes_;
};

}  // namespace tagix
