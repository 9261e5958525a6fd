#include "layers/class_embedding.h"

#include "core/require.h"

namespace tagix {
namespace {

Index at_least_one(const char* name, Index value) {
  require(value >= 1, name, ": got ", value, ", needed at least 1");
  return value;
}

}  // namespace

ClassEmbedding::ClassEmbedding(Index n_values, Index n_classes, Index embedding_dim, double gain)
    : Linear(at_least_one("n_values", n_values) + at_least_one("n_classes", n_classes),
             n_values + at_least_one("embedding_dim", embedding_dim), /*bias=*/false, Init::he, 1,
             1),
      n_values_(n_values),
      n_classes_(n_classes),
      embedding_dim_(embedding_dim),
      gain_(gain) {
  require(gain >= 1e-12 && gain <= 1e12, "gain: got ", gain, ", needed a number in [1e-12, 1e12]");
}

Config ClassEmbedding::config() const {
  return {{"n_values", n_values_},
          {"n_classes", n_classes_},
          {"embedding_dim", embedding_dim_},
          {"gain", gain_}};
}

std::vector<ParameterSpec> ClassEmbedding::parameters() const {
  const Index in = n_values_ + n_classes_, out = n_values_ + embedding_dim_;
  ParameterSpec weight{"weight", {out, in}, static_cast<float>(gain_)};
  for (Index row = 0; row < out; ++row) {
    for (Index col = 0; col < in; ++col) {
      const bool embeds = row >= n_values_ && col >= n_values_;
      if (!embeds) weight.constants.push_back({row * in + col, row == col ? 1.0f : 0.0f});
    }
  }
  return {weight};
}

}  // namespace tagix
