#include "core/backend.h"

#include <algorithm>
#include <numeric>

#include "core/cuda.h"
#include "core/require.h"
#include "math/quadrature.h"

namespace tagix {

float UpdateRule::spread(Index batch_size, float mean_weight) const {
  if (kind != Kind::information) return 1.0f;
  const double n_rows = static_cast<double>(batch_size) * static_cast<double>(mean_weight);
  return static_cast<float>(1 + share * (n_rows - 1));
}

float UpdateRule::cap_for(Index batch_size) const {
  if (cap > 0) return static_cast<float>(cap);
  if (batch_size == 1) return 0.1f;
  return batch_size < 256 ? 2.0f : 3.0f;
}

float UpdateRule::bound_for(Index batch_size) const {
  return kind == Kind::information ? static_cast<float>(clip) : cap_for(batch_size);
}

float mean_weight_of(HostPointer<const float> weight, Index rows) {
  const double sum = std::accumulate(weight.get(), weight.get() + rows, 0.0);
  return static_cast<float>(sum / static_cast<double>(std::max<Index>(1, rows)));
}

Index activation_point_count(math::MomentsForm form) {
  return form == math::MomentsForm::exact ? math::n_quadrature_nodes : 1;
}

std::shared_ptr<Backend> backend_for(const std::string& device, Precision precision) {
  require(device == "cpu" || device == "cuda", "device: got '", device,
          "', needed 'cpu' or 'cuda'");
  return device == "cpu" ? cpu_backend(precision) : cuda_backend(precision);
}

}  // namespace tagix
