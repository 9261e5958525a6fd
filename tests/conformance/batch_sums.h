#pragma once

#include <functional>
#include <vector>

#include "conformance/operation.h"

// What cases of sum_predictions share: the state that a batch is added to, and what comes out.

namespace tagix::conformance {

/// A state in the middle of an epoch.
inline TrainingState state_within_epoch() {
  return {{2.5, 1.25, 0.75, 6.5, -3.5, 7}, 40, 3, Failure::none};
}

/// Adds a batch to that state and returns the sums in their order, the number of targets that were
/// observed, and the position.
inline std::function<void()> summing(Arrays& arrays, ConstMomentsView prediction,
                                     const float* target, NoiseView noise) {
  std::vector<double>& returned = arrays.returned();
  Buffer<TrainingState>& state = arrays.values<TrainingState>({state_within_epoch()});
  return [=, &returned, &state, &backend = arrays.backend()] {
    backend.sum_predictions(prediction, target, noise, state.data());
    const TrainingState end = state.first();
    const PredictionSums& sums = end.sums;
    returned = {sums.squared_error,
                sums.var,
                sums.noise_var,
                sums.chi_square,
                sums.log_likelihood,
                static_cast<double>(sums.n_observed),
                static_cast<double>(end.position)};
  };
}

}  // namespace tagix::conformance
