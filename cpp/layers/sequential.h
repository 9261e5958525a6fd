#pragma once

#include <memory>
#include <vector>

#include "core/layer.h"

namespace tagix {

/// Layers one after the other. It is a layer itself, so containers nest; a child's parameters are
/// named by its position, as "0.weight" or "2.1.bias".
class Sequential final : public Layer {
 public:
  /// Throws std::invalid_argument unless there is a layer.
  explicit Sequential(std::vector<std::shared_ptr<const Layer>> layers);

  std::string name() const override { return "Sequential"; }
  Config config() const override { return {}; }
  std::optional<Index> input_features() const override;
  bool keeps_features() const override;
  graph::Value build(GraphBuilder& graph, std::span<const graph::Value> inputs) const override;

 private:
  std::vector<std::shared_ptr<const Layer>> layers_;
};

}  // namespace tagix
