#include "graph/tap_buffers.h"

namespace tagix::graph {

TapBuffers::TapBuffers(Backend& backend, const Graph& graph) {
  for (const Node& node : graph.nodes) {
    const auto* mix = std::get_if<Mix>(&node.op);
    if (mix == nullptr) continue;
    for (const TapTable* taps : {mix->taps.get(), &mix->taps->transposed()}) {
      buffers_.try_emplace(taps, backend, *taps);
    }
  }
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
