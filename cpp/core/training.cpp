#include "core/training.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <utility>

#include "core/require.h"

namespace tagix {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The rows in the order of an epoch: Fisher & Yates with the words of (seed; epoch, position).
std::vector<Index> row_order(Index n_rows, bool shuffle, std::uint64_t seed, Index epoch) {
  std::vector<Index> order(static_cast<std::size_t>(n_rows));
  std::iota(order.begin(), order.end(), Index{0});
  if (!shuffle) return order;
  for (Index i = n_rows - 1; i > 0; --i) {
    const math::Philox4 words =
        math::random_words(seed, math::RandomStream::shuffle, static_cast<std::uint64_t>(epoch),
                           static_cast<std::uint64_t>(i), 0);
    const auto j = math::bounded(words.word[0], static_cast<std::uint32_t>(i + 1));
    std::swap(order[static_cast<std::size_t>(i)], order[j]);
  }
  return order;
}

}  // namespace

EpochRecord train_epoch(Model& model, BatchSource& source, Index batch_size, bool shuffle,
                        const ProgressCallback& progress) {
  require(batch_size >= 1, "batch_size: got ", batch_size, ", needed at least 1");
  const Index outputs = model.output_features(source.in_features());
  require(source.out_features() == outputs, "source: got targets of ", source.out_features(),
          " features, needed ", outputs);
  const Clock::time_point start = Clock::now();
  constexpr double progress_interval = 0.05;  // seconds
  double last_progress = 0;

  Backend& backend = model.backend();
  const Index n_rows = source.n_rows();
  EpochRecord record;
  record.epoch = model.epochs_trained();
  const std::vector<Index> order = row_order(n_rows, shuffle, model.seed(), record.epoch);
  Buffer<Index> rows(backend);
  rows.assign(order);

  PredictionSums sums;
  while (record.n_rows < n_rows && !record.stopped) {
    const Index count = std::min(batch_size, n_rows - record.n_rows);
    const BatchSource::Batch batch = source.load(record.epoch, rows.data() + record.n_rows, count);
    sums += model.train_step(batch.input, batch.target, batch.noise_var);
    record.n_rows += count;
    const double now = seconds_since(start);
    if (progress && now - last_progress >= progress_interval) {
      last_progress = now;
      record.stopped = progress(record.n_rows);
    }
  }
  if (!record.stopped) model.set_epochs_trained(record.epoch + 1);

  const double n_observed = static_cast<double>(sums.n_observed);
  record.mse = sums.squared_error / n_observed;
  record.predicted_var = sums.var / n_observed;
  record.log_likelihood = sums.log_likelihood / n_observed;
  record.seconds = seconds_since(start);
  return record;
}

RegressionSource::RegressionSource(Backend& backend, const float* x, const float* y, Index rows,
                                   Index in_features, Index out_features)
    : backend_(backend),
      rows_(rows),
      in_features_(in_features),
      out_features_(out_features),
      x_(backend),
      y_(backend),
      noise_var_(backend),
      batch_x_(backend),
      batch_y_(backend),
      batch_noise_var_(backend) {
  require(rows >= 1, "x: got 0 rows, needed at least 1");
  require_finite("x", x, rows * in_features);
  require_finite_or_missing("y", y, rows * out_features);
  x_.assign(x, rows * in_features);
  y_.assign(y, rows * out_features);
}

void RegressionSource::set_noise_var(const std::vector<float>& noise_var) {
  const Index size = static_cast<Index>(noise_var.size());
  require(size == 1 || size == out_features_, "noise: got ", size,
          " standard deviations, needed 1 or ", out_features_);
  noise_var_.assign(noise_var);
  noise_per_target_ = false;
}

void RegressionSource::set_noise_var_per_target(const float* noise_var) {
  require_positive("noise", noise_var, rows_ * out_features_);
  noise_var_.assign(noise_var, rows_ * out_features_);
  noise_per_target_ = true;
}

BatchSource::Batch RegressionSource::load(Index, const Index* rows, Index n_rows) {
  require(noise_var_.size() > 0, "noise: got none, needed set_noise_var before the first batch");
  batch_x_.resize(n_rows * in_features_);
  batch_y_.resize(n_rows * out_features_);
  backend_.gather_rows(x_.data(), in_features_, rows, n_rows, batch_x_.data());
  backend_.gather_rows(y_.data(), out_features_, rows, n_rows, batch_y_.data());
  BroadcastView noise_var{noise_var_.data(), 0, noise_var_.size() > 1 ? 1 : 0};
  if (noise_per_target_) {
    batch_noise_var_.resize(n_rows * out_features_);
    backend_.gather_rows(noise_var_.data(), out_features_, rows, n_rows, batch_noise_var_.data());
    noise_var = {batch_noise_var_.data(), out_features_, 1};
  }
  return {{batch_x_.data(), nullptr, n_rows, in_features_}, batch_y_.data(), noise_var};
}

}  // namespace tagix
