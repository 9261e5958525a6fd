#include "launch.h"
#include "operations.h"
#include "summed_batches.h"

namespace tagix::cuda {
namespace {

// Unless it is told that one block is enough, ptxas spills registers from compute capability 10.0
// on.
__global__ void __launch_bounds__(summing_threads, 1)
    sum_predictions_kernel(ConstMomentsView prediction, const float* target, NoiseView noise,
                           TrainingState* state) {
  if (state->failure != Failure::none) return;
  record_in_block<Links::all>(prediction, target, noise, state,
                              reinterpret_cast<BatchSums*>(shared_memory()));
}

}  // namespace

void sum_predictions(ConstMomentsView prediction, const float* target, NoiseView noise,
                     TrainingState* state) {
  launch("sum_predictions", sum_predictions_kernel,
         {dim3(1), dim3(summing_threads), summing_threads * sizeof(BatchSums)}, prediction, target,
         noise, state);
}

}  // namespace tagix::cuda
