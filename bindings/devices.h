#pragma once

#include <memory>
#include <string>

#include "arguments.h"
#include "core/backend.h"

namespace tagix::python {

/// The precision that an argument names.
Precision parse_precision(const Argument<std::string>& precision);

/// The backend of the device that an argument names; the ValueError for one that is not there says
/// why not.
std::shared_ptr<Backend> parse_backend(const Argument<std::string>& device,
                                       Precision precision = Precision::float32);

}  // namespace tagix::python
