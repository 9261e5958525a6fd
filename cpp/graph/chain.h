#pragma once

#include <optional>
#include <vector>

#include "core/chain_step.h"
#include "graph/graph.h"

namespace tagix {

/// The steps of a graph that is a plain chain: affine maps of single positions and activations, one
/// after the other, from the whole row of data on, whose parameters lie in that order. Nothing for
/// any other graph, and for one that is its input. Executors that fuse steps run such a graph.
std::optional<std::vector<ChainStep>> as_chain(const Graph& graph);

}  // namespace tagix
