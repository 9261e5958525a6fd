#include "models/diffusion_source.h"

#include <cmath>

#include "core/require.h"

namespace tagix {

DiffusionSource::DiffusionSource(Backend& backend, const DiffusionProcess& process,
                                 std::uint64_t seed, HostPointer<const float> data, Index rows)
    : backend_(backend),
      process_(process),
      seed_(seed),
      rows_(rows),
      clean_(backend),
      labels_(backend),
      noise_(backend),
      input_(backend),
      target_(backend) {
  require(rows >= 1, "X: got 0 rows, needed at least 1");
  const Index n_features = process.n_features();
  require_finite("X", data, rows * n_features);
  std::vector<float> standardized(static_cast<std::size_t>(rows * n_features));
  for (std::size_t i = 0; i < standardized.size(); ++i) {
    const std::size_t column = i % static_cast<std::size_t>(n_features);
    standardized[i] = (data[i] - process.shift()[column]) / process.scale()[column];
  }
  clean_.assign(standardized);
}

void DiffusionSource::set_labels(HostPointer<const Index> labels, double p_uncond) {
  require(p_uncond >= 0 && p_uncond <= 1, "p_uncond: got ", p_uncond,
          ", needed a number in [0, 1]");
  process_.check_labels(labels, rows_);
  labels_.assign(labels, rows_);
  dropped_below_ = static_cast<std::uint64_t>(std::llround(p_uncond * 0x1p32));
}

BatchSource::Batch DiffusionSource::load(RowSelection rows, Index n_rows) {
  input_.resize(n_rows * process_.network_inputs());
  target_.resize(n_rows * process_.n_features());
  const TrainingLabels labels{labels_.size() > 0 ? labels_.data() : nullptr, dropped_below_};
  backend_.diffuse(process_.tables(), seed_, clean_.data(), process_.n_features(), labels, rows,
                   n_rows, input_.data(), target_.data());
  return {
      {input_.data(), nullptr, n_rows, process_.network_inputs()}, target_.data(), noise_.view()};
}

}  // namespace tagix
