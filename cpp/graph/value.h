#pragma once

#include <cstdint>

namespace tagix {

class GraphBuilder;

namespace graph {

/// A value of a network that is being written down: the number of the node that makes it.
using Value = std::int32_t;

}  // namespace graph
}  // namespace tagix
