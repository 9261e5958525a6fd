#include "kernels.h"
#include "launch.h"
#include "math/normal.h"

namespace tagix::cuda {
namespace {

constexpr int block_size = 256;

/// What a thread of the block has found, and later what threads together have.
struct Found {
  double squared_error, var, log_likelihood;
  Index n_observed;
  bool overflows;
};

/// One block. Thread i takes the elements i, i + block_size, ...; then halves of the block add
/// their sums, so that the order depends on the shape alone.
__global__ void record_predictions_kernel(ConstMomentsView prediction, const float* target,
                                          BroadcastView noise_var, TrainingState* state) {
  if (state->failure != Failure::none) return;
  Found sum{0, 0, 0, 0, false};
  const int thread = static_cast<int>(threadIdx.x);
  for (Index i = thread; i < prediction.size(); i += block_size) {
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
  Found* sums = reinterpret_cast<Found*>(shared_memory());
  sums[thread] = sum;
  for (int half = block_size / 2; half > 0; half /= 2) {
    __syncthreads();
    if (thread >= half) continue;
    Found& mine = sums[thread];
    const Found& other = sums[thread + half];
    mine.squared_error += other.squared_error;
    mine.var += other.var;
    mine.log_likelihood += other.log_likelihood;
    mine.n_observed += other.n_observed;
    mine.overflows = mine.overflows || other.overflows;
  }
  if (thread != 0) return;
  if (sums[0].overflows) {
    state->failure = Failure::prediction;
    return;
  }
  state->sums.squared_error += sums[0].squared_error;
  state->sums.var += sums[0].var;
  state->sums.log_likelihood += sums[0].log_likelihood;
  state->sums.n_observed += sums[0].n_observed;
  state->position += prediction.rows;
}

}  // namespace

void record_predictions(ConstMomentsView prediction, const float* target, BroadcastView noise_var,
                        TrainingState* state) {
  launch("record_predictions", record_predictions_kernel,
         {dim3(1), dim3(block_size), block_size * sizeof(Found)}, prediction, target, noise_var,
         state);
}

}  // namespace tagix::cuda
