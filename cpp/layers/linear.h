#pragma once

#include "core/layer.h"

namespace tagix {

/// z = a W^T + b with Gaussian weights (out_features x in_features) and biases (out_features).
///
/// The prior standard deviation is gain * scale, with scale = sqrt(1 / in_features) for "he" and
/// sqrt(2 / (in_features + out_features)) for "xavier"; weights and biases have their own gains.
class Linear : public Layer {
 public:
  enum class Init { he, xavier };

  /// Throws std::invalid_argument unless the feature counts are at least 1 and the gains in [1e-12,
  /// 1e12].
  Linear(Index in_features, Index out_features, bool bias, Init init, double gain_weight,
         double gain_bias);

  Index out_features() const { return out_features_; }
  bool has_bias() const { return bias_; }
  /// The same layer with another number of outputs, with or without biases.
  Linear with_outputs(Index out_features, bool bias) const;

  std::string name() const override { return "Linear"; }
  Config config() const override;
  std::optional<Index> input_features() const override { return in_features_; }
  Index output_features(Index input_features) const override;
  std::vector<ParameterSpec> parameters() const override;
  graph::Value build(GraphBuilder& graph, std::span<const graph::Value> inputs) const override;
  bool append_steps(std::vector<Step>& steps) const override;
  void forward(Backend& backend, ConstMomentsView parameters, ConstMomentsView input,
               Trace& trace) const override;
  void backward(Backend& backend, ConstMomentsView parameters, ConstMomentsView input,
                const Trace& trace, bool need_input_delta, Deltas& deltas,
                MomentsView innovation) const override;
  void forward_tangents(Backend& backend, ConstMomentsView parameters, ConstMomentsView input,
                        Trace& trace, Tangents& tangents) const override;
  void output_covariance(Backend& backend, ConstMomentsView parameters, ConstMomentsView input,
                         const Trace& trace, Index n_outputs, float* covariance) const override;

 private:
  template <class View>
  View weight(View parameters) const {
    return parameters.slice(0, out_features_, in_features_);
  }
  template <class View>
  View bias(View parameters) const {
    if (!bias_) return {};
    return parameters.slice(out_features_ * in_features_, 1, out_features_);
  }

  Index in_features_;
  Index out_features_;
  bool bias_;
  Init init_;
  double gain_weight_;
  double gain_bias_;
};

}  // namespace tagix
