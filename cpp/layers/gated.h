#pragma once

#include "core/layer.h"
#include "graph/builder.h"
#include "layers/linear.h"

namespace tagix {

/// (W x + b) sigmoid(V x + c), a gated linear unit: parameters "value..." and "gate...". The two
/// factors count as independent.
class Gated final : public Layer {
 public:
  /// Throws std::invalid_argument unless the feature counts are at least 1.
  Gated(Index in_features, Index out_features)
      : value_(in_features, out_features, /*bias=*/true, Linear::Init::he, 1, 1), gate_(value_) {}

  std::string name() const override { return "Gated"; }
  Config config() const override {
    const Config all = value_.config();
    return {all.begin(), all.begin() + 2};
  }
  std::optional<Index> input_features() const override { return value_.input_features(); }
  graph::Value build(GraphBuilder& graph, std::span<const graph::Value> inputs) const override {
    const graph::Value value = graph.apply("value", value_, inputs);
    const graph::Value gate = graph.apply("gate", gate_, inputs);
    constexpr math::ActivationSpec sigmoid{math::ActivationKind::sigmoid, math::MomentsForm::exact};
    return graph.product(value, graph.activate(gate, sigmoid));
  }

 private:
  Linear value_, gate_;
};

}  // namespace tagix
