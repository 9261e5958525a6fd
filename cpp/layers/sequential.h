#pragma once

#include <memory>
#include <vector>

#include "core/layer.h"

namespace tagix {

/// Layers one after the other. It is a layer itself, so containers nest; a child's parameters are
/// named by its position, as "0.weight" or "2.1.bias".
class Sequential final : public Layer {
 public:
  explicit Sequential(std::vector<std::shared_ptr<const Layer>> layers);

  const std::vector<std::shared_ptr<const Layer>>& layers() const { return layers_; }

  std::string name() const override { return "Sequential"; }
  Config config() const override { return {}; }
  std::optional<Index> input_features() const override;
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
  bool is_elementwise() const override;
  void output_covariance(Backend& backend, ConstMomentsView parameters, ConstMomentsView input,
                         const Trace& trace, Index n_outputs, float* covariance) const override;

 private:
  std::vector<std::shared_ptr<const Layer>> layers_;
  std::vector<Index> offsets_;  // of each child's parameters in the flat view, and their end
};

}  // namespace tagix
