#pragma once

#include <utility>
#include <variant>
#include <vector>

#include "core/chain_step.h"
#include "core/index.h"
#include "core/moments.h"
#include "cpu/kernels.h"
#include "cpu/pieces.h"
#include "cpu/scratch.h"

// What the plans of both fused executors have: places in one buffer, by their offsets, and where
// each affine step has its parameters.

namespace tagix::cpu {

/// Hands out places in one buffer, each at the start of a cache line.
class Arena {
 public:
  /// The offset of the next `size` floats.
  Index take(Index size) {
    constexpr Index line = static_cast<Index>(alignment) / Index{sizeof(float)};
    return std::exchange(size_, size_ + ceil_div(size, line) * line);
  }
  /// The floats of all places together.
  Index size() const { return size_; }

 private:
  Index size_ = 0;
};

/// Two planes of the same shape in one buffer, by their offsets.
struct PlanePair {
  Index mean = 0;
  Index var = 0;
};

/// An affine step, and where its parameters are among those of the network.
struct PlacedAffine {
  AffineStep shape;
  Index parameters;  ///< offset in the flat parameters

  AffineParameters parameters_in(ConstMomentsView network) const {
    const float* mean = network.mean + parameters;
    const float* var = plane_from(network.var, parameters);
    if (!shape.bias) return {mean, var, nullptr, nullptr};
    const Index bias = shape.weight_size();
    return {mean, var, mean + bias, plane_from(var, bias)};
  }
};

/// The columns that enter the first affine step, and so all steps before it; 0 where there is none.
inline Index input_features(const std::vector<ChainStep>& steps) {
  for (const ChainStep& step : steps) {
    if (const auto* affine = std::get_if<AffineStep>(&step)) return affine->in_features;
  }
  return 0;
}

}  // namespace tagix::cpu
