#pragma once

#include "core/moments.h"
#include "core/slopes.h"
#include "math/inference.h"
#include "math/target.h"

namespace tagix::ops {

/// Backend::product at element i, for independent a and b:
///
///   E[a b]   = a_mean b_mean
///   Var[a b] = a_var b_var + a_var b_mean^2 + b_var a_mean^2
///   Cov(a, a b) = a_var b_mean
struct Product {
  ConstMomentsView a;
  ConstMomentsView b;
  MomentsView output;

  TAGIX_HD void operator()(Index i) const {
    const float a_mean = a.mean[i], a_var = a.var == nullptr ? 0.0f : a.var[i];
    const float b_mean = b.mean[i], b_var = b.var == nullptr ? 0.0f : b.var[i];
    output.mean[i] = a_mean * b_mean;
    if (output.var == nullptr) return;
    output.var[i] = a_var * (b_var + b_mean * b_mean) + b_var * (a_mean * a_mean);
  }
};

/// Backend::product_slopes at element i: the derivatives of those moments by a_mean and a_var.
struct ProductSlopes {
  ConstMomentsView a;
  ConstMomentsView b;
  SlopesView slopes;

  TAGIX_HD void operator()(Index i) const {
    const float b_mean = b.mean[i], b_var = b.var == nullptr ? 0.0f : b.var[i];
    slopes.mean_by_mean[i] = b_mean;
    slopes.mean_by_var[i] = 0;
    slopes.var_by_mean[i] = 2 * b_var * a.mean[i];
    slopes.var_by_var[i] = b_var + b_mean * b_mean;
  }
};

/// Backend::product_excess at element i.
struct ProductExcess {
  const float* a_var;
  const float* b_var;
  float* excess;

  TAGIX_HD void operator()(Index i) const { excess[i] = a_var[i] * b_var[i]; }
};

/// Backend::scale_deltas_to at element i.
struct ScaleDeltasTo {
  const float* jacobian;
  ConstMomentsView delta;
  bool add;
  MomentsView below;

  TAGIX_HD void operator()(Index i) const {
    const math::Innovation<float> scaled =
        math::through_jacobian<float>({delta.mean[i], delta.var[i]}, jacobian[i]);
    below.mean[i] = add ? below.mean[i] + scaled.delta_mean : scaled.delta_mean;
    below.var[i] = add ? below.var[i] + scaled.delta_var : scaled.delta_var;
  }
};

}  // namespace tagix::ops
