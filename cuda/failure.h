#pragma once

#include "core/training_state.h"
#include "device.h"

namespace tagix::cuda {

/// Marks a failure; of two the greater one stays, whichever thread comes first.
__device__ __forceinline__ void set_failure(TrainingState* state, Failure failure) {
  atomicMax(reinterpret_cast<int*>(&state->failure), static_cast<int>(failure));
}

}  // namespace tagix::cuda
