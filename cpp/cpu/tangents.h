#pragma once

#include "core/moments.h"
#include "core/slopes.h"
#include "cpu/kernels.h"

// The operations of Backend that take tangents and covariances through a network, but for affine
// maps of tangents (cpu/affine_products.h).

namespace tagix::cpu {

void start_tangents(Index n_directions, MomentsView tangents);
void activation_slopes(const Kernels& kernels, const math::ActivationSpec& spec,
                       ConstMomentsView input, SlopesView slopes);
void scale_tangents(const Kernels& kernels, ConstSlopesView slopes, Index size,
                    MomentsView tangents);
void gather_jacobian(ConstMomentsView tangents, Index n_directions, Index n_outputs,
                     float* jacobian);
void affine_covariance(const Kernels& kernels, ConstMomentsView input, ConstMomentsView weight,
                       const float* var, Index n_outputs, float* covariance);
void scale_covariance(const float* jacobian, ConstMomentsView output, Index n_outputs,
                      float* covariance);

}  // namespace tagix::cpu
