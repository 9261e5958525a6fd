#pragma once

#include <vector>

#include "bindings.h"
#include "graph/shape.h"

namespace tagix::python {

/// A shape as Python has it: channels first, then the grid.
Shape to_shape(const std::vector<Index>& extents);

/// (channels, *grid)
py::tuple to_tuple(const Shape& shape);

}  // namespace tagix::python
