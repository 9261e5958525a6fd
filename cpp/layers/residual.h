#pragma once

#include <memory>

#include "core/layer.h"

namespace tagix {

/// x + body(x), or shortcut(x) + body(x), with parameters named "body..." and "shortcut...". The
/// two terms count as independent, but for a body that is one activation: then the moments are
/// exact.
class Residual : public Layer {
 public:
  /// `shortcut` null: x itself.
  explicit Residual(std::shared_ptr<const Layer> body,
                    std::shared_ptr<const Layer> shortcut = nullptr);

  std::string name() const override { return "Residual"; }
  Config config() const override { return {}; }
  std::optional<Index> input_features() const override;
  bool keeps_features() const override { return body_->keeps_features(); }
  graph::Value build(GraphBuilder& graph, std::span<const graph::Value> inputs) const override;

 private:
  std::shared_ptr<const Layer> body_;
  std::shared_ptr<const Layer> shortcut_;
};

}  // namespace tagix
