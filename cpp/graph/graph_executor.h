#pragma once

#include <memory>

#include "core/executor.h"
#include "graph/graph.h"

namespace tagix {

/// How much memory a pass may take: 2048 rows of 50 layers of 512 units.
constexpr Index default_pass_bytes = Index{1} << 30;

/// The executor that runs any graph on any backend, one operation after the other. It is the oracle
/// of every executor that fuses operations. An input has graph->row_size columns.
///
/// A batch is cut into pieces that take at most `pass_bytes`, and no more than 2048 rows where it
/// is learned from, of a chain without functions of the user's own just 2048: so the memory for
/// what a backward pass needs is bounded. Where a backend sums innovations together, pieces of a
/// chain take all of `pass_bytes`. The cut depends on the backend, the graph and the batch size
/// alone.
std::unique_ptr<Executor> make_graph_executor(Backend& backend, std::shared_ptr<const Graph> graph,
                                              Index pass_bytes = default_pass_bytes);

/// The executor of a graph: fused where it is a chain and the backend can do that.
std::unique_ptr<Executor> make_executor(Backend& backend, std::shared_ptr<const Graph> graph);

}  // namespace tagix
