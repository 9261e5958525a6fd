#include "layers/residual.h"

#include <utility>

#include "core/require.h"
#include "graph/builder.h"

namespace tagix {

Residual::Residual(std::shared_ptr<const Layer> body, std::shared_ptr<const Layer> shortcut)
    : body_(std::move(body)), shortcut_(std::move(shortcut)) {}

std::optional<Index> Residual::input_features() const {
  const std::optional<Index> of_body = body_->input_features();
  return of_body || !shortcut_ ? of_body : shortcut_->input_features();
}

Index Residual::output_features(Index input_features) const {
  const Index of_body = body_->output_features(input_features);
  const Index of_shortcut = shortcut_ ? shortcut_->output_features(input_features) : input_features;
  require(of_body == of_shortcut, "body: got ", of_body, " outputs, needed ", of_shortcut);
  return of_body;
}

std::vector<ParameterSpec> Residual::parameters() const {
  std::vector<ParameterSpec> specs;
  append_parameters("body", *body_, specs);
  if (shortcut_) append_parameters("shortcut", *shortcut_, specs);
  return specs;
}

graph::Value Residual::build(GraphBuilder& graph, std::span<const graph::Value> inputs) const {
  const graph::Value x = graph.only(inputs);
  const auto child = [&](const char* name, const Layer& layer) {
    const GraphBuilder::Scope scope = graph.enter(name);
    return layer.build(graph, inputs);
  };
  const graph::Value body = child("body", *body_);
  return graph.add(shortcut_ ? child("shortcut", *shortcut_) : x, body);
}

}  // namespace tagix
