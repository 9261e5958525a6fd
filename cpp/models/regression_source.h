#pragma once

#include <memory>
#include <vector>

#include "core/memory.h"
#include "models/batch_source.h"
#include "models/shared_noise.h"

namespace tagix {

/// Rows of inputs, known or uncertain, and targets, with one noise variance, one for each output,
/// or one for each target.
class RegressionSource final : public BatchSource {
 public:
  /// Uploads x (rows x in) and y (rows x out, NaN = missing). Throws
  /// std::invalid_argument on values that no model can take.
  RegressionSource(Backend& backend, HostPointer<const float> x, HostPointer<const float> y,
                   Index rows, Index in_features, Index out_features);
  /// Takes arrays that lie in the backend's memory, and keep their values as long as `owner` lives,
  /// as they are: x (rows x in) and y (rows x out_features). Throws std::invalid_argument unless x
  /// is finite; of y an infinite value fails in training.
  RegressionSource(Backend& backend, const float* x, const float* y, Index rows, Index in_features,
                   Index out_features, std::shared_ptr<const void> owner);

  /// Noise variances in force from the next batch on: 1 or out_features values.
  void set_noise_var(const std::vector<float>& noise_var);
  /// One noise variance for each target: rows x out.
  void set_noise_var_per_target(HostPointer<const float> noise_var);
  /// Weights of the rows, finite and at least 0.
  void set_weight(HostPointer<const float> weight);
  /// Variances of the inputs: rows x in, finite and at least 0.
  void set_x_var(HostPointer<const float> x_var);
  /// What the network's outputs say of noise or of classes, if they do.
  void set_heads(math::NoiseHead head, math::ClassHead classes = {}) {
    noise_.set_heads(head, classes);
  }

  Index n_rows() const override { return rows_; }
  Index in_features() const override { return in_features_; }
  Index out_features() const override { return out_features_; }
  Batch load(RowSelection rows, Index n_rows) override;

 private:
  Backend& backend_;
  Index rows_;
  Index in_features_;
  Index out_features_;
  Buffer<float> own_x_;
  Buffer<float> own_y_;
  std::shared_ptr<const void> owner_;  // of x_ and y_, where they are not the source's own
  const float* x_;
  const float* y_;
  SharedNoise noise_;
  Buffer<float> noise_var_per_target_;  // empty unless it is in force
  Buffer<float> weight_;                // empty where all rows count as one
  float mean_weight_ = 1;
  Buffer<float> x_var_;  // empty where inputs are known
  Buffer<float> batch_x_;
  Buffer<float> batch_x_var_;
  Buffer<float> batch_y_;
  Buffer<float> batch_noise_var_;
  Buffer<float> batch_weight_;
};

}  // namespace tagix
