#pragma once

#include "core/index.h"
#include "math/drift.h"
#include "math/scalar.h"
#include "math/target.h"

namespace tagix {

/// How the parameters of a network forget after each update, so that it can follow a stream that
/// changes (formulas in math/drift.h).
class Forgetting {
 public:
  /// Throws std::invalid_argument unless process_noise and inflation are in [0, 1], window is at
  /// least 1, and drift_level is in [0, 1/2); 0 tests nothing.
  Forgetting(double process_noise, double drift_level, double window, double inflation);

  /// The variance that a parameter gains in a step, in units of its prior variance.
  double process_noise() const { return process_noise_; }
  /// The probability of a false alarm in a test, which follows each update.
  double drift_level() const { return drift_level_; }
  /// The targets that a test remembers, on average.
  double window() const { return window_; }
  /// What variances are raised to on drift, in units of prior variances.
  double inflation() const { return inflation_; }

  bool tests_drift() const { return drift_level_ > 0; }
  /// The weight of a past target when another one comes: 1 - 1 / window.
  double decay() const { return 1 - 1 / window_; }
  /// z with P(Z > z) = drift_level for a standard normal Z.
  double threshold() const { return threshold_; }

 private:
  double process_noise_;
  double drift_level_;
  double window_;
  double inflation_;
  double threshold_;
};

/// What `Backend::forget` does to parameters of one prior variance.
struct ParameterWalk {
  float process_var;
  float prior_var;
  float least_var;    ///< that an update may leave
  float drifted_var;  ///< what variances are raised to on drift

  /// What the step leaves at least, after a test or, where `drift` is null, without one.
  TAGIX_HD TAGIX_INLINE float least(const math::DriftState* drift) const {
    const bool drifts = drift != nullptr && drift->drifts;
    return drifts ? math::max(least_var, drifted_var) : least_var;
  }
};

}  // namespace tagix
