#pragma once

#include <vector>

#include "core/index.h"

namespace tagix {

/// Observation noise of the same variance for every sample:
///
///   std_e = max(min_std, std decay^e)   for epoch e = 0, 1, ...
///
/// with one standard deviation for all outputs or one for each.
class Homoscedastic {
 public:
  /// Throws std::invalid_argument unless every std is in [1e-18, 1e18], 0 < decay <= 1 and
  /// min_std is in [0, 1e18].
  Homoscedastic(std::vector<double> std, double min_std, double decay);

  const std::vector<double>& std() const { return std_; }
  double min_std() const { return min_std_; }
  double decay() const { return decay_; }

  /// The noise variances in epoch `epoch` >= 0: 1 value, or 1 for each output.
  std::vector<float> var(Index epoch) const;

 private:
  std::vector<double> std_;
  double min_std_;
  double decay_;
};

}  // namespace tagix
