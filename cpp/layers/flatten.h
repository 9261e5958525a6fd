#pragma once

#include "core/layer.h"
#include "graph/builder.h"

namespace tagix {

/// All positions of a grid side by side, as one row: channels of the first position, then of the
/// second.
class Flatten final : public Layer {
 public:
  std::string name() const override { return "Flatten"; }
  Config config() const override { return {}; }
  graph::Value build(GraphBuilder& graph, std::span<const graph::Value> inputs) const override {
    const graph::Value x = graph.only(inputs);
    return graph.reshape(x, graph.shape(x).size());
  }
};

}  // namespace tagix
