#include "fused_layer.h"
#include "fused_network.h"
#include "launch.h"

namespace tagix::cuda {
namespace {

constexpr int lanes_each = 4;  // that share an output

/// The sum over the four lanes that share an output, in a fixed order.
__device__ __forceinline__ float sum_of_lanes(float value) {
  value += __shfl_xor_sync(0xffffffffu, value, 1);
  value += __shfl_xor_sync(0xffffffffu, value, 2);
  return value;
}

/// The moments of a layer's output for one row. Four neighbouring threads share an output: lane s
/// takes every fourth quad of its inputs.
template <bool known>
__device__ __forceinline__ void forward_row(const FusedLayer& layer, const float* var_in,
                                            int target, int target_stride, float* var_out,
                                            float* shared) {
  const int lane = static_cast<int>(threadIdx.x) % lanes_each;
  constexpr int outputs_at_once = fused_threads / lanes_each;
  // All lanes of a warp take part in every round, since they exchange sums.
  for (int first = 0; first < target_stride; first += outputs_at_once) {
    const int out = first + static_cast<int>(threadIdx.x) / lanes_each;
    float mean = 0, var = 0;
    if (out < target_stride) {
      const float* const w_mean = shared + layer.weight_mean + out * layer.weight_stride;
      const float* const w_var = shared + layer.weight_var + out * layer.weight_stride;
      const float* const a_mean = shared + layer.input;
      for (int quad = 4 * lane; quad < layer.input_stride; quad += 4 * lanes_each) {
#pragma unroll
        for (int k = quad; k < quad + 4; ++k) {
          const float am = a_mean[k], wm = w_mean[k], wv = w_var[k];
          mean += am * wm;
          if constexpr (!known) var += var_in[k] * math::second_moment(wm, wv);
          var += am * am * wv;
        }
      }
    }
    mean = sum_of_lanes(mean);
    var = sum_of_lanes(var);
    if (lane != 0 || out >= target_stride) continue;
    const bool inside = out < layer.out;
    math::ActivationMoments<float> moments{mean + shared[layer.bias_mean + out],
                                           var + shared[layer.bias_var + out], 1.0f};
    if (layer.has_activation) {
      moments = fused_moments(layer.activation, moments.mean, moments.var);
      shared[layer.jacobian + out] = inside ? moments.jacobian : 0;
    }
    shared[target + out] = inside ? moments.mean : 0;
    var_out[out] = inside ? moments.var : 0;
  }
}

/// The innovations of a layer's input from those of its output, one row: a group of threads takes
/// every n_groups-th quad of outputs, and the groups' sums are added in their order.
__device__ __forceinline__ void backward_row(const FusedLayer& layer, const FusedLayer& below,
                                             const float* d_mean, const float* d_var,
                                             float* mean_out, float* var_out, float* sums,
                                             float* shared) {
  const int stride = layer.input_stride, thread = static_cast<int>(threadIdx.x);
  const int n_groups = fused_threads / stride;
  const int group = thread / stride, column = thread % stride;
  if (group < n_groups) {
    const float* const weight = shared + layer.weight_mean + column;
    float mean = 0, var = 0;
    for (int quad = 4 * group; quad < layer.out; quad += 4 * n_groups) {
#pragma unroll
      for (int n = quad; n < quad + 4; ++n) {
        const float w = weight[n * layer.weight_stride];
        mean += d_mean[n] * w;
        var += d_var[n] * (w * w);
      }
    }
    sums[thread] = mean;
    sums[fused_threads + thread] = var;
  }
  __syncthreads();
  if (thread >= stride) return;
  math::Innovation<float> delta{sums[thread], sums[fused_threads + thread]};
  for (int other = 1; other < n_groups; ++other) {
    delta.delta_mean += sums[other * stride + thread];
    delta.delta_var += sums[fused_threads + other * stride + thread];
  }
  if (below.has_activation) {
    delta = math::through_jacobian(delta, shared[below.jacobian + thread]);
  }
  mean_out[thread] = delta.delta_mean;
  var_out[thread] = delta.delta_var;
}

/// body(shared offset of the mean and of the variance of a parameter, delta_mean, delta_var of its
/// output, its input) for each weight and, with an input of 1, for each bias.
template <class Body>
__device__ __forceinline__ void for_innovations(const FusedPlan& plan, const float* d_mean,
                                                const float* d_var, const float* shared,
                                                const Body& body) {
  for (int i = 0; i < plan.n_layers; ++i) {
    const FusedLayer& layer = plan.layer[i];
    const float* const own_mean = d_mean + i * plan.wide_stride;
    const float* const own_var = d_var + i * plan.wide_stride;
#pragma unroll 2
    for (Walk at(layer.in); at.row < layer.out; at.next()) {
      const int place = at.row * layer.weight_stride + at.column;
      body(layer.weight_mean + place, layer.weight_var + place, own_mean[at.row], own_var[at.row],
           shared[layer.input + at.column]);
    }
    const int out = static_cast<int>(threadIdx.x);
    if (layer.bias && out < layer.out) {
      body(layer.bias_mean + out, layer.bias_var + out, own_mean[out], own_var[out], 1.0f);
    }
  }
}

/// One block, which keeps the network in shared memory for all the rows. Beyond the plan's floats
/// it has the innovations of every layer's output, 2 x n_layers x wide_stride, and 2 x
/// fused_threads sums.
template <math::UpdateKind kind>
__global__ void __launch_bounds__(fused_threads, 1)
    fused_online_kernel(const __grid_constant__ FusedPlan plan, MomentsView parameters,
                        const __grid_constant__ TrainingRows rows, float spread, float bound,
                        MomentsView prediction, TrainingState* state) {
  if (state->failure != Failure::none) return;
  float* const shared = shared_memory();
  float* const d_mean = shared + plan.shared_floats;
  float* const d_var = d_mean + plan.n_layers * plan.wide_stride;
  float* const sums = d_var + plan.n_layers * plan.wide_stride;
  load_parameters(plan, parameters, shared);
  const int last = plan.n_layers - 1;
  for (Index row = 0; row < rows.input.rows; ++row) {
    load_inputs(plan, rows.input.mean + row * rows.input.cols, 1, shared);
    __syncthreads();
    for (int i = 0; i <= last; ++i) {
      const int target = i == last ? plan.output : plan.layer[i + 1].input;
      const int stride = i == last ? plan.output_stride : plan.layer[i + 1].input_stride;
      const float* const var_in = shared + plan.var[i % 2];
      float* const var_out = shared + plan.var[(i + 1) % 2];
      if (i == 0) {
        forward_row<true>(plan.layer[i], var_in, target, stride, var_out, shared);
      } else {
        forward_row<false>(plan.layer[i], var_in, target, stride, var_out, shared);
      }
      __syncthreads();
    }
    bool overflows = observe_outputs(plan, shared + plan.var[(last + 1) % 2], rows, row, 1, spread,
                                     prediction, state, shared);
    __syncthreads();
    for (int at = static_cast<int>(threadIdx.x); at < plan.wide_stride; at += fused_threads) {
      d_mean[last * plan.wide_stride + at] = shared[plan.delta_mean[0] + at];
      d_var[last * plan.wide_stride + at] = shared[plan.delta_var[0] + at];
    }
    __syncthreads();
    for (int i = last; i > 0; --i) {
      backward_row(plan.layer[i], plan.layer[i - 1], d_mean + i * plan.wide_stride,
                   d_var + i * plan.wide_stride, d_mean + (i - 1) * plan.wide_stride,
                   d_var + (i - 1) * plan.wide_stride, sums, shared);
      __syncthreads();
    }
    // Nothing changes unless all of it can: one that overflows ends the training.
    for_innovations(
        plan, d_mean, d_var, shared, [&](int, int, float delta_mean, float delta_var, float a) {
          overflows = overflows || !isfinite(delta_mean * a) || !isfinite(delta_var * (a * a));
        });
    if (overflows) set_failure(state, Failure::innovation);
    if (__syncthreads_or(overflows ? 1 : 0) != 0) break;
    for_innovations(plan, d_mean, d_var, shared,
                    [&](int mean, int var, float delta_mean, float delta_var, float a) {
                      const math::Posterior<float> posterior = math::updated<kind>(
                          shared[mean], shared[var], delta_mean * a, delta_var * (a * a), bound);
                      shared[mean] = posterior.mean;
                      shared[var] = posterior.var;
                    });
    __syncthreads();
  }
  for_parameters(plan, [&](int index, int mean, int var) {
    parameters.mean[index] = shared[mean];
    parameters.var[index] = shared[var];
  });
}

}  // namespace

void fused_online(const FusedPlan& plan, const TrainingRows& rows, const UpdateRule& rule,
                  MomentsView prediction, MomentsView parameters, TrainingState* state) {
  using math::UpdateKind;
  const auto kernel = rule.kind == UpdateKind::information
                          ? fused_online_kernel<UpdateKind::information>
                          : fused_online_kernel<UpdateKind::capped>;
  launch("fused online training", kernel,
         {dim3(1), dim3(fused_threads), fused_online_floats(plan) * sizeof(float)}, plan,
         parameters, rows, rule.spread(1, rows.noise.mean_weight), rule.bound_for(1), prediction,
         state);
}

std::size_t fused_online_floats(const FusedPlan& plan) {
  return static_cast<std::size_t>(plan.shared_floats + 2 * plan.n_layers * plan.wide_stride +
                                  2 * fused_threads);
}

}  // namespace tagix::cuda
