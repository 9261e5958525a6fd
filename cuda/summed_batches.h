#pragma once

#include "core/training_state.h"
#include "device.h"
#include "failure.h"
#include "ops/batch_sums.h"
#include "target_noise.h"

namespace tagix::cuda {

constexpr int summing_threads = 256;

using ops::BatchSums;

/// What a thread finds in the targets i, i + summing_threads, ... of a prediction of numbers.
template <Links links>
__device__ __forceinline__ void sum_numbers(ConstMomentsView prediction, const float* target,
                                            const NoiseView& noise, BatchSums& sum) {
  const Index n = noise.head.n_targets(prediction.cols);
  for (Index i = threadIdx.x; i < prediction.rows * n; i += summing_threads) {
    const Index row = i / n, col = i % n, at = row * prediction.cols + col;
    sum.add_number(target[i], prediction.mean[at], prediction.var[at],
                   noise_variance<links>(noise, prediction, row, col));
  }
}

/// What a thread finds in the rows i, i + summing_threads, ... of a prediction of classes.
__device__ __forceinline__ void sum_classes(ConstMomentsView prediction, const float* target,
                                            const math::ClassHead& classes, BatchSums& sum) {
  const Index n = prediction.cols;
  for (Index row = threadIdx.x; row < prediction.rows; row += summing_threads) {
    const float *const mean = prediction.mean + row * n, *const var = prediction.var + row * n;
    sum.add_class(classes, mean, var, n, target[row],
                  [&](Index label) { return math::class_probability(classes, mean, var, label); });
  }
}

/// Backend::sum_predictions by one block of `summing_threads`, with that many BatchSums of
/// shared memory. Each thread sums what it finds; then halves of the block add their sums, so that
/// the order depends on the shape alone.
template <Links links>
__device__ __forceinline__ void record_in_block(ConstMomentsView prediction, const float* target,
                                                const NoiseView& noise, TrainingState* state,
                                                BatchSums* sums) {
  const int thread = static_cast<int>(threadIdx.x);
  BatchSums sum;
  if (links == Links::all && noise.classes.exists()) {
    sum_classes(prediction, target, noise.classes, sum);
  } else {
    sum_numbers<links>(prediction, target, noise, sum);
  }
  sums[thread] = sum;
  for (int half = summing_threads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (thread < half) sums[thread] += sums[thread + half];
  }
  if (thread != 0) return;
  if (sums[0].overflows) {
    set_failure(state, Failure::prediction);
    return;
  }
  state->sums += sums[0].sums;
  state->position += prediction.rows;
}

}  // namespace tagix::cuda
