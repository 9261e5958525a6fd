#include "layers/sequential.h"

#include <algorithm>
#include <utility>

#include "core/require.h"
#include "graph/builder.h"

namespace tagix {

Sequential::Sequential(std::vector<std::shared_ptr<const Layer>> layers)
    : layers_(std::move(layers)) {
  require(!layers_.empty(), "layers: got none, needed at least 1");
}

std::optional<Index> Sequential::input_features() const {
  for (const auto& layer : layers_) {
    if (const std::optional<Index> features = layer->input_features()) return features;
    if (!layer->keeps_features()) return std::nullopt;
  }
  return std::nullopt;
}

bool Sequential::keeps_features() const {
  return std::all_of(layers_.begin(), layers_.end(),
                     [](const auto& layer) { return layer->keeps_features(); });
}

graph::Value Sequential::build(GraphBuilder& graph, std::span<const graph::Value> inputs) const {
  graph::Value value = 0;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    value = graph.apply(text(i), *layers_[i], inputs);
    inputs = {&value, 1};
  }
  return value;
}

}  // namespace tagix
