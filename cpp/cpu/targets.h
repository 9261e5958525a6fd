#pragma once

#include "core/backend.h"
#include "cpu/kernels.h"

// The operations of Backend in which a prediction meets its targets, or is taken apart as they are.

namespace tagix::cpu {

void observe(const Kernels& kernels, ConstMomentsView prediction, const float* target,
             const NoiseView& noise, float spread, MomentsView delta);
void split_prediction(const Kernels& kernels, ConstMomentsView prediction, const NoiseView& noise,
                      MomentsView values, float* noise_var, float* total_var);
void class_probabilities(const Kernels& kernels, ConstMomentsView prediction,
                         const math::ClassHead& classes, float* probabilities);
void sum_predictions(const Kernels& kernels, ConstMomentsView prediction, const float* target,
                     const NoiseView& noise, TrainingState* state);

}  // namespace tagix::cpu
