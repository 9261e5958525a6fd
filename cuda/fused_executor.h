#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "core/chain_step.h"
#include "core/executor.h"

namespace tagix::cuda {

/// Trains a small network in one kernel and its update in another, or, one row at a time, on many
/// rows in one kernel; leaves the rest, and networks that do not fit into a block's shared memory,
/// to `by_graph`. The steps must contain an affine map. Clusters of blocks are used where the GPU
/// has them, unless `use_clusters` says otherwise.
std::unique_ptr<Executor> make_fused_executor(Backend& backend, const std::vector<ChainStep>& steps,
                                              std::unique_ptr<Executor> by_graph,
                                              std::optional<bool> use_clusters = std::nullopt);

}  // namespace tagix::cuda
