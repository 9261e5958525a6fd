#pragma once

#include <memory>
#include <vector>

#include "core/chain_step.h"
#include "core/executor.h"
#include "cpu/kernels.h"

namespace tagix::cpu {

/// Up to this many rows the online executor is the fastest one.
constexpr Index max_online_rows = 8;

/// An executor for batches of at most max_online_rows, as they come from a stream. It reads weights
/// where they lie, because packing them would take longer, works on the calling thread, and updates
/// a weight while it sums its innovations. Computes in float32 in every precision. Jacobians and
/// covariances come from `linearizer`, an executor of the same network that outlives it.
std::unique_ptr<Executor> make_online_executor(Backend& backend, const Kernels& kernels,
                                               const std::vector<ChainStep>& steps,
                                               Executor& linearizer);

}  // namespace tagix::cpu
