#pragma once

#include <cstdint>

#include "math/scalar.h"
#include "math/target.h"

namespace tagix::math {

// How parameters forget: between updates they are random walks, and a test of the innovations says
// when what they have learned no longer holds.

/// The variance of a parameter after a step of a random walk, whose variance is `process_var` and
/// which leads no further than the prior, and at least `least_var`:
///
///   var' = max(min(var + process_var, max(var, prior_var)), least_var)
template <class T>
TAGIX_HD TAGIX_INLINE T forgotten_var(T var, T process_var, T prior_var, T least_var) {
  return max(min(var + process_var, max(var, prior_var)), least_var);
}

/// Sums over past targets, each weighed by decay^(targets since), and what they have led to.
struct DriftState {
  double chi_square = 0;     ///< sum of w (target - mean)^2 / (variance, noise included)
  double weight = 0;         ///< sum of w
  double square_weight = 0;  ///< sum of w^2
  std::int64_t n_drifts = 0;
  bool drifts = false;  ///< whether the last test said so
};

/// Adds targets to the sums, and tests them. If predicted variances are right, chi_square / weight
/// is about a chi-square variable of nu degrees of freedom over nu, nu = weight^2 / square_weight,
/// whose cube root is nearly normal (Wilson & Hilferty, PNAS 17, 1931):
///
///   z = ((chi_square / weight)^(1/3) - (1 - 2/(9 nu))) / sqrt(2/(9 nu))
///
/// A drift is z > threshold; the sums then start anew.
TAGIX_HD TAGIX_INLINE void test_drift(double chi_square, std::int64_t n_targets, double decay,
                                      double threshold, DriftState& state) {
  state.drifts = false;
  if (n_targets == 0) return;
  const double n = static_cast<double>(n_targets);
  const double faded = __builtin_pow(decay, n);
  state.chi_square = faded * state.chi_square + chi_square;
  state.weight = faded * state.weight + n;
  state.square_weight = faded * faded * state.square_weight + n;
  const double spread = 2 * state.square_weight / (9 * state.weight * state.weight);
  const double root = __builtin_cbrt(state.chi_square / state.weight);
  if (root - (1 - spread) <= threshold * __builtin_sqrt(spread)) return;
  state = {0, 0, 0, state.n_drifts + 1, true};
}

}  // namespace tagix::math
