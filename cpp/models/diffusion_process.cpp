#include "models/diffusion_process.h"

#include <cmath>
#include <utility>

#include "core/require.h"

namespace tagix {

Index columns_of(const char* name, const std::vector<float>& table, Index rows) {
  const Index size = static_cast<Index>(table.size());
  require(rows >= 1 && size % rows == 0, name, ": got ", size,
          " values, needed as many for each of ", rows, " rows");
  require_finite(name, on_host(table), size);
  return size / rows;
}

DiffusionProcess::DiffusionProcess(std::shared_ptr<Backend> backend,
                                   const DiffusionDescription& description)
    : backend_(std::move(backend)),
      n_features_(description.n_features),
      levels_(*backend_),
      time_features_(*backend_),
      class_features_(*backend_) {
  const Index n_steps = static_cast<Index>(description.levels.size());
  require(n_features_ >= 1, "n_features: got ", n_features_, ", needed at least 1");
  require(n_steps >= 2, "n_steps: got ", n_steps, ", needed at least 2");
  require(description.n_classes >= 0, "n_classes: got ", description.n_classes,
          ", needed at least 0");
  Conditions conditions;
  conditions.n_time_features = columns_of("time_features", description.time_features, n_steps);
  conditions.n_classes = description.n_classes;
  conditions.n_class_features =
      columns_of("class_features", description.class_features, description.n_classes + 1);
  shift_.assign(static_cast<std::size_t>(n_features_), 0.0f);
  scale_.assign(static_cast<std::size_t>(n_features_), 1.0f);
  levels_.assign(description.levels);
  time_features_.assign(description.time_features);
  class_features_.assign(description.class_features);
  conditions.time_features = time_features_.data();
  conditions.class_features = class_features_.data();
  tables_ = {levels_.data(), conditions, n_steps, /*first_step=*/1};
}

void DiffusionProcess::set_standardization(std::vector<float> shift, std::vector<float> scale) {
  const auto count = static_cast<std::size_t>(n_features_);
  require(shift.size() == count && scale.size() == count, "shift, scale: got ", shift.size(),
          " and ", scale.size(), " values, needed ", n_features_, " each");
  require_finite("shift", on_host(shift), n_features_);
  require_positive("scale", on_host(scale), n_features_);
  shift_ = std::move(shift);
  scale_ = std::move(scale);
}

void DiffusionProcess::standardize_by(HostPointer<const float> data, Index rows) {
  require(rows >= 1, "X: got 0 rows, needed at least 1");
  require_finite("X", data, rows * n_features_);
  const auto count = static_cast<std::size_t>(n_features_);
  std::vector<float> shift(count), scale(count);
  for (Index column = 0; column < n_features_; ++column) {
    double sum = 0, squares = 0;
    for (Index row = 0; row < rows; ++row) sum += data[row * n_features_ + column];
    const double mean = sum / static_cast<double>(rows);
    for (Index row = 0; row < rows; ++row) {
      const double deviation = data[row * n_features_ + column] - mean;
      squares += deviation * deviation;
    }
    const auto std = static_cast<float>(std::sqrt(squares / static_cast<double>(rows)));
    shift[static_cast<std::size_t>(column)] = static_cast<float>(mean);
    scale[static_cast<std::size_t>(column)] = std > 0 ? std : 1.0f;
  }
  set_standardization(std::move(shift), std::move(scale));
}

void DiffusionProcess::check_network(const Model& network) const {
  const std::optional<Index> inputs = network.input_features();
  require(!inputs || *inputs == network_inputs(), "net: got a network of ", inputs.value_or(0),
          " inputs, needed ", network_inputs(), " (", n_features_, " features, ",
          tables_.conditions.n_time_features, " time features and ",
          tables_.conditions.n_class_features, " class features)");
  const Index outputs = network.output_features(network_inputs());
  require(outputs == n_features_, "net: got a network of ", outputs, " outputs, needed ",
          n_features_);
}

void DiffusionProcess::check_labels(HostPointer<const Index> labels, Index rows) const {
  for (Index i = 0; i < rows; ++i) {
    require(labels[i] < n_classes(), "labels: got ", labels[i], " at position ", i,
            ", needed classes below ", n_classes(), ", or -1 where there is none");
  }
}

}  // namespace tagix
