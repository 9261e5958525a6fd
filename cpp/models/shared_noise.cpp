#include "models/shared_noise.h"

#include "core/require.h"

namespace tagix {

void SharedNoise::set_var(const std::vector<float>& var, Index n_outputs) {
  const Index size = static_cast<Index>(var.size());
  require(size == 1 || size == n_outputs, "noise: got ", size, " standard deviations, needed 1 or ",
          n_outputs);
  var_.assign(var);
}

NoiseView SharedNoise::view() const {
  if (is_known_by_heads()) return {nullptr, 0, 0, head_, classes_};
  require(var_.size() > 0, "noise: got none, needed set_noise_var before the first batch");
  return {var_.data(), 0, var_.size() > 1 ? 1 : 0};
}

}  // namespace tagix
