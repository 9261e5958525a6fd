#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/precision.h"

// What the core knows of CUDA. The functions are defined in cuda/ where it is built, and else in
// cuda/no_cuda.cpp.

namespace tagix {

class Backend;

/// Whether this build has CUDA kernels.
bool cuda_is_built();

/// Why device "cuda" cannot be used, in words for a user; empty where it can.
std::optional<std::string> cuda_why_not();

/// The name of the GPU, as the driver gives it. Throws std::invalid_argument with the reason where
/// CUDA cannot be used.
std::string cuda_device_name();

/// Whether device "cuda" has a precision: float32 always, the others on a GPU of compute capability
/// 8.0 or more. Where no GPU can be used, whether this build has it.
bool cuda_has(Precision precision);

/// The backend of the GPU in a precision, shared by everything in the process. Throws std::invalid_argument where
/// CUDA cannot be used, or lacks the precision.
std::shared_ptr<Backend> cuda_backend(Precision precision = Precision::float32);

}  // namespace tagix
