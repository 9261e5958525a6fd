#pragma once

#include "core/layer.h"

namespace tagix {

/// z = a W^T + b with Gaussian weights (out_features x in_features) and biases (out_features).
///
/// The prior standard deviation is gain * scale, with scale = sqrt(1 / in_features) for "he" and
/// sqrt(2 / (in_features + out_features)) for "xavier"; weights and biases have their own gains.
class Linear final : public Layer {
 public:
  enum class Init { he, xavier };

  /// Throws std::invalid_argument unless the feature counts are at least 1 and the gains in [1e-12,
  /// 1e12].
  Linear(Index in_features, Index out_features, bool bias, Init init, double gain_weight,
         double gain_bias);

  std::string name() const override { return "Linear"; }
  Config config() const override;
  std::optional<Index> input_features() const override { return in_features_; }
  graph::Value build(GraphBuilder& graph, std::span<const graph::Value> inputs) const override;

 private:
  Index in_features_;
  Index out_features_;
  bool bias_;
  Init init_;
  double gain_weight_;
  double gain_bias_;
};

}  // namespace tagix
