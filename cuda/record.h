#pragma once

#include "core/training_state.h"
#include "device.h"
#include "failure.h"
#include "math/normal.h"
#include "noise.h"

namespace tagix::cuda {

constexpr int recording_threads = 256;

/// What a thread of a block has found in predictions, and later what threads together have.
struct RecordedSums {
  double squared_error, var, noise_var, chi_square, log_likelihood;
  Index n_observed;
  bool overflows;
};

/// What a thread finds in the targets i, i + recording_threads, ... of a prediction of numbers.
template <Links links>
__device__ __forceinline__ void record_numbers(ConstMomentsView prediction, const float* target,
                                               const NoiseView& noise, RecordedSums& sum) {
  const Index n = noise.head.n_targets(prediction.cols);
  for (Index i = threadIdx.x; i < prediction.rows * n; i += recording_threads) {
    const Index row = i / n, col = i % n, at = row * prediction.cols + col;
    const float mean = prediction.mean[at], var = prediction.var[at];
    const float noise_var = noise_variance<links>(noise, prediction, row, col);
    if (!(isfinite(mean) && isfinite(var + noise_var))) sum.overflows = true;
    if (isnan(target[i])) continue;
    const double error = static_cast<double>(target[i]) - mean;
    const double total_var = static_cast<double>(var) + noise_var;
    sum.squared_error += error * error;
    sum.var += var;
    sum.noise_var += noise_var;
    sum.chi_square += error * error / total_var;
    sum.log_likelihood += math::normal_log_density(target[i], mean, total_var);
    ++sum.n_observed;
  }
}

/// What a thread finds in the rows i, i + recording_threads, ... of a prediction of classes.
__device__ __forceinline__ void record_classes(ConstMomentsView prediction, const float* target,
                                               const math::ClassHead& classes, RecordedSums& sum) {
  const Index n = prediction.cols;
  for (Index row = threadIdx.x; row < prediction.rows; row += recording_threads) {
    const float *const mean = prediction.mean + row * n, *const var = prediction.var + row * n;
    for (Index i = 0; i < n; ++i) {
      if (!(isfinite(mean[i]) && isfinite(var[i]))) sum.overflows = true;
    }
    const Index label = classes.label_of(target[row]);
    if (label < 0) continue;
    const math::RecordedClass observed = math::recorded_class(classes, mean, var, label);
    sum.squared_error += observed.squared_error;
    sum.var += observed.var;
    sum.chi_square += observed.chi_square;
    sum.log_likelihood += observed.log_likelihood;
    ++sum.n_observed;
  }
}

/// Backend::record_predictions by one block of `recording_threads`, with that many RecordedSums of
/// shared memory. Each thread sums what it finds; then halves of the block add their sums, so that
/// the order depends on the shape alone.
template <Links links>
__device__ __forceinline__ void record_in_block(ConstMomentsView prediction, const float* target,
                                                const NoiseView& noise, TrainingState* state,
                                                RecordedSums* sums) {
  const int thread = static_cast<int>(threadIdx.x);
  RecordedSums sum{0, 0, 0, 0, 0, 0, false};
  if (links == Links::all && noise.classes.exists()) {
    record_classes(prediction, target, noise.classes, sum);
  } else {
    record_numbers<links>(prediction, target, noise, sum);
  }
  sums[thread] = sum;
  for (int half = recording_threads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (thread >= half) continue;
    RecordedSums& mine = sums[thread];
    const RecordedSums& other = sums[thread + half];
    mine.squared_error += other.squared_error;
    mine.var += other.var;
    mine.noise_var += other.noise_var;
    mine.chi_square += other.chi_square;
    mine.log_likelihood += other.log_likelihood;
    mine.n_observed += other.n_observed;
    mine.overflows = mine.overflows || other.overflows;
  }
  if (thread != 0) return;
  if (sums[0].overflows) {
    set_failure(state, Failure::prediction);
    return;
  }
  state->sums.squared_error += sums[0].squared_error;
  state->sums.var += sums[0].var;
  state->sums.noise_var += sums[0].noise_var;
  state->sums.chi_square += sums[0].chi_square;
  state->sums.log_likelihood += sums[0].log_likelihood;
  state->sums.n_observed += sums[0].n_observed;
  state->position += prediction.rows;
}

}  // namespace tagix::cuda
