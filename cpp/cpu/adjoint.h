#pragma once

#include "core/backend.h"
#include "core/moments.h"
#include "core/slopes.h"
#include "cpu/kernels.h"
#include "cpu/moments_product.h"

namespace tagix::cpu {

// Backend's operations of these names, with the kernels of an instruction set.

void start_adjoint(Index n_outputs, MomentsView adjoint);
void affine_adjoint(const Kernels& kernels, Formats formats, ConstMomentsView input,
                    ConstMomentsView weight, ConstMomentsView adjoint, MomentsView below);
void activation_slopes(const Kernels& kernels, const math::ActivationSpec& spec,
                       ConstMomentsView input, bool residual, SlopesView slopes);
void scale_adjoint(const Kernels& kernels, ConstSlopesView slopes, Index size,
                   ConstMomentsView adjoint, bool add, MomentsView below);
void affine_spread(const Kernels& kernels, Formats formats, ConstMomentsView input,
                   ConstMomentsView weight, ConstMomentsView bias, float* spread);
void activation_excess(const Kernels& kernels, const float* input_var, const float* jacobian,
                       const float* var, Index size, float* excess);
void product_excess(const float* a_var, const float* b_var, Index size, float* excess);
void add_spread(const Kernels& kernels, ConstMomentsView adjoint, const float* var,
                Index var_stride, Index n_outputs, Covariances covariances, float* covariance);
void add_weight_adjoint(const Kernels& kernels, const float* input, Index in,
                        ConstMomentsView adjoint, Index n_outputs, ColumnsView sums);
void gather_jacobian(ConstMomentsView adjoint, Index n_outputs, Index n_inputs, float* jacobian);

}  // namespace tagix::cpu
