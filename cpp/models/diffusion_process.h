#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/memory.h"
#include "models/model.h"

namespace tagix {

/// A diffusion over rows of `n_features` values: at T timesteps the makings of a training row, and
/// what the network sees of a timestep and of a class. It maps [x_t, time features, class features]
/// to the target in `levels`.
struct DiffusionDescription {
  Index n_features = 0;
  std::vector<math::NoiseLevel> levels;  ///< of t = 0 .. T - 1; 0 is clean data, and not trained on
  std::vector<float> time_features;      ///< T x n_time_features
  std::vector<float> class_features = {};  ///< (n_classes + 1) x n_class_features; last: no class
  Index n_classes = 0;
};

/// A diffusion process: what it takes to train a network on it (models/diffusion_source.h) and to
/// sample with one (models/sampling.h).
///
/// Rows of data are (x - shift) / scale inside; x_t and targets are in these units, samples in the
/// units of the data.
class DiffusionProcess {
 public:
  /// Throws std::invalid_argument unless there are at least 1 feature and 2 timesteps, and tables
  /// of fitting sizes.
  DiffusionProcess(std::shared_ptr<Backend> backend, const DiffusionDescription& description);

  Backend& backend() const { return *backend_; }
  Index n_features() const { return n_features_; }
  Index n_steps() const { return tables_.n_steps; }
  Index n_classes() const { return tables_.conditions.n_classes; }
  Index network_inputs() const { return n_features_ + tables_.conditions.cols(); }
  const std::vector<float>& shift() const { return shift_; }
  const std::vector<float>& scale() const { return scale_; }
  const DiffusionTables& tables() const { return tables_; }

  /// Sets shift and scale, n_features values each; scales must be above 0.
  void set_standardization(std::vector<float> shift, std::vector<float> scale);
  /// Sets them to the mean and the standard deviation of each column of rows; a constant
  /// column keeps scale 1.
  void standardize_by(HostPointer<const float> data, Index rows);

  /// Throws std::invalid_argument unless the network takes network_inputs() and gives n_features.
  void check_network(const Model& network) const;

  /// Throws std::invalid_argument unless labels are below n_classes; those below 0 are unknown.
  void check_labels(HostPointer<const Index> labels, Index rows) const;

 private:
  std::shared_ptr<Backend> backend_;
  Index n_features_;
  Buffer<math::NoiseLevel> levels_;
  Buffer<float> time_features_;
  Buffer<float> class_features_;
  DiffusionTables tables_;
  std::vector<float> shift_;
  std::vector<float> scale_;
};

/// The columns of a table of `rows` rows. Throws std::invalid_argument, naming it, unless it has as
/// many values in each, all finite.
Index columns_of(const char* name, const std::vector<float>& table, Index rows);

}  // namespace tagix
