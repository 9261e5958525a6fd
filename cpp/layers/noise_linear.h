#pragma once

#include <memory>

#include "core/layer.h"
#include "core/noise.h"
#include "layers/linear.h"
#include "layers/sequential.h"

namespace tagix {

/// A Linear with a noise head: outputs 0 .. n - 1 are its values, n .. 2 n - 1 say how noisy their
/// targets are (math/noise.h).
///
/// Where the noise follows the input, the head's priors are those of the values times the gain, and
/// the means of its biases start at 0: a noise variance of about 1. Where it does not, the head is
/// a bias alone, whose prior standard deviation is 1 and whose mean gives the noise variance std^2.
///
/// Residuals seem to be noise as long as the values are not learned. A bias, whose variance falls
/// as 2 / (targets seen), would soon no longer move; so it is a slow random walk, whose variance is
/// at least 0.01: it remembers about 200 targets, which leave 5 % in the noise's standard
/// deviation.
class NoiseLinear final : public Linear {
 public:
  NoiseLinear(Linear values, LearnedNoise noise);

  Config config() const override { return values_.config(); }
  std::vector<ParameterSpec> parameters() const override;
  graph::Value build(GraphBuilder& graph, std::span<const graph::Value> inputs) const override;

 private:
  static constexpr float least_noise_bias_var = 0.01f;

  Linear values_;  // which the noise head stands beside
  LearnedNoise noise_;
};

/// The network with a noise head on its last layer, which may lie in containers. Throws
/// std::invalid_argument unless that is a Linear, and unless there are as many standard deviations
/// as outputs, or one.
std::shared_ptr<const Layer> with_noise_head(const std::shared_ptr<const Layer>& network,
                                             const LearnedNoise& noise);

}  // namespace tagix
