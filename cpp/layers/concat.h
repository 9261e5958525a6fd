#pragma once

#include <memory>
#include <vector>

#include "core/layer.h"

namespace tagix {

/// The outputs of several branches of the same input, side by side: channels of the first, then of
/// the second. A branch's parameters are named by its position, as in Sequential.
class Concat : public Layer {
 public:
  /// Throws std::invalid_argument unless there is a branch.
  explicit Concat(std::vector<std::shared_ptr<const Layer>> branches);

  std::string name() const override { return "Concat"; }
  Config config() const override { return {}; }
  std::optional<Index> input_features() const override;
  bool keeps_features() const override { return branches_.size() == 1; }
  graph::Value build(GraphBuilder& graph, std::span<const graph::Value> inputs) const override;

 private:
  std::vector<std::shared_ptr<const Layer>> branches_;
};

}  // namespace tagix
