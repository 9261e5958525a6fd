#pragma once

#include <cuda_runtime_api.h>

#include "core/moments.h"
#include "math/activations.h"

namespace tagix::cuda {

/// Moments of f(z) and the Jacobian Cov(z, f(z)) / Var z, elementwise, of float32 arrays in device
/// memory; an input without `var` is known exactly. Queued on `stream`; returns the launch's error.
cudaError_t activation_forward(const math::ActivationSpec& spec, ConstMomentsView input,
                               MomentsView output, float* jacobian, cudaStream_t stream);

}  // namespace tagix::cuda
