#pragma once

#include "async_copy.h"
#include "device.h"
#include "failure.h"
#include "fused_activation.h"
#include "fused_network.h"
#include "math/affine.h"
#include "target_noise.h"

// What the kernels of fused networks have in common. All functions are called by every thread of a
// block.

namespace tagix::cuda {

constexpr int fused_threads = 256;  // of a block

/// The elements of a matrix of `columns` columns that one thread of a block takes, one after the
/// other; without a division for each.
struct Walk {
  int row, column;

  __device__ __forceinline__ explicit Walk(int columns)
      : row(static_cast<int>(threadIdx.x) / columns),
        column(static_cast<int>(threadIdx.x) % columns),
        columns_(columns),
        row_step_(static_cast<int>(blockDim.x) / columns),
        column_step_(static_cast<int>(blockDim.x) % columns) {}

  __device__ __forceinline__ void next() {
    row += row_step_;
    column += column_step_;
    if (column >= columns_) {
      column -= columns_;
      ++row;
    }
  }

 private:
  int columns_, row_step_, column_step_;
};

/// Calls body(index in the network's planes, offset in shared memory of the mean, and of the
/// variance) for each parameter.
template <class Body>
__device__ __forceinline__ void for_parameters(const FusedPlan& plan, const Body& body) {
  for (int i = 0; i < plan.n_layers; ++i) {
    const FusedLayer& layer = plan.layer[i];
#pragma unroll 4
    for (Walk at(layer.in); at.row < layer.out; at.next()) {
      const int place = at.row * layer.weight_stride + at.column;
      body(layer.parameters + at.row * layer.in + at.column, layer.weight_mean + place,
           layer.weight_var + place);
    }
    const int out = static_cast<int>(threadIdx.x);
    if (layer.bias && out < layer.out) {
      body(layer.parameters + layer.out * layer.in + out, layer.bias_mean + out,
           layer.bias_var + out);
    }
  }
}

/// Brings the parameters to shared memory, and 0 to what pads them. A barrier has to follow.
__device__ __forceinline__ void load_parameters(const FusedPlan& plan, ConstMomentsView parameters,
                                                float* shared) {
  AsyncCopies copies;
  for_parameters(plan, [&](int index, int mean, int var) {
    copies.copy<1>(shared + mean, parameters.mean + index, 1);
    copies.copy<1>(shared + var, parameters.var + index, 1);
  });
  copies.end_group();
  const auto clear = [&](int at) { shared[at] = 0; };
  for (int i = 0; i < plan.n_layers; ++i) {
    const FusedLayer& layer = plan.layer[i];
    const int rows = (layer.out + 3) / 4 * 4;
    for (Walk at(layer.weight_stride - layer.in + 1); at.row < layer.out; at.next()) {
      // One column more than there are, which may be none.
      const int column = layer.in + at.column;
      if (column == layer.weight_stride) continue;
      clear(layer.weight_mean + at.row * layer.weight_stride + column);
      clear(layer.weight_var + at.row * layer.weight_stride + column);
    }
    for (Walk at(layer.weight_stride); layer.out + at.row < rows; at.next()) {
      const int place = (layer.out + at.row) * layer.weight_stride + at.column;
      clear(layer.weight_mean + place);
      clear(layer.weight_var + place);
    }
    const int out = static_cast<int>(threadIdx.x);
    if (out < rows && (!layer.bias || out >= layer.out)) {
      clear(layer.bias_mean + out);
      clear(layer.bias_var + out);
    }
  }
  copies.wait<0>();
}

/// Brings rows of inputs, which are known, to shared memory; rows from `count` on are 0.
__device__ __forceinline__ void load_inputs(const FusedPlan& plan, const float* input, int count,
                                            float* shared) {
  const FusedLayer& layer = plan.layer[0];
  for (Walk at(layer.input_stride); at.row < plan.rows; at.next()) {
    const bool inside = at.row < count && at.column < layer.in;
    shared[layer.input + at.row * layer.input_stride + at.column] =
        inside ? input[at.row * layer.in + at.column] : 0.0f;
  }
}

/// Writes the predictions for `count` rows from `first_row` on, and the innovations of the outputs
/// (in shared memory, at delta[0]), passed below the last activation. Rows and columns that pad are
/// 0. `var` holds the variances of the outputs. A noise head has the link exp. Returns whether a
/// prediction of this thread's is not finite, and marks the failure.
__device__ __forceinline__ bool observe_outputs(const FusedPlan& plan, const float* var,
                                                const TrainingRows& rows, Index first_row,
                                                int count, float spread, MomentsView prediction,
                                                TrainingState* state, float* shared) {
  const FusedLayer& last = plan.layer[plan.n_layers - 1];
  const NoiseView& noise = rows.noise;
  const int n_targets = noise.head.n_targets(last.out);
  const auto write = [&](int row, int column, math::Innovation<float> delta) {
    if (noise.weight != nullptr) delta = math::weighted(delta, noise.weight[first_row + row]);
    if (last.has_activation) {
      delta =
          math::through_jacobian(delta, shared[last.jacobian + row * plan.output_stride + column]);
    }
    const int at = row * plan.wide_stride + column;
    shared[plan.delta_mean[0] + at] = delta.delta_mean;
    shared[plan.delta_var[0] + at] = delta.delta_var;
  };
  bool overflows = false;
  for (Walk walk(plan.wide_stride); walk.row < plan.rows; walk.next()) {
    const int row = walk.row, column = walk.column, at = row * plan.wide_stride + column;
    if (row >= count || column >= last.out) {
      shared[plan.delta_mean[0] + at] = 0;
      shared[plan.delta_var[0] + at] = 0;
      continue;
    }
    const Index global_row = first_row + row;
    const float* const mean = shared + plan.output + row * plan.output_stride + column;
    prediction.mean[global_row * last.out + column] = *mean;
    prediction.var[global_row * last.out + column] = var[at];
    if (!(isfinite(*mean) && isfinite(var[at]))) overflows = true;
    if (column >= n_targets) continue;  // a noise head's, with its value
    const float target = rows.target[global_row * n_targets + column];
    if (!noise.head.exists()) {
      const float noise_var = noise.known_var(global_row, column);
      write(row, column, math::innovation(*mean, var[at], target, noise_var, spread));
      continue;
    }
    const math::NoisyInnovation<float> delta = math::noisy_innovation(
        *mean, var[at],
        inferred_noise<Links::exp>(noise.head, mean[n_targets], var[at + n_targets]),
        noise.head.expects_information, target, spread);
    write(row, column, delta.value);
    write(row, column + n_targets, delta.noise);
  }
  if (overflows) set_failure(state, Failure::prediction);
  return overflows;
}

}  // namespace tagix::cuda
