#include "launch.h"
#include "operations.h"
#include "record.h"

namespace tagix::cuda {
namespace {

// Unless it is told that one block is enough, ptxas spills registers from compute capability 10.0
// on.
__global__ void __launch_bounds__(recording_threads, 1)
    record_predictions_kernel(ConstMomentsView prediction, const float* target, NoiseView noise,
                              TrainingState* state) {
  if (state->failure != Failure::none) return;
  record_in_block<Links::all>(prediction, target, noise, state,
                              reinterpret_cast<RecordedSums*>(shared_memory()));
}

}  // namespace

void record_predictions(ConstMomentsView prediction, const float* target, NoiseView noise,
                        TrainingState* state) {
  launch("record_predictions", record_predictions_kernel,
         {dim3(1), dim3(recording_threads), recording_threads * sizeof(RecordedSums)}, prediction,
         target, noise, state);
}

}  // namespace tagix::cuda
