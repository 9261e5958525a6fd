#pragma once

#include "core/backend.h"
#include "cpu/kernels.h"

// The operations of Backend on each element by itself, as loops of kernels over pieces.

namespace tagix::cpu {

void activation_forward(const Kernels& kernels, const math::ActivationSpec& spec,
                        ConstMomentsView input, MomentsView output, float* jacobian);
void activation_values(const Kernels& kernels, const math::ActivationSpec& spec, const float* input,
                       Index size, float* output);
void scale_deltas(const Kernels& kernels, const float* jacobian, MomentsView delta);
void update(const Kernels& kernels, const UpdateRule& rule, Index batch_size,
            ConstMomentsView innovation, MomentsView parameters, const TrainingState* state);
void forget(const Kernels& kernels, const ParameterWalk& step, const math::DriftState* drift,
            const TrainingState* state, Index size, float* var);
void copy(ConstMomentsView values, MomentsView target);
void add(const Kernels& kernels, ConstMomentsView values, MomentsView sum);
void check_finite(const Kernels& kernels, ConstMomentsView innovation, TrainingState* state);

}  // namespace tagix::cpu
