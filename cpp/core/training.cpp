#include "core/training.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/require.h"

namespace tagix {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

Trainer::Trainer(Model& model, BatchSource& source, Index batch_size, bool shuffle)
    : model_(model),
      source_(source),
      batch_size_(batch_size),
      shuffle_(shuffle),
      executor_(model.make_executor(source.in_features())),
      order_(model.backend()),
      state_(model.backend()),
      step_rows_(batch_size) {
  require(batch_size >= 1, "batch_size: got ", batch_size, ", needed at least 1");
  step_rows_ = model.forgets() ? batch_size : executor_->training_rows(batch_size);
  const Index outputs = model.target_features(source.in_features());
  require(source.out_features() == outputs, "source: got targets of ", source.out_features(),
          " features, needed ", outputs);
}

Index Trainer::queue_steps(MomentsView parameters, Index position, Index n_steps) {
  const RowSelection rows{shuffle_ ? order_.data() : nullptr, state_.data()};
  for (; n_steps > 0; --n_steps) {
    const Index count = std::min(step_rows_, source_.n_rows() - position);
    const auto queue = [&, parameters] {
      executor_->train(model_.rule(), source_.load(rows, count), batch_size_, parameters,
                       state_.data());
      model_.forget(parameters, state_.data());
    };
    if (buffer_moves() != buffer_moves_) forget_recordings();
    Step& step = steps_[count];
    if (step.has_run && !step.recording && !executor_->calls_the_host()) {
      step.recording = model_.backend().record(queue);
    }
    if (step.recording) {
      step.recording->queue();
    } else {
      queue();
      step.has_run = true;
    }
    position += count;
  }
  return position;
}

void Trainer::forget_recordings() {
  // They may still be running.
  model_.backend().synchronise();
  for (auto& [rows, step] : steps_) step.recording.reset();
  buffer_moves_ = buffer_moves();
}

EpochRecord Trainer::run_epoch(const ProgressCallback& progress) {
  const Clock::time_point start = Clock::now();
  constexpr double progress_interval = 0.05;  // seconds
  double last_progress = 0;

  const Index n_rows = source_.n_rows();
  EpochRecord record;
  record.epoch = model_.epochs_trained();
  TrainingState state;
  state.epoch = static_cast<std::uint64_t>(record.epoch);
  state_.assign(state);
  if (shuffle_) {
    order_.resize(n_rows);
    model_.backend().shuffle(model_.seed(), state.epoch, n_rows, order_.data());
  }
  while (record.n_rows < n_rows && !record.stopped) {
    burst_.begin();
    const Index n_steps = std::min(burst_.n_steps(), 1 + (n_rows - record.n_rows - 1) / step_rows_);
    model_.change_parameters([&](MomentsView parameters) {
      record.n_rows = queue_steps(parameters, record.n_rows, n_steps);
      state = state_.first();
    });
    burst_.end(n_steps);
    require_no_failure(state);
    const double now = seconds_since(start);
    if (progress && now - last_progress >= progress_interval) {
      last_progress = now;
      record.stopped = progress(record.n_rows);
    }
  }
  if (!record.stopped) model_.set_epochs_trained(record.epoch + 1);

  const double n_observed = static_cast<double>(state.sums.n_observed);
  record.mse = state.sums.squared_error / n_observed;
  record.predicted_var = state.sums.var / n_observed;
  record.noise_var = state.sums.noise_var / n_observed;
  record.surprise = state.sums.chi_square / n_observed;
  record.log_likelihood = state.sums.log_likelihood / n_observed;
  record.seconds = seconds_since(start);
  return record;
}

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
  backend.check_innovation({x, x, rows, in_features}, state.data());
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
