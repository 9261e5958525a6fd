#include "layers/class_embedding.h"

#include <utility>

#include "core/require.h"
#include "graph/builder.h"

namespace tagix {
namespace {

/// Of inputs and outputs together, as each element that is constant is listed.
constexpr Index max_weights = Index{1} << 24;

Index checked_count(const char* name, Index value) {
  require(value >= 1 && value <= max_weights, name, ": got ", value, ", needed 1 to ", max_weights);
  return value;
}

}  // namespace

ClassEmbedding::ClassEmbedding(Index n_values, Index n_classes, Index embedding_dim, double gain)
    : n_values_(checked_count("n_values", n_values)),
      n_classes_(checked_count("n_classes", n_classes)),
      embedding_dim_(checked_count("embedding_dim", embedding_dim)),
      gain_(gain) {
  require((n_values + n_classes) * (n_values + embedding_dim) <= max_weights,
          "n_values, n_classes, embedding_dim: got ", n_values, ", ", n_classes, " and ",
          embedding_dim, ", needed at most ", max_weights, " weights");
  require(gain >= 1e-12 && gain <= 1e12, "gain: got ", gain, ", needed a number in [1e-12, 1e12]");
}

Config ClassEmbedding::config() const {
  return {{"n_values", n_values_},
          {"n_classes", n_classes_},
          {"embedding_dim", embedding_dim_},
          {"gain", gain_}};
}

graph::Value ClassEmbedding::build(GraphBuilder& graph,
                                   std::span<const graph::Value> inputs) const {
  const Index in = n_values_ + n_classes_, out = n_values_ + embedding_dim_;
  ParameterSpec weight{"weight", {out, in}, static_cast<float>(gain_)};
  for (Index row = 0; row < out; ++row) {
    for (Index col = 0; col < in; ++col) {
      const bool embeds = row >= n_values_ && col >= n_values_;
      if (!embeds) weight.constants.push_back({row * in + col, row == col ? 1.0f : 0.0f});
    }
  }
  return graph.affine(graph.only(inputs), graph.parameter(std::move(weight)), std::nullopt);
}

}  // namespace tagix
