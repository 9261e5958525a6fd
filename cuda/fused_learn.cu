#include <cfloat>

#include "fused_layer.h"
#include "fused_network.h"
#include "launch.h"
#include "summed_batches.h"

namespace tagix::cuda {
namespace {

/// Four neighbours of an array in shared memory.
__device__ __forceinline__ float4 four(const float* at) {
  return *reinterpret_cast<const float4*>(at);
}

/// Sums over four neighbours along the depth of the products of a row's means and variances with a
/// weight's (math/affine.h):
///   mean += a_mean w_mean,  var += a_var (w_mean^2 + w_var) + a_mean^2 w_var
template <bool known>
__device__ __forceinline__ void add_products(const float4& a_mean, const float4& a_var,
                                             const float4& w_mean, const float4& w_second,
                                             const float4& w_var, float& mean, float& var) {
  mean += a_mean.x * w_mean.x;
  mean += a_mean.y * w_mean.y;
  mean += a_mean.z * w_mean.z;
  mean += a_mean.w * w_mean.w;
  if constexpr (!known) {
    var += a_var.x * w_second.x;
    var += a_var.y * w_second.y;
    var += a_var.z * w_second.z;
    var += a_var.w * w_second.w;
  }
  var += a_mean.x * a_mean.x * w_var.x;
  var += a_mean.y * a_mean.y * w_var.y;
  var += a_mean.z * a_mean.z * w_var.z;
  var += a_mean.w * a_mean.w * w_var.w;
}

/// Where the threads of a block stand: each takes one column of `rows_each` rows.
template <int rows_each>
struct Place {
  static constexpr int columns = fused_threads * rows_each / fused_rows;
  int column = static_cast<int>(threadIdx.x) % columns;
  int first_row = static_cast<int>(threadIdx.x) / columns * rows_each;
};

/// The moments of a layer's output and its activation's Jacobian, from shared to shared memory.
template <int rows_each, bool known>
__device__ __forceinline__ void forward_layer(const FusedPlan& plan, const FusedLayer& layer,
                                              const float* var_in, int target, int target_stride,
                                              float* var_out, float* shared) {
  const Place<rows_each> place;
  if (place.column >= target_stride) return;
  const float* const w_mean = shared + layer.weight_mean + place.column * layer.weight_stride;
  const float* const w_var = shared + layer.weight_var + place.column * layer.weight_stride;
  const float* const a_mean = shared + layer.input + place.first_row * layer.input_stride;
  const float* const a_var = var_in + place.first_row * plan.wide_stride;
  float mean[rows_each] = {}, var[rows_each] = {};
#pragma unroll 2
  for (int k = 0; k < layer.input_stride; k += 4) {
    const float4 wm = four(w_mean + k), wv = four(w_var + k);
    const float4 second = {math::second_moment(wm.x, wv.x), math::second_moment(wm.y, wv.y),
                           math::second_moment(wm.z, wv.z), math::second_moment(wm.w, wv.w)};
#pragma unroll
    for (int i = 0; i < rows_each; ++i) {
      const float4 am = four(a_mean + i * layer.input_stride + k);
      float4 av{};
      if constexpr (!known) av = four(a_var + i * plan.wide_stride + k);
      add_products<known>(am, av, wm, second, wv, mean[i], var[i]);
    }
  }
  const float bias_mean = shared[layer.bias_mean + place.column];
  const float bias_var = shared[layer.bias_var + place.column];
  const bool inside = place.column < layer.out;
  float* const mean_at = shared + target + place.first_row * target_stride + place.column;
  float* const var_at = var_out + place.first_row * plan.wide_stride + place.column;
#pragma unroll
  for (int i = 0; i < rows_each; ++i) {
    mean_at[i * target_stride] = inside ? mean[i] + bias_mean : 0.0f;
    var_at[i * plan.wide_stride] = inside ? var[i] + bias_var : 0.0f;
  }
  if (!layer.has_activation) return;
  float* const jacobian_at =
      shared + layer.jacobian + place.first_row * target_stride + place.column;
  // Not unrolled: the code of the activation stands here once, and no sum lives across it.
#pragma unroll 1
  for (int i = 0; i < rows_each; ++i) {
    const math::ActivationMoments<float> moments =
        fused_moments(layer.activation, mean_at[i * target_stride], var_at[i * plan.wide_stride]);
    mean_at[i * target_stride] = inside ? moments.mean : 0.0f;
    var_at[i * plan.wide_stride] = inside ? moments.var : 0.0f;
    jacobian_at[i * target_stride] = inside ? moments.jacobian : 0.0f;
  }
}

/// The innovations of a layer's input from those of its output, passed below the activation of the
/// layer before.
template <int rows_each>
__device__ __forceinline__ void backward_layer(const FusedPlan& plan, const FusedLayer& layer,
                                               const FusedLayer& below, int from, int to,
                                               float* shared) {
  const Place<rows_each> place;
  if (place.column >= layer.input_stride) return;
  const float* const d_mean = shared + plan.delta_mean[from] + place.first_row * plan.wide_stride;
  const float* const d_var = shared + plan.delta_var[from] + place.first_row * plan.wide_stride;
  const float* const weight = shared + layer.weight_mean + place.column;
  float mean[rows_each] = {}, var[rows_each] = {};
#pragma unroll 2
  for (int n = 0; n < layer.out; n += 4) {
    float w[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) w[j] = weight[(n + j) * layer.weight_stride];
#pragma unroll
    for (int i = 0; i < rows_each; ++i) {
      const float4 dm = four(d_mean + i * plan.wide_stride + n);
      const float4 dv = four(d_var + i * plan.wide_stride + n);
      mean[i] += dm.x * w[0];
      mean[i] += dm.y * w[1];
      mean[i] += dm.z * w[2];
      mean[i] += dm.w * w[3];
      var[i] += dv.x * (w[0] * w[0]);
      var[i] += dv.y * (w[1] * w[1]);
      var[i] += dv.z * (w[2] * w[2]);
      var[i] += dv.w * (w[3] * w[3]);
    }
  }
#pragma unroll
  for (int i = 0; i < rows_each; ++i) {
    const int row = place.first_row + i;
    math::Innovation<float> delta{mean[i], var[i]};
    if (below.has_activation) {
      delta = math::through_jacobian(
          delta, shared[below.jacobian + row * layer.input_stride + place.column]);
    }
    const int at = row * plan.wide_stride + place.column;
    shared[plan.delta_mean[to] + at] = delta.delta_mean;
    shared[plan.delta_var[to] + at] = delta.delta_var;
  }
}

/// A piece of the sums in global memory.
struct Piece {
  float* mean;
  float* var;
  float limit;  ///< beyond which the pieces together may overflow
  TrainingState* state;

