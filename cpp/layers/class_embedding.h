#pragma once

#include "core/layer.h"

namespace tagix {

/// Rows [values, one-hot class] to [values, embedding of the class]: values pass as they are, and
/// each class has embedding_dim Gaussian unknowns with a posterior of their own. A row without a
/// class, all zeros, has the embedding 0 with variance 0.
///
/// It is the affine map with the weight
///
///   [ I  0 ]   n_values rows            I and both 0 are constants; column k of E^T is the
///   [ 0 E^T ]  embedding_dim rows       embedding of class k, with prior N(0, gain^2)
class ClassEmbedding final : public Layer {
 public:
  /// Throws std::invalid_argument unless the counts are at least 1 and the gain is in [1e-12,
  /// 1e12].
  ClassEmbedding(Index n_values, Index n_classes, Index embedding_dim, double gain);

  std::string name() const override { return "ClassEmbedding"; }
  Config config() const override;
  std::optional<Index> input_features() const override { return n_values_ + n_classes_; }
  graph::Value build(GraphBuilder& graph, std::span<const graph::Value> inputs) const override;

 private:
  Index n_values_;
  Index n_classes_;
  Index embedding_dim_;
  double gain_;
};

}  // namespace tagix
