#pragma once

#include <vector>

#include "conformance/operation.h"
#include "conformance/random_inputs.h"

namespace tagix::conformance {

/// Weights of rows, of which the first is 0 where there are several.
inline std::vector<float> weights_of(Index rows) {
  std::vector<float> weights = RandomInputs(rows + 7).log_uniforms(rows, 1e-2, 1e3);
  if (rows > 1) weights[0] = 0;
  return weights;
}

/// Multiplies innovations of rows x cols outputs by the weights of the rows, if there are any.
inline void weigh(const std::vector<float>& weights, Index cols, Expected& mean, Expected& var) {
  if (weights.empty()) return;
  for (Expected* expected : {&mean, &var}) {
    for (std::size_t i = 0; i < expected->values.size(); ++i) {
      const double weight = weights[i / static_cast<std::size_t>(cols)];
      expected->values[i].value *= weight;
      expected->values[i].magnitude *= weight;
    }
  }
}

}  // namespace tagix::conformance
