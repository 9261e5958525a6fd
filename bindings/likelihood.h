#pragma once

#include "bindings.h"
#include "math/classes.h"

namespace tagix::python {

/// What a likelihood of Python's says of a network's outputs; nothing for None.
math::ClassHead class_head(const py::object& likelihood);

}  // namespace tagix::python
