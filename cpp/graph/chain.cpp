#include "graph/chain.h"

#include <variant>

namespace tagix {

std::optional<std::vector<ChainStep>> as_chain(const Graph& graph) {
  std::vector<ChainStep> steps;
  if (!graph.is_whole_row(0)) return std::nullopt;
  Index offset = 0;  // of the parameters that are to come
  for (std::size_t i = 1; i < graph.nodes.size(); ++i) {
    const auto& [op, shape, path] = graph.nodes[i];
    const std::vector<graph::Value> inputs = graph::inputs_of(op);
    if (inputs.size() != 1 || inputs[0] != static_cast<graph::Value>(i) - 1) return std::nullopt;
    if (const auto* affine = std::get_if<graph::Affine>(&op)) {
      const AffineStep step{graph.shape(affine->x).channels, shape.channels,
                            affine->bias.has_value()};
      const bool in_order =
          affine->weight == offset && (!step.bias || *affine->bias == offset + step.weight_size());
      if (shape.positions() != 1 || affine->taps != nullptr || !in_order) return std::nullopt;
      offset += step.parameter_count();
      steps.emplace_back(step);
    } else if (const auto* activation = std::get_if<graph::Activate>(&op)) {
      if (activation->residual) return std::nullopt;
      std::visit([&steps](const auto& function) { steps.emplace_back(function); },
                 activation->function);
    } else if (!std::holds_alternative<graph::Reshape>(op)) {
      return std::nullopt;
    }
  }
  const bool is_whole = offset == graph.parameter_count() && !steps.empty();
  return is_whole ? std::optional(std::move(steps)) : std::nullopt;
}

}  // namespace tagix