  __device__ __forceinline__ void write(int at, float delta_mean, float delta_var) const {
    mean[at] = delta_mean;
    var[at] = delta_var;
    if (!(math::abs(delta_mean) <= limit && math::abs(delta_var) <= limit)) {
      set_failure(state, Failure::innovation);
    }
  }
};

/// Writes sums of a block's rows to its piece, or adds them to what it holds from rows before.
struct ToPiece {
  Piece piece;
  bool add;

  __device__ __forceinline__ void weight(const FusedLayer& layer, int out, int in, float delta_mean,
                                         float delta_var) const {
    write(layer.parameters + out * layer.in + in, delta_mean, delta_var);
  }
  __device__ __forceinline__ void bias(const FusedLayer& layer, int out, float delta_mean,
                                       float delta_var) const {
    write(layer.parameters + layer.out * layer.in + out, delta_mean, delta_var);
  }
  __device__ __forceinline__ void write(int at, float delta_mean, float delta_var) const {
    if (add) {
      delta_mean += piece.mean[at];
      delta_var += piece.var[at];
    }
    piece.write(at, delta_mean, delta_var);
  }
};

/// Writes sums of a block's rows in the place of the weights, which are no longer needed.
struct ToShared {
  float* shared;

  __device__ __forceinline__ void weight(const FusedLayer& layer, int out, int in, float delta_mean,
                                         float delta_var) const {
    shared[layer.weight_mean + out * layer.weight_stride + in] = delta_mean;
    shared[layer.weight_var + out * layer.weight_stride + in] = delta_var;
  }
  __device__ __forceinline__ void bias(const FusedLayer& layer, int out, float delta_mean,
                                       float delta_var) const {
    shared[layer.bias_mean + out] = delta_mean;
    shared[layer.bias_var + out] = delta_var;
  }
};

/// The innovations of a layer's parameters, summed over the rows in shared memory. A thread takes
/// four outputs by four inputs, the inputs 16 apart, so that neighbouring threads write neighbours.
template <class Target>
__device__ __forceinline__ void sum_layer(const FusedPlan& plan, const FusedLayer& layer, int from,
                                          const Target& target, const float* shared) {
  constexpr int part = 4, apart = 16, block_rows = fused_threads / apart * part,
                block_columns = apart * part;
  const int thread = static_cast<int>(threadIdx.x);
  const float* const d_mean = shared + plan.delta_mean[from];
  const float* const d_var = shared + plan.delta_var[from];
  for (int out = thread / apart * part; out < layer.out; out += block_rows) {
    for (int in = thread % apart; in < layer.in; in += block_columns) {
      float mean[part][part] = {}, var[part][part] = {};
#pragma unroll 2
      for (int row = 0; row < fused_rows; ++row) {
        const float4 dm = four(d_mean + row * plan.wide_stride + out);
        const float4 dv = four(d_var + row * plan.wide_stride + out);
#pragma unroll
        for (int j = 0; j < part; ++j) {
          const int column = in + j * apart;
          const float a =
              column < layer.in ? shared[layer.input + row * layer.input_stride + column] : 0.0f;
          const float square = a * a;
          mean[0][j] += dm.x * a;
          mean[1][j] += dm.y * a;
          mean[2][j] += dm.z * a;
          mean[3][j] += dm.w * a;
          var[0][j] += dv.x * square;
          var[1][j] += dv.y * square;
          var[2][j] += dv.z * square;
          var[3][j] += dv.w * square;
        }
      }
#pragma unroll
      for (int i = 0; i < part; ++i) {
#pragma unroll
        for (int j = 0; j < part; ++j) {
          const int column = in + j * apart;
          if (out + i < layer.out && column < layer.in) {
            target.weight(layer, out + i, column, mean[i][j], var[i][j]);
          }
        }
      }
    }
  }
  if (layer.bias && thread < layer.out) {
    float mean = 0, var = 0;
    for (int row = 0; row < fused_rows; ++row) {
      mean += d_mean[row * plan.wide_stride + thread];
      var += d_var[row * plan.wide_stride + thread];
    }
    target.bias(layer, thread, mean, var);
  }
}

/// Takes up to `fused_rows` rows from `first` on through the whole network, and leaves what their
/// outputs have to learn in shared memory, at delta[0].
template <int rows_each>
__device__ __forceinline__ void forward_rows(const FusedPlan& plan, const TrainingRows& rows,
                                             Index first, float spread, MomentsView prediction,
                                             TrainingState* state, float* shared) {
  const Index left = rows.input.rows - first;
  const int count = left < fused_rows ? static_cast<int>(left) : fused_rows;
  load_inputs(plan, rows.input.mean + first * rows.input.cols, count, shared);
  __syncthreads();
  const int last = plan.n_layers - 1;
  for (int i = 0; i <= last; ++i) {
    const FusedLayer& layer = plan.layer[i];
    const int target = i == last ? plan.output : plan.layer[i + 1].input;
    const int stride = i == last ? plan.output_stride : plan.layer[i + 1].input_stride;
    const float* const var_in = shared + plan.var[i % 2];
    float* const var_out = shared + plan.var[(i + 1) % 2];
    if (i == 0) {
      forward_layer<rows_each, true>(plan, layer, var_in, target, stride, var_out, shared);
    } else {
      forward_layer<rows_each, false>(plan, layer, var_in, target, stride, var_out, shared);
    }
    __syncthreads();
  }
  observe_outputs(plan, shared + plan.var[(last + 1) % 2], rows, first, count, spread, prediction,
                  state, shared);
  __syncthreads();
}

/// A block takes every gridDim-th group of `fused_rows` rows through the whole network and back,
/// and has a piece of the sums to itself.
template <int rows_each>
__global__ void __launch_bounds__(fused_threads, 1)
    fused_learn_kernel(const __grid_constant__ FusedPlan plan, ConstMomentsView parameters,
                       const __grid_constant__ TrainingRows rows, float spread,
                       MomentsView prediction, float* partial, float limit, TrainingState* state) {
  float* const shared = shared_memory();
  load_parameters(plan, parameters, shared);
  float* const own = partial + static_cast<Index>(blockIdx.x) * 2 * plan.plane_stride;
  ToPiece target{{own, own + plan.plane_stride, limit, state}, false};
  for (Index first = static_cast<Index>(blockIdx.x) * fused_rows; first < rows.input.rows;
       first += static_cast<Index>(gridDim.x) * fused_rows) {
    forward_rows<rows_each>(plan, rows, first, spread, prediction, state, shared);
    const int last = plan.n_layers - 1;
    for (int i = last; i >= 0; --i) {
      const int from = (last - i) % 2;
      sum_layer(plan, plan.layer[i], from, target, shared);
      if (i > 0) {
        backward_layer<rows_each>(plan, plan.layer[i], plan.layer[i - 1], from, 1 - from, shared);
      }
      __syncthreads();
    }
    target.add = true;
  }
}

/// Adds up what the blocks of a cluster have in the place of a layer's weights and biases, in the
/// order of the blocks; each block takes a part of the parameters.
__device__ __forceinline__ void reduce_layer(const FusedLayer& layer, const Piece& piece,
                                             float* shared) {
  const unsigned size = cluster_size();
  const int first = static_cast<int>(threadIdx.x + cluster_rank() * fused_threads);
  const int step = static_cast<int>(size) * fused_threads;
  for (int at = 4 * first; at < layer.out * layer.weight_stride; at += 4 * step) {
    const int row = at / layer.weight_stride, column = at % layer.weight_stride;
    float mean[4] = {}, var[4] = {};
    for (unsigned rank = 0; rank < size; ++rank) {
      const float4 m = four(in_cluster(shared + layer.weight_mean + at, rank));
      const float4 v = four(in_cluster(shared + layer.weight_var + at, rank));
      mean[0] += m.x;
      mean[1] += m.y;
      mean[2] += m.z;
      mean[3] += m.w;
      var[0] += v.x;
      var[1] += v.y;
      var[2] += v.z;
      var[3] += v.w;
    }
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (column + j < layer.in) {
        piece.write(layer.parameters + row * layer.in + column + j, mean[j], var[j]);
      }
    }
  }
  for (int out = first; layer.bias && out < layer.out; out += step) {
    float mean = 0, var = 0;
    for (unsigned rank = 0; rank < size; ++rank) {
      mean += *in_cluster(shared + layer.bias_mean + out, rank);
      var += *in_cluster(shared + layer.bias_var + out, rank);
    }
    piece.write(layer.parameters + layer.out * layer.in + out, mean, var);
  }
}

/// As fused_learn_kernel, for one group of rows a block: the blocks of a cluster add up their sums
/// before they write them, so that there is one piece for each cluster. Blocks beyond the batch
/// take part with no rows.
template <int rows_each>
__global__ void __launch_bounds__(fused_threads, 1)
    fused_cluster_kernel(const __grid_constant__ FusedPlan plan, ConstMomentsView parameters,
                         const __grid_constant__ TrainingRows rows, float spread,
                         MomentsView prediction, float* partial, float limit,
                         TrainingState* state) {
  float* const shared = shared_memory();
  load_parameters(plan, parameters, shared);
  forward_rows<rows_each>(plan, rows, static_cast<Index>(blockIdx.x) * fused_rows, spread,
                          prediction, state, shared);
  const int last = plan.n_layers - 1;
  for (int i = last; i >= 0; --i) {
    const int from = (last - i) % 2;
    if (i > 0) {
      backward_layer<rows_each>(plan, plan.layer[i], plan.layer[i - 1], from, 1 - from, shared);
    }
    __syncthreads();
    sum_layer(plan, plan.layer[i], from, ToShared{shared}, shared);
    __syncthreads();
  }
  cluster_sync();
  float* const own =
      partial + blockIdx.x / cluster_size() * 2 * static_cast<Index>(plan.plane_stride);
  const Piece piece{own, own + plan.plane_stride, limit, state};
  for (int i = 0; i <= last; ++i) reduce_layer(plan.layer[i], piece, shared);
  // No block may end while another one reads its memory.
  cluster_sync();
}

/// Parameters of a block, and threads that add up the pieces of each.
constexpr int parameters_each = 32, adders = 8;

/// Adds up the pieces of 32 parameters a block: adder g of a parameter takes the pieces g, g + 8,
/// ...; then their sums are added in that order. The last block records the predictions.
template <math::UpdateKind kind>
__global__ void __launch_bounds__(summing_threads)
    fused_update_kernel(const float* partial, Index n_pieces, int plane_stride, float bound,
                        MomentsView parameters, ConstMomentsView prediction,
                        const __grid_constant__ TrainingRows rows, TrainingState* state) {
  static_assert(parameters_each * adders == summing_threads);
  if (state->failure != Failure::none) return;
  if (blockIdx.x + 1 == gridDim.x) {
    record_in_block<Links::exp>(prediction, rows.target, rows.noise, state,
                                reinterpret_cast<BatchSums*>(shared_memory()));
    return;
  }
  const int thread = static_cast<int>(threadIdx.x);
  const int within = thread % parameters_each, adder = thread / parameters_each;
  const Index at = static_cast<Index>(blockIdx.x) * parameters_each + within;
  math::Innovation<float> sum{0, 0};
  if (at < parameters.cols) {
#pragma unroll 4
    for (Index piece = adder; piece < n_pieces; piece += adders) {
      const float* const planes = partial + piece * 2 * plane_stride + at;
      sum.delta_mean += planes[0];
      sum.delta_var += planes[plane_stride];
    }
  }
  float* const means = shared_memory();
  float* const vars = means + summing_threads;
  means[thread] = sum.delta_mean;
  vars[thread] = sum.delta_var;
  __syncthreads();
  if (adder != 0 || at >= parameters.cols) return;
  for (int other = 1; other < adders; ++other) {
    sum.delta_mean += means[other * parameters_each + within];
    sum.delta_var += vars[other * parameters_each + within];
  }
  const math::Posterior<float> posterior = math::updated<kind>(
      parameters.mean[at], parameters.var[at], sum.delta_mean, sum.delta_var, bound);
  parameters.mean[at] = posterior.mean;
  parameters.var[at] = posterior.var;
}

}  // namespace

