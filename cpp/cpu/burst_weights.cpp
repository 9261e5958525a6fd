#include "cpu/burst_weights.h"

#include <algorithm>

#include "cpu/online_executor.h"

namespace tagix::cpu {

BurstWeights::BurstWeights(Backend& backend, const Kernels& kernels, const AffineStep& shape)
    : kernels_(kernels), shape_(shape), memory_(backend), weight_{}, padded_{}, bias_sum_{} {
  const Index lanes = kernels.layout.lanes;
  weight_.in = shape.in_features;
  weight_.padded_out = ceil_div(shape.out_features, lanes) * lanes;
  weight_.stride = 2 * weight_.padded_out;
  live_.resize(static_cast<std::size_t>(shape.in_features));
}

void BurstWeights::load(const AffineParameters& from, float largest_sd) {
  const Index in = shape_.in_features, out = shape_.out_features, padded = weight_.padded_out;
  const Index weight_size = weight_.stride * (in + 1), rows_size = padded * max_online_rows;
  memory_.resize(weight_size + 2 * rows_size + 2 * padded);
  weight_.rows = memory_.data();
  weight_.largest_sd = largest_sd;
  padded_ = {weight_.rows + weight_size, weight_.rows + weight_size + rows_size};
  bias_sum_ = {padded_.var + rows_size, padded_.var + rows_size + padded};
  if (is_padded() || !shape_.bias) std::fill_n(memory_.data(), memory_.size(), 0.0f);
  kernels_.transpose_plane(from.weight_mean, out, in, in, weight_.rows, weight_.stride);
  kernels_.transpose_plane(from.weight_var, out, in, in, weight_.rows + padded, weight_.stride);
  if (!shape_.bias) return;
  std::copy_n(from.bias_mean, out, weight_.row(in));
  std::copy_n(from.bias_var, out, weight_.row(in) + padded);
}

void BurstWeights::store(MomentsView parameters) const {
  const Index in = shape_.in_features, out = shape_.out_features, padded = weight_.padded_out;
  kernels_.transpose_plane(weight_.rows, in, out, weight_.stride, parameters.mean, in);
  kernels_.transpose_plane(weight_.rows + padded, in, out, weight_.stride, parameters.var, in);
  if (!shape_.bias) return;
  std::copy_n(weight_.row(in), out, parameters.mean + shape_.weight_size());
  std::copy_n(weight_.row(in) + padded, out, parameters.var + shape_.weight_size());
}

void BurstWeights::copy_rows(const BurstOutput& source, Index from, const BurstOutput& target,
                             Index to, Index rows) {
  const Index cols = std::min(from, to);
  for (Index row = 0; row < rows; ++row) {
    std::copy_n(source.mean + row * from, cols, target.mean + row * to);
    std::copy_n(source.var + row * from, cols, target.var + row * to);
  }
}

BurstInput BurstWeights::live_of(const BurstInput& input) const {
  BurstInput live = input;
  if (n_live_ < shape_.in_features) live.live = live_.data();
  live.n_live = n_live_;
  return live;
}

void BurstWeights::forward(const BurstInput& input, const float* jacobian, Index rows,
                           const BurstOutput& output) {
  n_live_ = rows > 1 ? shape_.in_features
                     : kernels_.find_live(input.second_moment, jacobian, shape_.in_features,
                                          live_.data());
  kernels_.affine_burst(live_of(input), rows, weight_, is_padded() ? padded_ : output);
  if (is_padded()) copy_rows(padded_, weight_.padded_out, output, shape_.out_features, rows);
}

void BurstWeights::learn(const BurstInput& input, const BurstOutput& delta, Index rows, float clip,
                         const BurstOutput& below) {
  const Index padded = weight_.padded_out;
  BurstOutput own = delta;
  if (is_padded()) {
    std::fill_n(padded_.mean, 2 * padded * max_online_rows, 0.0f);
    copy_rows(delta, shape_.out_features, padded_, padded, rows);
    own = padded_;
  }
  float largest[max_online_rows];
  for (Index row = 0; row < rows; ++row) {
    largest[row] = kernels_.largest_magnitude(own.mean + row * padded, padded);
  }
  if (n_live_ < shape_.in_features && below.mean != nullptr) {
    std::fill_n(below.mean, shape_.in_features, 0.0f);
    std::fill_n(below.var, shape_.in_features, 0.0f);
  }
  kernels_.update_burst(live_of(input), {own.mean, own.var, largest}, rows, clip, weight_, below);
  if (!shape_.bias) return;
  if (rows > 1) {
    std::fill_n(bias_sum_.mean, 2 * padded, 0.0f);
    kernels_.add_column_sums(own.mean, padded, rows, padded, bias_sum_.mean);
    kernels_.add_column_sums(own.var, padded, rows, padded, bias_sum_.var);
    own = bias_sum_;
  }
  float* const bias = weight_.row(shape_.in_features);
  kernels_.update(math::UpdateKind::information, clip, own.mean, own.var, padded, bias,
                  bias + padded);
}

float BurstWeights::largest_mean() const {
  float largest = 0;
  for (Index i = 0; i < shape_.in_features; ++i) {
    largest = std::max(largest, kernels_.largest_magnitude(weight_.row(i), weight_.padded_out));
  }
  return largest;
}

}  // namespace tagix::cpu
