#pragma once

#include "device.h"
#include "fused_network.h"
#include "math/affine.h"

// What the kernels of fused networks have in common. All functions are called by every thread of a
// block.

namespace tagix::cuda {

/// Moments of an activation of the ReLU kind.
__device__ __forceinline__ math::ActivationMoments<float> relu_kind_moments(
    const math::ActivationSpec& spec, float mean, float var) {
  const bool exact = spec.form == math::MomentsForm::exact;
  if (spec.kind == math::ActivationKind::relu) {
    if (exact) return math::ReLU{}.exact(mean, var);
    return math::FirstOrderMoments<math::ReLU>{}(mean, var);
  }
  if (spec.kind == math::ActivationKind::leaky_relu) {
    const math::LeakyReLU function{spec.negative_slope};
    if (exact) return function.exact(mean, var);
    return math::FirstOrderMoments<math::LeakyReLU>{function}(mean, var);
  }
  return {mean, var, 1.0f};
}

/// Calls body(index in the network's planes, offset in shared memory of the mean, and of the
/// variance) for each parameter, and with index -1 for each place that pads an array.
template <class Body>
__device__ __forceinline__ void for_parameters(const FusedPlan& plan, const Body& body) {
  const int threads = static_cast<int>(blockDim.x), thread = static_cast<int>(threadIdx.x);
  for (int i = 0; i < plan.n_layers; ++i) {
    const FusedLayer& layer = plan.layer[i];
    const int rows = (layer.out + 3) / 4 * 4;
    for (int at = thread; at < rows * layer.weight_stride; at += threads) {
      const int row = at / layer.weight_stride, column = at % layer.weight_stride;
      const bool inside = row < layer.out && column < layer.in;
      body(inside ? layer.parameters + row * layer.in + column : -1, layer.weight_mean + at,
           layer.weight_var + at);
    }
    for (int at = thread; at < rows; at += threads) {
      const bool inside = layer.bias && at < layer.out;
      body(inside ? layer.parameters + layer.out * layer.in + at : -1, layer.bias_mean + at,
           layer.bias_var + at);
    }
  }
}

/// Brings the parameters to shared memory.
__device__ __forceinline__ void load_parameters(const FusedPlan& plan, ConstMomentsView parameters,
                                                float* shared) {
  for_parameters(plan, [&](int index, int mean, int var) {
    shared[mean] = index < 0 ? 0.0f : parameters.mean[index];
    shared[var] = index < 0 ? 0.0f : parameters.var[index];
  });
}

/// Brings rows of inputs, which are known, to shared memory; rows from `count` on are 0.
__device__ __forceinline__ void load_inputs(const FusedPlan& plan, const float* input, int count,
                                            float* shared) {
  const FusedLayer& layer = plan.layer[0];
  for (int at = static_cast<int>(threadIdx.x); at < plan.rows * layer.input_stride;
       at += static_cast<int>(blockDim.x)) {
    const int row = at / layer.input_stride, column = at % layer.input_stride;
    const bool inside = row < count && column < layer.in;
    shared[layer.input + at] = inside ? input[row * layer.in + column] : 0.0f;
  }
}

/// Marks a failure; of two the greater one stays, whichever comes first.
__device__ __forceinline__ void set_failure(TrainingState* state, Failure failure) {
  atomicMax(reinterpret_cast<int*>(&state->failure), static_cast<int>(failure));
}

/// Writes the predictions for `count` rows from `first_row` on, and the innovations of the outputs
/// (in shared memory, at delta[0]), passed below the last activation. Rows and columns that pad are
/// 0. `var` holds the variances of the outputs. Returns whether a prediction of this thread's is
/// not finite, and marks the failure.
__device__ __forceinline__ bool observe_outputs(const FusedPlan& plan, const float* var,
                                                const TrainingRows& rows, Index first_row,
                                                int count, float spread, MomentsView prediction,
                                                TrainingState* state, float* shared) {
  const FusedLayer& last = plan.layer[plan.n_layers - 1];
  bool overflows = false;
  for (int at = static_cast<int>(threadIdx.x); at < plan.rows * plan.wide_stride;
       at += static_cast<int>(blockDim.x)) {
    const int row = at / plan.wide_stride, column = at % plan.wide_stride;
    math::Innovation<float> delta{0, 0};
    if (row < count && column < last.out) {
      const Index global_row = first_row + row;
      const Index global = global_row * last.out + column;
      const float output_mean = shared[plan.output + row * plan.output_stride + column];
      const float output_var = var[at];
      prediction.mean[global] = output_mean;
      prediction.var[global] = output_var;
      if (!(isfinite(output_mean) && isfinite(output_var))) {
        overflows = true;
      }
      const BroadcastView& noise = rows.noise_var;
      delta = math::innovation(
          output_mean, output_var, rows.target[global],
          noise.data[global_row * noise.row_stride + column * noise.col_stride], spread);
      if (last.has_activation) {
        delta = math::through_jacobian(delta,
                                       shared[last.jacobian + row * plan.output_stride + column]);
      }
    }
    shared[plan.delta_mean[0] + at] = delta.delta_mean;
    shared[plan.delta_var[0] + at] = delta.delta_var;
  }
  if (overflows) set_failure(state, Failure::prediction);
  return overflows;
}

}  // namespace tagix::cuda