void fused_learn(const FusedPlan& plan, ConstMomentsView parameters, const TrainingRows& rows,
                 float spread, MomentsView prediction, const FusedPieces& pieces, float* partial,
                 TrainingState* state) {
  // A column for each thread: 64 with four rows each, or 128 with eight.
  const bool narrow = plan.wide_stride <= Place<4>::columns;
  const auto kernel = pieces.cluster > 1
                          ? (narrow ? fused_cluster_kernel<4> : fused_cluster_kernel<8>)
                          : (narrow ? fused_learn_kernel<4> : fused_learn_kernel<8>);
  launch("fused training step", kernel,
         {dim3(static_cast<unsigned>(pieces.count) * pieces.cluster), dim3(fused_threads),
          static_cast<std::size_t>(plan.shared_floats) * sizeof(float), pieces.cluster},
         plan, parameters, rows, spread, prediction, partial,
         FLT_MAX / static_cast<float>(pieces.count), state);
}

void fused_update(const FusedPlan& plan, const float* partial, Index n_pieces,
                  const UpdateRule& rule, const TrainingRows& rows, ConstMomentsView prediction,
                  MomentsView parameters, TrainingState* state) {
  using math::UpdateKind;
  const Index blocks = (plan.parameter_count + parameters_each - 1) / parameters_each + 1;
  const auto kernel = rule.kind == UpdateKind::information
                          ? fused_update_kernel<UpdateKind::information>
                          : fused_update_kernel<UpdateKind::capped>;
  launch("fused update", kernel,
         {dim3(static_cast<unsigned>(blocks)), dim3(summing_threads),
          summing_threads * sizeof(BatchSums)},
         partial, n_pieces, plan.plane_stride, rule.bound_for(rows.input.rows), parameters,
         prediction, rows, state);
}

}  // namespace tagix::cuda
