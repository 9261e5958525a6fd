#pragma once

#include "core/training_state.h"
#include "math/classes.h"
#include "math/target.h"

namespace tagix::ops {

/// What Backend::sum_predictions finds in a part of a batch. The sums of all parts add up.
struct BatchSums {
  PredictionSums sums;
  bool overflows = false;  ///< whether a prediction is not finite

  TAGIX_HD TAGIX_INLINE BatchSums& operator+=(const BatchSums& other) {
    sums += other.sums;
    overflows = overflows || other.overflows;
    return *this;
  }

  /// A number, NaN where it is missing, and what was predicted of it.
  TAGIX_HD TAGIX_INLINE void add_number(float target, float mean, float var, float noise_var) {
    check(mean, var + noise_var);
    if (target == target) sums.add(target, mean, var, noise_var);
  }

  /// A row of n outputs and the label that it was to find, NaN where it is missing;
  /// probability(label) is that of a class by this row.
  TAGIX_ANY_CALLABLE
  template <class Probability>
  TAGIX_HD TAGIX_INLINE void add_class(const math::ClassHead& classes, const float* mean,
                                       const float* var, Index n, float target,
                                       const Probability& probability) {
    for (Index i = 0; i < n; ++i) check(mean[i], var[i]);
    const Index label = classes.label_of(target);
    if (label >= 0) sums.add(math::recorded_class(classes, probability(label)));
  }

 private:
  TAGIX_HD TAGIX_INLINE void check(float mean, float var) {
    overflows = overflows || !math::is_finite(mean) || !math::is_finite(var);
  }
};

}  // namespace tagix::ops
