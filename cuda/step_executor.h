#pragma once

#include <memory>
#include <vector>

#include "core/executor.h"
#include "core/step.h"

namespace tagix::cuda {

/// Runs a list of steps in few kernels: an affine map takes the activation behind it along, an
/// innovation the Jacobian below it, all layers' parameters are updated by two kernels, and a
/// training step can be recorded as a graph. The steps must contain an affine map. What a batch
/// leaves behind for the backward pass may take `memory_floats`: larger batches go in pieces.
/// Tangents and covariances come from `by_graph`, an executor of the same network.
std::unique_ptr<Executor> make_step_executor(Backend& backend, const std::vector<Step>& steps,
                                             std::unique_ptr<Executor> by_graph,
                                             Index memory_floats = Index{1} << 28);

}  // namespace tagix::cuda
