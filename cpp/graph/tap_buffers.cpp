#include "graph/tap_buffers.h"

#include <array>

namespace tagix::graph {

TapBuffers::TapBuffers(Backend& backend, const Graph& graph) {
  const auto both = [](const Taps& taps) { return std::array{taps.get(), &taps->transposed()}; };
  for (const Node& node : graph.nodes) {
    if (const auto* mix = std::get_if<Mix>(&node.op)) {
      for (const TapTable* taps : both(mix->taps)) buffers_.try_emplace(taps, backend, *taps);
    }
    const auto* map = std::get_if<Affine>(&node.op);
    const auto* largest = std::get_if<Largest>(&node.op);
    const Taps windows = map != nullptr ? map->taps : largest != nullptr ? largest->taps : nullptr;
    if (windows == nullptr) continue;
    for (const TapTable* taps : both(windows)) {
      const auto [buffer, is_new] = positions_.try_emplace(taps, backend);
      if (is_new) buffer->second.assign(taps->positions());
    }
  }
}

PositionsView TapBuffers::windows_of(const TapTable& taps) const {
  return {positions_.at(&taps).data(), taps.n_taps(), positions_of(taps.input_grid()),
          positions_of(taps.grid())};
}

TapBuffers::Table::Table(Backend& backend, const TapTable& taps)
    : inputs(positions_of(taps.input_grid())),
      results(positions_of(taps.grid())),
      start(backend),
      input(backend),
      weight(backend) {
  std::vector<std::int32_t> starts(static_cast<std::size_t>(results) + 1), inputs_of_taps;
  std::vector<float> weights;
  for (const TapTable::Tap& tap : taps.taps()) {
    ++starts[static_cast<std::size_t>(tap.result) + 1];
    inputs_of_taps.push_back(static_cast<std::int32_t>(tap.input));
    weights.push_back(tap.weight);
  }
  for (std::size_t i = 1; i < starts.size(); ++i) starts[i] += starts[i - 1];
  start.assign(starts);
  input.assign(inputs_of_taps);
  weight.assign(weights);
}

TapsView TapBuffers::Table::view() const {
  return {start.data(), input.data(), weight.data(), inputs, results};
}

}  // namespace tagix::graph
