#include "block_sums.h"
#include "device.h"
#include "launch.h"
#include "math/classes.h"
#include "operations.h"
#include "ops/observe_classes.h"

namespace tagix::cuda {
namespace {

constexpr int row_threads = 128;

/// Element i is an output of a row, whose innovation depends on no other: in a tree it is 0 off the
/// path to the row's class.
struct ObserveEach {
  ops::ObserveClasses op;

  __device__ void operator()(Index i) const {
    const Index row = i / op.prediction.cols, output = i % op.prediction.cols;
    const Index label = op.label(row);
    if (label < 0) {
      op.clear(i);
    } else if (op.classes.link == math::ClassLink::one_vs_rest) {
      op.one_vs_rest(i, output == label);
    } else {
      op.tree(i, math::tree_branch<float>(op.classes.n_classes, label, output));
    }
  }
};

/// Element i is a class of a row.
struct TreeProbabilities {
  ConstMomentsView prediction;
  math::ClassHead classes;
  float* probabilities;

  __device__ void operator()(Index i) const {
    const Index row = i / classes.n_classes, label = i % classes.n_classes;
    const Index first = row * prediction.cols;
    probabilities[i] = math::tree_probability<float>(
        prediction.mean + first, prediction.var + first, classes.n_classes, label);
  }
};

struct Greatest {
  __device__ float operator()(float a, float b) const { return math::max(a, b); }
};
struct Least {
  __device__ float operator()(float a, float b) const { return math::min(a, b); }
};

/// Turns the weights of a row's n classes into probabilities. A thread gives the sum of those that
/// it has written, and divides the same.
__device__ __forceinline__ void divide_by_sum_in_block(float own_sum, Index n, float* weights) {
  const float sum = sum_in_block<row_threads>(own_sum, shared_memory());
  for (Index i = threadIdx.x; i < n; i += row_threads) weights[i] /= sum;
}

/// math::remax_totals by a block.
__device__ __forceinline__ math::RemaxTotals totals_in_block(const float* mean, const float* var,
                                                             Index n, float* sums) {
  float total_mean = 0, total_var = 0;
  for (Index i = threadIdx.x; i < n; i += row_threads) {
    const math::ActivationMoments<float> unit = math::remax_unit(mean[i], var[i]);
    total_mean += unit.mean;
    total_var += unit.var;
  }
  total_mean = sum_in_block<row_threads>(total_mean, sums);
  return {math::max(total_mean, math::least_remax_total),
          sum_in_block<row_threads>(total_var, sums)};
}

__global__ void __launch_bounds__(row_threads)
    observe_remax_kernel(const __grid_constant__ ops::ObserveClasses op) {
  const Index row = blockIdx.x, n = op.prediction.cols, first = row * n, label = op.label(row);
  const math::RemaxTotals totals =
      totals_in_block(op.prediction.mean + first, op.prediction.var + first, n, shared_memory());
  for (Index i = threadIdx.x; i < n; i += row_threads) {
    if (label < 0) {
      op.clear(first + i);
    } else {
      op.remax(first + i, totals, i == label);
    }
  }
}

__global__ void __launch_bounds__(row_threads)
    remax_probabilities_kernel(ConstMomentsView prediction, float* probabilities) {
  const Index row = blockIdx.x, first = row * prediction.cols;
  const float *const mean = prediction.mean + first, *const var = prediction.var + first;
  const math::RemaxTotals totals = totals_in_block(mean, var, prediction.cols, shared_memory());
  float sum = 0;
  for (Index i = threadIdx.x; i < prediction.cols; i += row_threads) {
    probabilities[first + i] = math::remax_weight(mean[i], var[i], totals);
    sum += probabilities[first + i];
  }
  divide_by_sum_in_block(sum, prediction.cols, probabilities + first);
}

/// math::softmax_totals by a block. Numbers of outputs are exact as floats (up to 2^24).
__device__ __forceinline__ math::SoftmaxTotals softmax_totals_in_block(const float* mean,
                                                                       const float* var, Index n,
                                                                       float* values) {
  float top_mean = mean[0];
  for (Index i = threadIdx.x; i < n; i += row_threads) top_mean = math::max(top_mean, mean[i]);
  top_mean = combine_in_block<row_threads>(top_mean, values, Greatest{});
  float first = static_cast<float>(n - 1);
  for (Index i = threadIdx.x; i < n; i += row_threads) {
    if (mean[i] == top_mean) first = math::min(first, static_cast<float>(i));
  }
  const Index top = static_cast<Index>(combine_in_block<row_threads>(first, values, Least{}));
  float next = mean[top == 0 ? 1 : 0];
  for (Index i = threadIdx.x; i < n; i += row_threads) {
    if (i != top) next = math::max(next, mean[i]);
  }
  next = combine_in_block<row_threads>(next, values, Greatest{});
  math::SoftmaxSums sums{0, 0};
  for (Index i = threadIdx.x; i < n; i += row_threads) {
    if (i == top) continue;
    const float e = math::exp(mean[i] - next);
    sums.weight += e;
    sums.var += e * e * var[i];
  }
  sums.weight = sum_in_block<row_threads>(sums.weight, values);
  sums.var = sum_in_block<row_threads>(sums.var, values);
  return math::softmax_totals(top, top_mean, var[top], next, sums);
}

__device__ __forceinline__ math::SoftmaxTerm<float> softmax_term_of(
    const math::SoftmaxTotals& totals, const float* mean, const float* var, Index i) {
  return i == totals.top ? math::softmax_top_term(totals)
                         : math::softmax_term(totals, mean[i], var[i]);
}

__global__ void __launch_bounds__(row_threads)
    observe_softmax_kernel(const __grid_constant__ ops::ObserveClasses op) {
  const Index row = blockIdx.x, n = op.prediction.cols, first = row * n, label = op.label(row);
  const float *const mean = op.prediction.mean + first, *const var = op.prediction.var + first;
  float *const delta_mean = op.delta.mean + first, *const delta_var = op.delta.var + first;
  const math::SoftmaxTotals totals = softmax_totals_in_block(mean, var, n, shared_memory());
  // Weights and slopes lie in the result until the sum of all weights but the top's is known; a
  // thread reads what it has written itself.
  float rest = 0;
  for (Index i = threadIdx.x; i < n; i += row_threads) {
    const math::SoftmaxTerm<float> term = softmax_term_of(totals, mean, var, i);
    if (i != totals.top) rest += term.weight;
    delta_mean[i] = term.weight;
    delta_var[i] = term.slope;
  }
  rest = sum_in_block<row_threads>(rest, shared_memory());
  const float inverse = 1 / (rest + math::softmax_top_term(totals).weight);
  for (Index i = threadIdx.x; i < n; i += row_threads) {
    math::Innovation<float> innovation{0, 0};
    if (label >= 0) {
      const float probability = delta_mean[i] * inverse;
      const float other = i == totals.top ? rest * inverse : 1 - probability;
      innovation = math::softmax_innovation(delta_var[i], probability, other,
                                            i == label ? other : -probability, var[i], op.spread);
    }
    delta_mean[i] = innovation.delta_mean;
    delta_var[i] = innovation.delta_var;
  }
}

// Unless it is told that one block is enough, ptxas spills a register for compute capability 8.0.
__global__ void __launch_bounds__(row_threads, 1)
    softmax_probabilities_kernel(ConstMomentsView prediction, float* probabilities) {
  const Index row = blockIdx.x, first = row * prediction.cols;
  const float *const mean = prediction.mean + first, *const var = prediction.var + first;
  const math::SoftmaxTotals totals =
      softmax_totals_in_block(mean, var, prediction.cols, shared_memory());
  float sum = 0;
  for (Index i = threadIdx.x; i < prediction.cols; i += row_threads) {
    probabilities[first + i] = softmax_term_of(totals, mean, var, i).weight;
    sum += probabilities[first + i];
  }
  divide_by_sum_in_block(sum, prediction.cols, probabilities + first);
}

__global__ void __launch_bounds__(row_threads)
    one_vs_rest_probabilities_kernel(ConstMomentsView prediction, math::ClassHead classes,
                                     float* probabilities) {
  const Index row = blockIdx.x, first = row * prediction.cols;
  const float *const mean = prediction.mean + first, *const var = prediction.var + first;
  float* const of_class = probabilities + first;
  // Log weights lie in the result until the greatest is known; a thread reads what it has written.
  float top = math::one_vs_rest_log_weight(classes, mean[0], var[0]);
  for (Index i = threadIdx.x; i < prediction.cols; i += row_threads) {
    of_class[i] = math::one_vs_rest_log_weight(classes, mean[i], var[i]);
    top = math::max(top, of_class[i]);
  }
  top = combine_in_block<row_threads>(top, shared_memory(), Greatest{});
  float sum = 0;
  for (Index i = threadIdx.x; i < prediction.cols; i += row_threads) {
    of_class[i] = math::exp(of_class[i] - top);
    sum += of_class[i];
  }
  divide_by_sum_in_block(sum, prediction.cols, of_class);
}

LaunchSize one_block_a_row(Index rows) {
  return {dim3(static_cast<unsigned>(rows)), dim3(row_threads), row_threads * sizeof(float)};
}

}  // namespace

void observe_classes(ConstMomentsView prediction, const float* target,
                     const math::ClassHead& classes, float spread, MomentsView delta) {
  const ops::ObserveClasses op{prediction, target, classes, spread, delta};
  if (classes.link == math::ClassLink::tree || classes.link == math::ClassLink::one_vs_rest) {
    for_each("observe", prediction.size(), ObserveEach{op});
  } else if (prediction.rows > 0) {
    const bool is_softmax = classes.link == math::ClassLink::softmax;
    launch("observe", is_softmax ? observe_softmax_kernel : observe_remax_kernel,
           one_block_a_row(prediction.rows), op);
  }
}

void class_probabilities(ConstMomentsView prediction, const math::ClassHead& classes,
                         float* probabilities) {
  if (classes.link == math::ClassLink::tree) {
    for_each("class_probabilities", prediction.rows * classes.n_classes,
             TreeProbabilities{prediction, classes, probabilities});
    return;
  }
  if (prediction.rows == 0) return;
  if (classes.link == math::ClassLink::one_vs_rest) {
    launch("class_probabilities", one_vs_rest_probabilities_kernel,
           one_block_a_row(prediction.rows), prediction, classes, probabilities);
    return;
  }
  launch("class_probabilities",
         classes.link == math::ClassLink::softmax ? softmax_probabilities_kernel
                                                  : remax_probabilities_kernel,
         one_block_a_row(prediction.rows), prediction, probabilities);
}

}  // namespace tagix::cuda
