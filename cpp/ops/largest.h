#pragma once

#include "core/moments.h"
#include "core/taps_view.h"
#include "math/target.h"

namespace tagix::ops {

/// Backend::largest at element i of the output: the moments of the position with the largest mean
/// in a window, of several the first, and the number of its tap.
struct Largest {
  ConstMomentsView input;
  PositionsView windows;
  MomentsView output;
  float* choice;

  TAGIX_HD void operator()(Index i) const {
    const Index channel = i % output.cols, result = i / output.cols;
    const std::int32_t* positions = windows.input + result % windows.results * windows.n_taps;
    const Index first = result / windows.results * windows.inputs;
    Index best = -1, tap_of_best = 0;
    for (Index tap = 0; tap < windows.n_taps; ++tap) {
      if (positions[tap] < 0) continue;
      const Index at = (first + positions[tap]) * input.cols + channel;
      if (best >= 0 && input.mean[at] <= input.mean[best]) continue;
      best = at;
      tap_of_best = tap;
    }
    output.mean[i] = input.mean[best];
    if (output.var != nullptr) output.var[i] = input.var == nullptr ? 0.0f : input.var[best];
    choice[i] = static_cast<float>(tap_of_best);
  }
};

/// Backend::largest_backward at element i of what is below: the sum over the windows that have
/// chosen it.
struct LargestBackward {
  ConstMomentsView delta;
  const float* choice;
  Index n_choices;
  PositionsView readers;  ///< for each tap, the result whose tap reads a position
  bool add;
  MomentsView below;

  TAGIX_HD void operator()(Index i) const {
    const Index channel = i % below.cols, position = i / below.cols;
    const std::int32_t* results = readers.input + position % readers.results * readers.n_taps;
    const Index first = position / readers.results * readers.inputs;
    float mean = add ? below.mean[i] : 0.0f, var = add ? below.var[i] : 0.0f;
    for (Index tap = 0; tap < readers.n_taps; ++tap) {
      if (results[tap] < 0) continue;
      const Index at = (first + results[tap]) * below.cols + channel;
      if (choice[at % n_choices] != static_cast<float>(tap)) continue;
      mean += delta.mean[at];
      if (delta.var != nullptr) var += delta.var[at];
    }
    below.mean[i] = mean;
    below.var[i] = var;
  }
};

}  // namespace tagix::ops
