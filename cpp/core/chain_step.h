#pragma once

#include <algorithm>
#include <variant>
#include <vector>

#include "core/index.h"
#include "core/scalar_function.h"
#include "math/activations.h"

namespace tagix {

/// z = a W^T + b. Its parameters are the weight (out_features x in_features), then the bias
/// (out_features) where there is one.
struct AffineStep {
  Index in_features;
  Index out_features;
  bool bias;

  Index weight_size() const { return in_features * out_features; }
  Index parameter_count() const { return weight_size() + (bias ? out_features : 0); }
};

/// A piece of a network that an executor may fuse with its neighbours: an affine map, an
/// elementwise activation, or one of the user's own, before which all rows have to wait for the
/// host. The parameters of a list of steps lie one after the other.
using ChainStep = std::variant<AffineStep, math::ActivationSpec, UserFunction>;

/// Whether a list of steps has a function of the user's own.
inline bool calls_the_host(const std::vector<ChainStep>& steps) {
  return std::any_of(steps.begin(), steps.end(), [](const ChainStep& step) {
    return std::holds_alternative<UserFunction>(step);
  });
}

}  // namespace tagix
