#pragma once

#include <variant>

#include "core/index.h"
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

/// A piece of a network that an executor may fuse with its neighbours: an affine map or an
/// elementwise activation. The parameters of a list of steps lie one after the other.
using ChainStep = std::variant<AffineStep, math::ActivationSpec>;

}  // namespace tagix
