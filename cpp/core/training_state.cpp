#include "core/training_state.h"

#include "core/require.h"

namespace tagix {

void require_no_failure(const TrainingState& state) {
  require(state.failure != Failure::prediction,
          "x: the predictions overflow float32, needed inputs of a smaller scale");
  require(state.failure != Failure::innovation,
          "y: the innovations overflow float32, needed targets of a smaller scale, or a larger "
          "noise variance");
}

}  // namespace tagix
