#pragma once

#include "core/moments.h"
#include "core/taps_view.h"
#include "math/target.h"

namespace tagix::ops {

/// Backend::mix in a row of the output:
///
///   mean = sum_i w_i x_mean[i],   var = sum_i w_i^2 x_var[i]
///
/// over the taps of the row's position, in their order.
struct Mix {
  ConstMomentsView input;
  TapsView taps;
  bool add;
  MomentsView output;

  /// One channel of a row.
  TAGIX_HD void operator()(Index row, Index channel) const {
    const Index to = row * output.cols + channel;
    const bool has_var = output.var != nullptr;
    float mean = add ? output.mean[to] : 0.0f, var = add && has_var ? output.var[to] : 0.0f;
    for_taps(row, [&](Index from, float weight) {
      add_tap(from + channel, weight, /*size=*/1, &mean, &var);
    });
    output.mean[to] = mean;
    if (has_var) output.var[to] = var;
  }

  /// All channels of a row, a tap at a time.
  void sum_row(Index row) const {
    const Index size = output.cols;
    float* const mean = output.mean + row * size;
    float* const var = output.var == nullptr ? nullptr : output.var + row * size;
    for (Index i = 0; !add && i < size; ++i) mean[i] = 0;
    for (Index i = 0; !add && var != nullptr && i < size; ++i) var[i] = 0;
    for_taps(row, [&](Index from, float weight) { add_tap(from, weight, size, mean, var); });
  }

 private:
  /// Calls use(the first channel of a row of the input, its weight).
  TAGIX_ANY_CALLABLE
  template <class Use>
  TAGIX_HD TAGIX_INLINE void for_taps(Index row, const Use& use) const {
    const Index position = row % taps.results, first = row / taps.results * taps.inputs;
    for (std::int32_t i = taps.start[position]; i < taps.start[position + 1]; ++i) {
      use((first + taps.input[i]) * input.cols, taps.weight[i]);
    }
  }

  TAGIX_HD TAGIX_INLINE void add_tap(Index from, float weight, Index size, float* mean,
                                     float* var) const {
    add_scaled(input.mean + from, weight, size, mean);
    if (var != nullptr && input.var != nullptr)
      add_scaled(input.var + from, weight * weight, size, var);
  }

  TAGIX_HD static TAGIX_INLINE void add_scaled(const float* values, float weight, Index size,
                                               float* sum) {
    for (Index i = 0; i < size; ++i) sum[i] += weight * values[i];
  }
};

}  // namespace tagix::ops
