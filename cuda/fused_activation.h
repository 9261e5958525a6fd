#pragma once

#include "math/activations.h"

namespace tagix::cuda {

/// Whether fused_moments knows an activation: those whose moments take a few dozen operations, of
/// the ReLU kind.
inline bool is_fused_activation(const math::ActivationSpec& spec) {
  using enum math::ActivationKind;
  return spec.kind == relu || spec.kind == leaky_relu || spec.kind == identity;
}

/// The moments of such an activation.
TAGIX_HD TAGIX_INLINE math::ActivationMoments<float> fused_moments(const math::ActivationSpec& spec,
                                                                   float mean, float var) {
  const bool exact = spec.form == math::MomentsForm::exact;
  if (spec.kind == math::ActivationKind::relu) {
    if (exact) return math::ReLU{}.exact(mean, var);
    return math::FirstOrderMoments<math::ReLU>{}(mean, var);
  }
  if (spec.kind == math::ActivationKind::leaky_relu) {
    const math::LeakyReLU function{spec.negative_slope};
    if (exact) return function.exact(mean, var);
    return math::FirstOrderMoments<math::LeakyReLU>{function}(mean, var);
  }
  return {mean, var, 1.0f};
}

}  // namespace tagix::cuda
