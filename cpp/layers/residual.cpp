#include "layers/residual.h"

#include <utility>

#include "graph/builder.h"

namespace tagix {

Residual::Residual(std::shared_ptr<const Layer> body, std::shared_ptr<const Layer> shortcut)
    : body_(std::move(body)), shortcut_(std::move(shortcut)) {}

std::optional<Index> Residual::input_features() const {
  const std::optional<Index> of_body = body_->input_features();
  return of_body || !shortcut_ ? of_body : shortcut_->input_features();
}

graph::Value Residual::build(GraphBuilder& graph, std::span<const graph::Value> inputs) const {
  const graph::Value body = graph.apply("body", *body_, inputs);
  const graph::Value shortcut =
      shortcut_ ? graph.apply("shortcut", *shortcut_, inputs) : graph.only(inputs);
  return graph.add(shortcut, body);
}

}  // namespace tagix
