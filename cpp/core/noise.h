#pragma once

#include <vector>

#include "core/index.h"
#include "math/inferred_noise.h"

namespace tagix {

/// What a network needs to infer the noise of its targets: a noise head beside its values.
struct LearnedNoise {
  math::NoiseLink link;
  /// Whether the noise follows the input, through weights, or is one for each output, a bias.
  bool depends_on_input;
  double gain;              ///< input: factor on the priors of the last layer, for the noise head
  std::vector<double> std;  ///< one for each output: what the standard deviation is before training
  double belief_precision;  ///< of math::NoiseHead; AGVI's own form of the update goes without
};

/// Observation noise of the same variance for every sample, known or learned.
///
/// Known, with one standard deviation for all outputs or one for each:
///
///   std_e = max(min_std, std decay^e)   for epoch e = 0, 1, ...
///
/// Learned, `std` is where it starts.
class Homoscedastic {
 public:
  /// Throws std::invalid_argument unless every std is in [1e-18, 1e18], 0 < decay <= 1 and
  /// min_std is in [0, 1e18]; learned noise has neither decay nor min_std.
  Homoscedastic(std::vector<double> std, double min_std, double decay, bool learn = false);

  const std::vector<double>& std() const { return std_; }
  double min_std() const { return min_std_; }
  double decay() const { return decay_; }
  bool learn() const { return learn_; }

  /// The noise variances in epoch `epoch` >= 0: 1 value, or 1 for each output.
  std::vector<float> var(Index epoch) const;

  LearnedNoise learned() const;

 private:
  std::vector<double> std_;
  double min_std_;
  double decay_;
  bool learn_;
};

/// Observation noise whose variance the network infers from the input, with the values.
class Heteroscedastic {
 public:
  /// Throws std::invalid_argument unless the gain is in [1e-6, 1e6].
  Heteroscedastic(math::NoiseLink link, double gain);

  math::NoiseLink link() const { return link_; }
  double gain() const { return gain_; }

  LearnedNoise learned() const;

 private:
  math::NoiseLink link_;
  double gain_;
};

}  // namespace tagix
