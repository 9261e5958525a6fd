#pragma once

#include <cstdint>

#include "core/index.h"
#include "math/classes.h"
#include "math/drift.h"
#include "math/normal.h"
#include "math/target.h"

namespace tagix {

/// Sums over the observed targets of a batch, for the record of a training run; of classes, they
/// are those of math::RecordedClass.
struct PredictionSums {
  double squared_error = 0;   ///< sum of (target - mean)^2
  double var = 0;             ///< sum of the predicted variances, noise left out
  double noise_var = 0;       ///< sum of the noise variances
  double chi_square = 0;      ///< sum of (target - mean)^2 / (var + noise_var)
  double log_likelihood = 0;  ///< sum of log N(target; mean, var + noise_var)
  Index n_observed = 0;       ///< targets that are not NaN

  TAGIX_HD TAGIX_INLINE PredictionSums& operator+=(const PredictionSums& other) {
    squared_error += other.squared_error;
    var += other.var;
    noise_var += other.noise_var;
    chi_square += other.chi_square;
    log_likelihood += other.log_likelihood;
    n_observed += other.n_observed;
    return *this;
  }

  /// Adds an observed target.
  TAGIX_HD TAGIX_INLINE void add(double target, double mean, double prediction_var,
                                 double target_noise_var) {
    const double error = target - mean, total_var = prediction_var + target_noise_var;
    squared_error += error * error;
    var += prediction_var;
    noise_var += target_noise_var;
    chi_square += error * error / total_var;
    log_likelihood += math::normal_log_density(target, mean, total_var);
    ++n_observed;
  }

  /// Adds an observed class.
  TAGIX_HD TAGIX_INLINE void add(const math::RecordedClass& observed) {
    squared_error += observed.squared_error;
    var += observed.var;
    chi_square += observed.chi_square;
    log_likelihood += observed.log_likelihood;
    ++n_observed;
  }
};

/// What overflowed float32, after which nothing more is learned. The greater one hides the other.
enum class Failure : std::int32_t { none, innovation, prediction };

/// How far training has come. It lies in a backend's memory, so that steps can be queued one after
/// the other without asking the device how the last one went.
struct TrainingState {
  PredictionSums sums;      ///< over the rows of this epoch
  Index position = 0;       ///< rows of this epoch that have been learned
  std::uint64_t epoch = 0;  ///< which epoch of the model's life this is
  Failure failure = Failure::none;
  /// The part of the sums that Backend::test_drift has seen.
  double tested_chi_square = 0;
  Index n_tested = 0;
};

/// Tests the targets recorded since the last test for drift, unless something has failed.
TAGIX_HD TAGIX_INLINE void test_summed_drift(double decay, double threshold, TrainingState& state,
                                             math::DriftState& drift) {
  drift.drifts = false;
  if (state.failure != Failure::none) return;
  math::test_drift(state.sums.chi_square - state.tested_chi_square,
                   state.sums.n_observed - state.n_tested, decay, threshold, drift);
  state.tested_chi_square = state.sums.chi_square;
  state.n_tested = state.sums.n_observed;
}

/// Throws std::invalid_argument, in words for a user, after a failure.
void require_no_failure(const TrainingState& state);

/// The rows of the next batch of an epoch: row i is order[state->position + i], or
/// state->position + i where `order` is null. Both lie in a backend's memory.
struct RowSelection {
  const Index* order;
  const TrainingState* state;

  TAGIX_HD TAGIX_INLINE Index row(Index i) const {
    const Index at = state->position + i;
    return order == nullptr ? at : order[at];
  }
};

}  // namespace tagix
