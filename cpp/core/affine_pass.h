#pragma once

#include <optional>

#include "core/image_windows.h"
#include "core/index.h"
#include "core/moments.h"
#include "math/activations.h"

namespace tagix {

/// An activation that an affine map runs on its own output, and where its Jacobian
/// Cov(z, f(z)) / Var z goes: batch x out.
struct Epilogue {
  math::ActivationSpec activation;
  float* jacobian;
};

/// An affine map z = a W^T + b after a batch has gone up and its innovations have come down: all
/// that its parameters learn from, and which of a network's parameters they are.
struct AffinePass {
  ConstMomentsView input;     ///< a: batch x in; the means count
  ConstMomentsView delta;     ///< innovations of z: batch x out
  Index weight;               ///< where the weight (out x in) begins among the parameters
  std::optional<Index> bias;  ///< likewise the bias (out), where there is one
  bool add = false;           ///< whether its innovations are added to what is there
  /// Of a map of windows that Backend::image_products has: then `input` are images.
  std::optional<ImageWindows> windows = std::nullopt;

  /// How many numbers each output sums over.
  Index fan_in() const { return windows ? windows->depth() : input.cols; }
};

}  // namespace tagix
