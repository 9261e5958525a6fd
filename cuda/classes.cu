#include "device.h"
#include "kernels.h"
#include "launch.h"
#include "math/classes.h"

namespace tagix::cuda {
namespace {

constexpr int row_threads = 128;

/// Element i is an output of a row; those off the path to the row's class get innovations of 0.
struct ObserveTree {
  ConstMomentsView prediction;
  const float* target;
  math::ClassHead classes;
  float spread;
  MomentsView delta;

  __device__ void operator()(Index i) const {
    const Index row = i / prediction.cols, output = i % prediction.cols;
    const Index label = classes.label_of(target[row]);
    const float branch =
        label < 0 ? 0.0f : math::tree_branch<float>(classes.n_classes, label, output);
    const math::Innovation<float> innovation =
        math::probit_innovation(prediction.mean[i], prediction.var[i], branch, spread);
    delta.mean[i] = innovation.delta_mean;
    delta.var[i] = innovation.delta_var;
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

/// The sum of a value of each thread of the block, in a fixed order, for all of them. `sums` has
/// room for one a thread, and is free again afterwards.
__device__ __forceinline__ float sum_in_block(float value, float* sums) {
  const int thread = static_cast<int>(threadIdx.x);
  sums[thread] = value;
  __syncthreads();
  for (int half = row_threads / 2; half > 0; half /= 2) {
    if (thread < half) sums[thread] += sums[thread + half];
    __syncthreads();
  }
  const float sum = sums[0];
  __syncthreads();
  return sum;
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
  total_mean = sum_in_block(total_mean, sums);
  return {math::max(total_mean, math::least_remax_total), sum_in_block(total_var, sums)};
}

__global__ void __launch_bounds__(row_threads)
    observe_remax_kernel(ConstMomentsView prediction, const float* target, math::ClassHead classes,
                         float spread, MomentsView delta) {
  const Index row = blockIdx.x, first = row * prediction.cols;
  const Index label = classes.label_of(target[row]);
  const float *const mean = prediction.mean + first, *const var = prediction.var + first;
  const math::RemaxTotals totals = totals_in_block(mean, var, prediction.cols, shared_memory());
  for (Index i = threadIdx.x; i < prediction.cols; i += row_threads) {
    math::Innovation<float> innovation{0, 0};
    if (label >= 0) {
      const math::RemaxShare<float> share =
          math::remax_share(math::remax_unit(mean[i], var[i]), totals.mean, totals.var);
      innovation =
          math::remax_innovation(share, i == label ? 1.0f : 0.0f, classes.noise_var, spread);
    }
    delta.mean[first + i] = innovation.delta_mean;
    delta.var[first + i] = innovation.delta_var;
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
  sum = sum_in_block(sum, shared_memory());
  for (Index i = threadIdx.x; i < prediction.cols; i += row_threads)
    probabilities[first + i] /= sum;
}

LaunchSize one_block_a_row(Index rows) {
  return {dim3(static_cast<unsigned>(rows)), dim3(row_threads), row_threads * sizeof(float)};
}

}  // namespace

void observe_classes(ConstMomentsView prediction, const float* target,
                     const math::ClassHead& classes, float spread, MomentsView delta) {
  if (classes.link == math::ClassLink::tree) {
    for_each("observe", prediction.size(), ObserveTree{prediction, target, classes, spread, delta});
    return;
  }
  if (prediction.rows == 0) return;
  launch("observe", observe_remax_kernel, one_block_a_row(prediction.rows), prediction, target,
         classes, spread, delta);
}

void class_probabilities(ConstMomentsView prediction, const math::ClassHead& classes,
                         float* probabilities) {
  if (classes.link == math::ClassLink::tree) {
    for_each("class_probabilities", prediction.rows * classes.n_classes,
             TreeProbabilities{prediction, classes, probabilities});
    return;
  }
  if (prediction.rows == 0) return;
  launch("class_probabilities", remax_probabilities_kernel, one_block_a_row(prediction.rows),
         prediction, probabilities);
}

}  // namespace tagix::cuda
