#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/precision.h"

// What the core knows of CUDA. The functions are defined in cuda/ where it is built, and else in
// cuda/no_cuda.cpp.

namespace tagix {

class Backend;

/// Whether this build has CUDA kernels.
bool cuda_is_built();

/// What GPUs the kernels were compiled for: "sm_80", machine code for compute capability 8.0, or
/// "compute_80", PTX, which the driver compiles when it first runs on a later one.
std::vector<std::string> cuda_architectures();

/// Why device "cuda" cannot be used, in words for a user; empty where it can.
std::optional<std::string> cuda_why_not();

/// The name of the GPU, as the driver gives it. Throws std::invalid_argument with the reason where
/// CUDA cannot be used.
std::string cuda_device_name();

/// Whether device "cuda" has a precision: float32 always, the others where the GPU runs code for
/// compute capability 8.0 or more. Where no GPU can be used, whether this build has it.
bool cuda_has(Precision precision);

/// The backend of the GPU in a precision, shared by everything in the process. Throws
/// std::invalid_argument where CUDA cannot be used, or lacks the precision.
std::shared_ptr<Backend> cuda_backend(Precision precision = Precision::float32);

/// The stream on which the calling thread's work is queued, as the number that other libraries know
/// it by. Throws std::invalid_argument where the build has no CUDA.
std::uintptr_t cuda_stream();

/// Returns when all that anyone in the process has queued on the GPU has been done, or has failed.
void cuda_wait_for_all() noexcept;

}  // namespace tagix
