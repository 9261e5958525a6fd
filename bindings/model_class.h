#pragma once

#include <memory>

#include "bindings.h"
#include "models/model.h"

namespace tagix::python {

/// The class Model, which several files add methods to.
using ModelClass = py::class_<Model, std::shared_ptr<Model>>;

void bind_parameters(ModelClass& cls);
void bind_predictions(ModelClass& cls);
void bind_updates(ModelClass& cls);
void bind_linearization(ModelClass& cls);

}  // namespace tagix::python
