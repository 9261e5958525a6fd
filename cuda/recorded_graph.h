#pragma once

#include <functional>
#include <memory>

#include "core/recording.h"

namespace tagix::cuda {

/// Records what `queue` queues on the calling thread's stream as a graph. Memory must not be
/// allocated on the way.
std::unique_ptr<Recording> record_graph(const std::function<void()>& queue);

}  // namespace tagix::cuda
