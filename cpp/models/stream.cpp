#include "models/stream.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/require.h"
#include "math/leverage.h"
#include "math/normal.h"

namespace tagix {
namespace {

constexpr double half_width_of_90_percent = 1.6448536269514722;  // Phi^-1(.95)

void check_scaling(const std::vector<StreamColumn>& columns, const StreamColumn& target) {
  const auto check = [](const StreamColumn& column) {
    require(std::isfinite(column.mean) && std::isfinite(column.scale) && column.scale > 0,
            "scaling: got mean ", column.mean, " and scale ", column.scale,
            ", needed finite numbers, the scale above 0");
  };
  for (const StreamColumn& column : columns) check(column);
  check(target);
}

}  // namespace

void RunningMoments::add(double value) {
  if (std::isnan(value)) return;
  count += 1;
  const double deviation = value - mean;
  mean += deviation / count;
  sum_of_squares += deviation * (value - mean);
}

Stream::Stream(std::shared_ptr<Model> model, std::vector<StreamColumn> columns, StreamColumn target,
               const PrequentialSums& sums)
    : model_(std::move(model)),
      classes_(model_->class_head()),
      columns_(std::move(columns)),
      target_(target),
      sums_(sums),
      input_(2 * columns_.size()) {
  require(model_->backend().reads_host_memory(),
          "model: got one on device cuda, needed one on the CPU");
  require(model_->target_features(n_features()) == 1, "model: got ",
          model_->target_features(n_features()), " targets, needed 1");
  require(model_->noise_head().exists() || classes_.exists(),
          "model: got one that does not know its noise, needed one that infers it or has classes");
  check_scaling(columns_, target_);
  const auto outputs = static_cast<std::size_t>(model_->output_features(n_features()));
  prediction_.resize(4 * outputs);
  probabilities_.resize(static_cast<std::size_t>(classes_.n_classes));
}

HostMoments Stream::standardized(const double* x) {
  const std::size_t n = columns_.size();
  bool missing = false;
  for (std::size_t i = 0; i < n; ++i) {
    const bool is_missing = std::isnan(x[i]);
    missing = missing || is_missing;
    const double z = (x[i] - columns_[i].mean) / columns_[i].scale;
    input_[i] = is_missing ? 0.0f : static_cast<float>(math::bounded_leverage(z));
  }
  if (missing) {
    for (std::size_t i = 0; i < n; ++i) input_[n + i] = std::isnan(x[i]) ? 1.0f : 0.0f;
  }
  const HostPointer<const float> mean = on_host(input_);
  return {mean, missing ? mean + n_features() : nullptr, 1, n_features()};
}

HostPredictionArrays Stream::prediction() {
  const HostPointer<float> first = on_host(prediction_);
  if (classes_.exists()) return {first, first + classes_.n_outputs()};
  return {first, first + 1, first + 2, first + 3};
}

StreamPrediction Stream::in_units() const {
  const double scale = target_.scale, mean = static_cast<double>(prediction_[0]);
  return {target_.mean + scale * mean, scale * scale * static_cast<double>(prediction_[3])};
}

StreamPrediction Stream::predict(const double* x) {
  model_->predict(standardized(x), {}, prediction());
  return in_units();
}

void Stream::predict_proba(const double* x, HostPointer<float> probabilities) {
  model_->predict_proba(standardized(x), probabilities);
}

bool Stream::learn(const double* x, double y) {
  if (classes_.exists()) {
    const auto target = static_cast<float>(y);
    model_->update(standardized(x), on_host(&target), {}, prediction());
    if (!std::isnan(y)) record_class(classes_.label_of(target));
  } else {
    const auto target = static_cast<float>((y - target_.mean) / target_.scale);
    model_->update(standardized(x), on_host(&target), {}, prediction());
    if (!std::isnan(y)) sum_number(y);
  }
  for (std::size_t i = 0; i < columns_.size(); ++i) columns_[i].seen.add(x[i]);
  if (!classes_.exists()) target_.seen.add(y);
  sums_.n_rows += 1;
  const auto rows = static_cast<std::uint64_t>(sums_.n_rows);
  return (rows & (rows - 1)) == 0;
}

void Stream::sum_number(double y) {
  const StreamPrediction expected = in_units();
  const double error = y - expected.mean;
  sums_.log_likelihood += math::normal_log_density(y, expected.mean, expected.var);
  sums_.squared_error += error * error;
  sums_.absolute_error += std::fabs(error);
  const double reach = half_width_of_90_percent * half_width_of_90_percent * expected.var;
  sums_.n_covered += error * error <= reach ? 1 : 0;
  sums_.n_observed += 1;
}

void Stream::record_class(Index label) {
  const auto n_outputs = static_cast<Index>(prediction_.size() / 4);
  const float *const mean = prediction_.data(), *const var = mean + n_outputs;
  model_->backend().class_probabilities({mean, var, 1, n_outputs}, classes_, probabilities_.data());
  const auto most = std::max_element(probabilities_.begin(), probabilities_.end());
  const math::RecordedClass seen = math::recorded_class(classes_, mean, var, label);
  sums_.log_likelihood += seen.log_likelihood;
  sums_.squared_error += seen.squared_error;
  sums_.absolute_error += 1 - seen.probability;
  sums_.n_correct += most - probabilities_.begin() == label ? 1 : 0;
  sums_.n_observed += 1;
}

void Stream::set_scaling(const std::vector<StreamColumn>& columns, const StreamColumn& target) {
  require(columns.size() == columns_.size(), "columns: got ", columns.size(), ", needed ",
          columns_.size());
  check_scaling(columns, target);
  const auto take = [](const StreamColumn& from, StreamColumn& to) {
    to.mean = from.mean;
    to.scale = from.scale;
  };
  for (std::size_t i = 0; i < columns.size(); ++i) take(columns[i], columns_[i]);
  take(target, target_);
}

}  // namespace tagix
