#pragma once

#include <memory>
#include <string>

#include "core/backend.h"

namespace tagix::cpu {

/// A CPU backend that runs the kernels of one instruction set. Throws std::invalid_argument if this
/// processor or build lacks it, or if it lacks the precision.
std::unique_ptr<Backend> make_backend(const std::string& instruction_set,
                                      Precision precision = Precision::float32);

}  // namespace tagix::cpu
