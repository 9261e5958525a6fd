#pragma once

#include "core/training_state.h"
#include "device.h"
#include "failure.h"
#include "math/normal.h"

namespace tagix::cuda {

constexpr int recording_threads = 256;

/// What a thread of a block has found in predictions, and later what threads together have.
struct RecordedSums {
  double squared_error, var, log_likelihood;
  Index n_observed;
  bool overflows;
};

/// Backend::record_predictions by one block of `recording_threads`, with that many RecordedSums of
/// shared memory. Thread i takes the elements i, i + recording_threads, ...; then halves of the
/// block add their sums, so that the order depends on the shape alone.
__device__ __forceinline__ void record_in_block(ConstMomentsView prediction, const float* target,
                                                BroadcastView noise_var, TrainingState* state,
                                                RecordedSums* sums) {
  const int thread = static_cast<int>(threadIdx.x);
  RecordedSums sum{0, 0, 0, 0, false};
  for (Index i = thread; i < prediction.size(); i += recording_threads) {
    const float mean = prediction.mean[i], var = prediction.var[i];
    if (!(isfinite(mean) && isfinite(var))) sum.overflows = true;
    if (isnan(target[i])) continue;
    const Index row = i / prediction.cols, col = i % prediction.cols;
    const double noise = noise_var.data[row * noise_var.row_stride + col * noise_var.col_stride];
    const double error = static_cast<double>(target[i]) - mean;
    sum.squared_error += error * error;
    sum.var += var;
    sum.log_likelihood += math::normal_log_density(target[i], mean, var + noise);
    ++sum.n_observed;
  }
  sums[thread] = sum;
  for (int half = recording_threads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (thread >= half) continue;
    RecordedSums& mine = sums[thread];
    const RecordedSums& other = sums[thread + half];
    mine.squared_error += other.squared_error;
    mine.var += other.var;
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
  state->sums.log_likelihood += sums[0].log_likelihood;
  state->sums.n_observed += sums[0].n_observed;
  state->position += prediction.rows;
}

}  // namespace tagix::cuda
