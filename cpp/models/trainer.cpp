#include "models/trainer.h"

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
    QueuedBatch& step = steps_[count];
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

}  // namespace tagix
