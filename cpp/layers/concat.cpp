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

Index Concat::output_features(Index input_features) const {
  Index features = 0;
  for (const auto& branch : branches_) features += branch->output_features(input_features);
  return features;
}

std::vector<ParameterSpec> Concat::parameters() const {
  std::vector<ParameterSpec> specs;
  for (std::size_t i = 0; i < branches_.size(); ++i) {
    append_parameters(text(i), *branches_[i], specs);
  }
  return specs;
}

graph::Value Concat::build(GraphBuilder& graph, std::span<const graph::Value> inputs) const {
  std::vector<graph::Value> outputs;
  for (std::size_t i = 0; i < branches_.size(); ++i) {
    const GraphBuilder::Scope scope = graph.enter(text(i));
    outputs.push_back(branches_[i]->build(graph, inputs));
  }
  return graph.concat(outputs);
}

}  // namespace tagix
