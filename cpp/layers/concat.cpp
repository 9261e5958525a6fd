#include "layers/concat.h"

#include <utility>

#include "core/require.h"
#include "graph/builder.h"

namespace tagix {

Concat::Concat(std::vector<std::shared_ptr<const Layer>> branches)
    : branches_(std::move(branches)) {
  require(!branches_.empty(), "branches: got none, needed at least 1");
}

std::optional<Index> Concat::input_features() const {
  for (const auto& branch : branches_) {
    if (const std::optional<Index> features = branch->input_features()) return features;
  }
  return std::nullopt;
}

graph::Value Concat::build(GraphBuilder& graph, std::span<const graph::Value> inputs) const {
  std::vector<graph::Value> outputs;
  for (std::size_t i = 0; i < branches_.size(); ++i) {
    outputs.push_back(graph.apply(text(i), *branches_[i], inputs));
  }
  return graph.concat(outputs);
}

}  // namespace tagix
