#pragma once

#include "core/moments.h"
#include "math/scalar.h"
#include "math/target.h"

namespace tagix::ops {

/// Backend::residual_activation at element i. With J = Cov(z, f(z)) / Var z,
///
///   Var[z + f(z)] = Var z + Var f + 2 J Var z = (1 + J)^2 Var z + (Var f - J^2 Var z)
///
/// of which both terms are at least 0, so that nothing cancels to a variance below 0.
struct ResidualActivation {
  ConstMomentsView input;
  MomentsView output;
  float* jacobian;

  TAGIX_HD void operator()(Index i) const {
    const float var = input.var == nullptr ? 0.0f : input.var[i];
    const float slope = jacobian[i], total = 1 + slope;
    output.mean[i] += input.mean[i];
    output.var[i] = total * total * var + math::max(output.var[i] - slope * slope * var, 0.0f);
    jacobian[i] = total;
  }
};

}  // namespace tagix::ops
