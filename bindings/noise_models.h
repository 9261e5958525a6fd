#pragma once

#include <optional>

#include "bindings.h"
#include "core/noise.h"

namespace tagix::python {

/// The noise that a network is to infer, if a noise model of Python's is one that is learned.
std::optional<LearnedNoise> learned_noise(const py::object& noise);

}  // namespace tagix::python
