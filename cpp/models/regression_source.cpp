#include "models/regression_source.h"

#include <utility>

#include "core/require.h"
#include "core/training_state.h"

namespace tagix {

RegressionSource::RegressionSource(Backend& backend, const float* x, const float* y, Index rows,
                                   Index in_features, Index out_features,
                                   std::shared_ptr<const void> owner)
    : backend_(backend),
      rows_(rows),
      in_features_(in_features),
      out_features_(out_features),
      own_x_(backend),
      own_y_(backend),
      owner_(std::move(owner)),
      x_(x),
      y_(y),
      noise_(backend),
      noise_var_per_target_(backend),
      weight_(backend),
      x_var_(backend),
      batch_x_(backend),
      batch_x_var_(backend),
      batch_y_(backend),
      batch_noise_var_(backend),
      batch_weight_(backend) {
  require(rows >= 1, "x: got 0 rows, needed at least 1");
  require(out_features >= 1, "y: got 0 columns, needed at least 1");
  if (owner_ == nullptr) return;
  Buffer<TrainingState> state(backend);
  state.assign(TrainingState{});
  backend.check_finite({x, x, rows, in_features}, state.data());
  require(state.first().failure == Failure::none,
          "x: got NaN or an infinite value, needed finite numbers");
}

RegressionSource::RegressionSource(Backend& backend, HostPointer<const float> x,
                                   HostPointer<const float> y, Index rows, Index in_features,
                                   Index out_features)
    : RegressionSource(backend, nullptr, nullptr, rows, in_features, out_features, nullptr) {
  require_finite("x", x, rows * in_features);
  require_finite_or_missing("y", y, rows * out_features);
  own_x_.assign(x, rows * in_features);
  own_y_.assign(y, rows * out_features);
  x_ = own_x_.data();
  y_ = own_y_.data();
}

void RegressionSource::set_noise_var(const std::vector<float>& noise_var) {
  noise_.set_var(noise_var, out_features_);
  noise_var_per_target_.resize(0);
}

void RegressionSource::set_noise_var_per_target(HostPointer<const float> noise_var) {
  require(!noise_.is_known_by_heads(),
          "noise: got noise variances, needed none: the network infers them, or predicts classes");
  require_positive("noise", noise_var, rows_ * out_features_);
  noise_var_per_target_.assign(noise_var, rows_ * out_features_);
}

void RegressionSource::set_weight(HostPointer<const float> weight) {
  require_weights(weight, rows_);
  weight_.assign(weight, rows_);
  mean_weight_ = mean_weight_of(weight, rows_);
}

void RegressionSource::set_x_var(HostPointer<const float> x_var) {
  require_variances("x_var", x_var, rows_ * in_features_);
  x_var_.assign(x_var, rows_ * in_features_);
}

BatchSource::Batch RegressionSource::load(RowSelection rows, Index n_rows) {
  batch_x_.resize(n_rows * in_features_);
  batch_y_.resize(n_rows * out_features_);
  backend_.gather_rows(x_, in_features_, rows, n_rows, batch_x_.data());
  backend_.gather_rows(y_, out_features_, rows, n_rows, batch_y_.data());
  const float* batch_x_var = nullptr;
  if (x_var_.size() > 0) {
    batch_x_var_.resize(n_rows * in_features_);
    backend_.gather_rows(x_var_.data(), in_features_, rows, n_rows, batch_x_var_.data());
    batch_x_var = batch_x_var_.data();
  }
  const ConstMomentsView input{batch_x_.data(), batch_x_var, n_rows, in_features_};
  NoiseView noise;
  if (noise_var_per_target_.size() == 0) {
    noise = noise_.view();
  } else {
    batch_noise_var_.resize(n_rows * out_features_);
    backend_.gather_rows(noise_var_per_target_.data(), out_features_, rows, n_rows,
                         batch_noise_var_.data());
    noise = {batch_noise_var_.data(), out_features_, 1};
  }
  if (weight_.size() > 0) {
    batch_weight_.resize(n_rows);
    backend_.gather_rows(weight_.data(), 1, rows, n_rows, batch_weight_.data());
    noise.weight = batch_weight_.data();
    noise.mean_weight = mean_weight_;
  }
  return {input, batch_y_.data(), noise};
}

}  // namespace tagix
