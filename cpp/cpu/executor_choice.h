#pragma once

#include <memory>
#include <vector>

#include "core/chain_step.h"
#include "core/executor.h"
#include "cpu/kernels.h"

namespace tagix::cpu {

/// The CPU's executor of a list of steps: the online one for a few rows, the tiled one for more,
/// and `by_graph` where a network is too wide for tiles. Steps without a parameter are left to
/// `by_graph`, as are a few rows where a step is a function of the user's own.
std::unique_ptr<Executor> make_fused_executor(Backend& backend, const Kernels& kernels,
                                              const std::vector<ChainStep>& steps,
                                              std::unique_ptr<Executor> by_graph);

}  // namespace tagix::cpu
