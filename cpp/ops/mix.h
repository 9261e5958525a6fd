#pragma once

#include "core/moments.h"
#include "core/taps_view.h"
#include "math/target.h"

namespace tagix::ops {

/// Backend::mix at (row of the output, channel):
///
///   mean = sum_i w_i x_mean[i],   var = sum_i w_i^2 x_var[i]
///
/// over the taps of the row's position, in their order.
struct Mix {
  ConstMomentsView input;
  TapsView taps;
  bool add;
  MomentsView output;

  TAGIX_HD void operator()(Index row, Index channel) const {
    const Index position = row % taps.results, first = row / taps.results * taps.inputs;
    float mean = 0, var = 0;
    for (std::int32_t i = taps.start[position]; i < taps.start[position + 1]; ++i) {
      const Index from = (first + taps.input[i]) * input.cols + channel;
      const float weight = taps.weight[i];
      mean += weight * input.mean[from];
      if (input.var != nullptr) var += weight * weight * input.var[from];
    }
    const Index to = row * output.cols + channel;
    output.mean[to] = add ? output.mean[to] + mean : mean;
    output.var[to] = add ? output.var[to] + var : var;
  }
};

}  // namespace tagix::ops
