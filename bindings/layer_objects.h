#pragma once

#include <memory>

#include "bindings.h"
#include "core/layer.h"

namespace tagix::python {

/// The layer that an object of Python's stands for: a layer, a Sequential or a Module. Throws
/// TypeError, naming the argument, for anything else.
std::shared_ptr<Layer> layer_of(const char* name, const py::object& object);

/// Adds the arguments of a layer's constructor, by their names.
void add_config(py::dict& dict, const Layer& layer);

/// The arguments of a layer's constructor by their names.
py::dict config_dict(const Layer& layer);

}  // namespace tagix::python
