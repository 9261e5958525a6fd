#pragma once

#include <memory>
#include <vector>

#include "core/chain_step.h"
#include "core/executor.h"
#include "cpu/kernels.h"

namespace tagix::cpu {

/// An executor that takes a tile of rows forward and backward through all steps while it stays in
/// cache, several tiles at a time on several threads. Its results do not depend on the number of
/// threads.
///
/// Returns null for steps without a parameter, for so many parameters that the products alone fill
/// the time and a sum of innovations for each thread would take too much memory, and for layers so
/// wide that a tile would leave the cache. Adjoints of many outputs are left to `by_graph`, an
/// executor of the same network that outlives it; so are all adjoints of a network with functions
/// of the user's own, for which tiles would have to keep more between their phases, and its means
/// alone, of which the functions take the most time.
std::unique_ptr<Executor> make_tiled_executor(Backend& backend, const Kernels& kernels,
                                              const std::vector<ChainStep>& steps,
                                              Executor& by_graph);

}  // namespace tagix::cpu
