#pragma once

#include "core/moments.h"
#include "math/inference.h"
#include "math/target.h"

namespace tagix::ops {

/// The weights of rows in Backend::observe, at element i of their innovations (rows x outputs):
/// delta = weight[row] delta.
struct WeighRows {
  const float* weight;
  MomentsView delta;

  TAGIX_HD void operator()(Index i) const {
    const math::Innovation<float> weighted =
        math::weighted<float>({delta.mean[i], delta.var[i]}, weight[i / delta.cols]);
    delta.mean[i] = weighted.delta_mean;
    delta.var[i] = weighted.delta_var;
  }
};

}  // namespace tagix::ops
