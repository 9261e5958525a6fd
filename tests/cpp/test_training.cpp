#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <numeric>
#include <thread>

#include "layers/linear.h"
#include "models/batch_source.h"
#include "models/regression_source.h"
#include "models/trainer.h"
#include "test_helpers.h"

using namespace tagix;
using namespace tagix::test;

namespace {

/// Gives row r the input (r / 100, 1) and the target 3 r / 100 - 1, and records what it is asked.
class RecordingSource final : public BatchSource {
 public:
  explicit RecordingSource(Index n_rows) : n_rows_(n_rows) { noise_var_.assign({0.1f}); }

  Index n_rows() const override { return n_rows_; }
  Index in_features() const override { return 2; }
  Index out_features() const override { return 1; }
  Batch load(RowSelection rows, Index n_rows) override {
    epochs.push_back(static_cast<Index>(rows.state->epoch));
    batches.emplace_back();
    for (Index i = rows.state->position; i < rows.state->position + n_rows; ++i) {
      batches.back().push_back(rows.order == nullptr ? i : rows.order[i]);
    }
    std::vector<float> x, y;
    for (Index row : batches.back()) {
      x.insert(x.end(), {static_cast<float>(row) / 100, 1.0f});
      y.push_back(3 * x[x.size() - 2] - 1);
    }
    x_.assign(x);
    y_.assign(y);
    if (delay.count() > 0) std::this_thread::sleep_for(delay);
    return {{x_.data(), nullptr, n_rows, 2}, y_.data(), {noise_var_.data(), 0, 0}};
  }

  /// All rows in the order in which they came.
  std::vector<Index> order() const {
    std::vector<Index> order;
    for (const std::vector<Index>& batch : batches) {
      order.insert(order.end(), batch.begin(), batch.end());
    }
    return order;
  }

  std::vector<std::vector<Index>> batches;
  std::vector<Index> epochs;
  std::chrono::milliseconds delay{0};

 private:
  std::shared_ptr<Backend> backend_ = cpu_backend();
  Index n_rows_;
  Buffer<float> x_{*backend_}, y_{*backend_}, noise_var_{*backend_};
};

std::unique_ptr<Model> make_model(std::uint64_t seed = 1, Index in = 2, Index out = 1) {
  return std::make_unique<Model>(
      std::make_shared<Linear>(in, out, true, Linear::Init::he, 1.0, 1.0), UpdateRule{}, seed,
      cpu_backend());
}

std::vector<Index> sorted(std::vector<Index> values) {
  std::sort(values.begin(), values.end());
  return values;
}

std::vector<Index> first_numbers(Index count) {
  std::vector<Index> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), Index{0});
  return numbers;
}

}  // namespace

TEST_CASE("an epoch visits every row once, whole batches at a time but for the last") {
  for (bool shuffle : {false, true}) {
    for (Index batch_size : {1, 7, 10, 103, 500}) {
      CAPTURE(batch_size);
      const auto model = make_model();
      RecordingSource source(103);
      const EpochRecord record = Trainer(*model, source, batch_size, shuffle).run_epoch({});
      CHECK(sorted(source.order()) == first_numbers(103));
      CHECK((source.order() == first_numbers(103)) == !shuffle);
      // Several batches may be loaded at once.
      Index loaded = 0;
      for (const std::vector<Index>& rows : source.batches) {
        CHECK((loaded % batch_size == 0 || batch_size > 103));
        loaded += static_cast<Index>(rows.size());
      }
      CHECK(loaded == 103);
      if (batch_size > 8) {
        CHECK(static_cast<Index>(source.batches.size()) == (103 + batch_size - 1) / batch_size);
      }
      CHECK(record.n_rows == 103);
      CHECK(record.epoch == 0);
      CHECK_FALSE(record.stopped);
      CHECK(model->epochs_trained() == 1);
    }
  }
}

TEST_CASE("the order of an epoch follows from the seed and the epoch") {
  const auto orders = [](std::uint64_t seed) {
    const auto model = make_model(seed);
    RecordingSource source(50);
    for (int epoch = 0; epoch < 3; ++epoch) Trainer(*model, source, 50, true).run_epoch({});
    CHECK(source.epochs == std::vector<Index>{0, 1, 2});
    return source.batches;
  };
  const auto batches = orders(1);
  CHECK(batches == orders(1));
  CHECK(batches != orders(2));
  CHECK(batches[0] != batches[1]);
  CHECK(batches[1] != batches[2]);
  CHECK(batches[0] != batches[2]);
}

TEST_CASE("shuffled orders are uniform") {
  // Each of 6 orders of 3 rows in 3000 epochs: 500 +- 5 standard deviations of 20.4.
  const auto model = make_model();
  RecordingSource source(3);
  for (int epoch = 0; epoch < 3000; ++epoch) Trainer(*model, source, 3, true).run_epoch({});
  std::vector<Index> order = first_numbers(3);
  do {
    const auto count = std::count(source.batches.begin(), source.batches.end(), order);
    CHECK(std::abs(static_cast<double>(count) - 500) < 102);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("an epoch's record averages the predictions made before each update") {
  const auto model = make_model(), copy = make_model();
  RecordingSource source(103), again(103);
  const EpochRecord record = Trainer(*model, source, 10, false).run_epoch({});
  PredictionSums sums;
  TrainingSteps steps(*copy);
  for (Index first = 0; first < 103; first += 10) {
    const TrainingState state{{}, first, 0, Failure::none};
    sums += steps.step(again.load({nullptr, &state}, std::min<Index>(10, 103 - first)));
  }
  CHECK(sums.n_observed == 103);
  CHECK(record.mse == doctest::Approx(sums.squared_error / 103).epsilon(1e-9));
  CHECK(record.predicted_var == doctest::Approx(sums.var / 103).epsilon(1e-9));
  CHECK(record.log_likelihood == doctest::Approx(sums.log_likelihood / 103).epsilon(1e-9));
  CHECK(record.seconds > 0);
  CHECK(parameters_of(*model).mean == parameters_of(*copy).mean);
  CHECK(parameters_of(*model).var == parameters_of(*copy).var);
}

TEST_CASE("training closes in on a line") {
  const auto model = make_model();
  RecordingSource source(103);
  std::vector<double> mse;
  for (int epoch = 0; epoch < 60; ++epoch) {
    const EpochRecord record = Trainer(*model, source, 8, true).run_epoch({});
    CHECK(record.epoch == epoch);
    mse.push_back(record.mse);
  }
  CHECK(mse.front() > 0.2);
  CHECK(mse.back() < 0.1);  // the variance of the noise that it was told
}

TEST_CASE("the progress callback sees the rows done and can end the epoch") {
  const auto model = make_model();
  RecordingSource source(100);
  source.delay = std::chrono::milliseconds(60);  // more than the callback's interval
  std::vector<Index> seen;
  const EpochRecord stopped = Trainer(*model, source, 10, true).run_epoch([&](Index rows_done) {
    seen.push_back(rows_done);
    return rows_done >= 30;
  });
  CHECK(seen == std::vector<Index>{10, 20, 30});
  CHECK(stopped.stopped);
  CHECK(stopped.n_rows == 30);
  CHECK(source.batches.size() == 3);
  CHECK(model->epochs_trained() == 0);

  // Without a delay the callback is hardly called, and the epoch ends by itself.
  RecordingSource quick(100);
  int calls = 0;
  const EpochRecord record = Trainer(*model, quick, 10, true).run_epoch([&](Index) {
    ++calls;
    return false;
  });
  CHECK_FALSE(record.stopped);
  CHECK(record.epoch == 0);
  CHECK(record.n_rows == 100);
  CHECK(calls <= 10);
  CHECK(model->epochs_trained() == 1);
}

TEST_CASE("regression batches are the rows that were asked for") {
  const std::shared_ptr<Backend> backend = cpu_backend();
  const std::vector<float> x = uniform_floats(30, -1, 1, 1);
  std::vector<float> y = uniform_floats(20, -1, 1, 2);
  y[6] = missing;
  RegressionSource source(*backend, x, y, 10, 3, 2);
  CHECK(source.n_rows() == 10);
  const std::vector<Index> rows{9, 0, 3, 3};
  const TrainingState state;
  const RowSelection selection{rows.data(), &state};
  const std::vector<float> per_target = uniform_floats(20, 0.1, 1, 3);
  const auto check_rows = [&](const BatchSource::Batch& batch, auto noise_at) {
    CHECK(batch.input.rows == 4);
    CHECK(batch.input.cols == 3);
    CHECK(batch.input.var == nullptr);
    for (std::size_t i = 0; i < 4; ++i) {
      const auto row = static_cast<std::size_t>(rows[i]);
      for (std::size_t k = 0; k < 3; ++k) CHECK(batch.input.mean[i * 3 + k] == x[row * 3 + k]);
      for (std::size_t k = 0; k < 2; ++k) {
        const float target = batch.target[i * 2 + k];
        CHECK((target == y[row * 2 + k] || (row == 3 && k == 0 && std::isnan(target))));
        const auto at = static_cast<Index>(i) * batch.noise.row_stride +
                        static_cast<Index>(k) * batch.noise.col_stride;
        CHECK(batch.noise.data[at] == noise_at(row, k));
      }
    }
  };
  source.set_noise_var({0.3f});
  check_rows(source.load(selection, 4), [](std::size_t, std::size_t) { return 0.3f; });
  source.set_noise_var({0.3f, 0.4f});
  check_rows(source.load(selection, 4),
             [](std::size_t, std::size_t k) { return k == 0 ? 0.3f : 0.4f; });
  source.set_noise_var_per_target(per_target);
  check_rows(source.load(selection, 4),
             [&](std::size_t row, std::size_t k) { return per_target[row * 2 + k]; });

  std::vector<float> x_var = uniform_floats(30, 0, 1, 4);
  source.set_x_var(x_var);
  const BatchSource::Batch uncertain = source.load(selection, 4);
  for (std::size_t i = 0; i < 12; ++i) {
    CHECK(uncertain.input.var[i] == x_var[static_cast<std::size_t>(rows[i / 3]) * 3 + i % 3]);
  }
  x_var[4] = -1;
  check_refused([&] { source.set_x_var(x_var); }, {"x_var: got -1 at flat position 4"});

  check_refused([&] { source.set_noise_var({1, 2, 3}); }, {"noise: got 3", "needed 1 or 2"});
  const std::vector<float> zero(20, 0.0f);
  check_refused([&] { source.set_noise_var_per_target(zero); }, {"noise: got 0"});
  const std::vector<float> bad_x(30, missing);
  check_refused([&] { RegressionSource(*backend, bad_x, y, 10, 3, 2); }, {"x: got nan"});
  check_refused([&] { RegressionSource(*backend, x, y, 0, 3, 2); }, {"x: got 0 rows"});
  check_refused([&] { RegressionSource(*backend, x, y, 10, 3, 0); }, {"y: got 0 columns"});
  const std::vector<float> bad_y(20, std::numeric_limits<float>::infinity());
  check_refused([&] { RegressionSource(*backend, x, bad_y, 10, 3, 2); }, {"y: got inf"});
}

TEST_CASE("missing targets count for nothing") {
  const std::shared_ptr<Backend> backend = cpu_backend();
  const std::vector<float> x = uniform_floats(12, -1, 1, 1);
  std::vector<float> y = uniform_floats(12, -1, 1, 2);
  for (std::size_t i = 0; i < 12; i += 2) y[i] = missing;  // the first output, always
  RegressionSource source(*backend, x, y, 6, 2, 2);
  source.set_noise_var({0.1f});
  const auto model = make_model(1, 2, 2);
  const HostPair before = parameters_of(*model);
  const EpochRecord record = Trainer(*model, source, 6, false).run_epoch({});
  const HostPair after = parameters_of(*model);
  double squared_error = 0;
  for (std::size_t row = 0; row < 6; ++row) {
    const double mean = double{before.mean[2]} * x[row * 2] +
                        double{before.mean[3]} * x[row * 2 + 1] + double{before.mean[5]};
    squared_error += std::pow(y[row * 2 + 1] - mean, 2);
  }
  CHECK(record.mse == doctest::Approx(squared_error / 6).epsilon(1e-5));
  for (std::size_t i : {0, 1, 4}) {  // weights and bias of the first output
    CHECK(after.mean[i] == before.mean[i]);
    CHECK(after.var[i] == before.var[i]);
  }
  for (std::size_t i : {2, 3, 5}) CHECK(after.var[i] < before.var[i]);
}

TEST_CASE("a batch size below 1 is refused") {
  const auto model = make_model();
  RecordingSource source(10);
  check_refused([&] { Trainer(*model, source, 0, true).run_epoch({}); }, {"batch_size: got 0"});
  CHECK(source.batches.empty());
}

TEST_CASE("a source that does not fit the model, or knows no noise, is refused") {
  RecordingSource source(4);
  check_refused([&] { Trainer(*make_model(1, 3, 1), source, 2, false).run_epoch({}); },
                {"got 2 features", "needed 3"});
  check_refused([&] { Trainer(*make_model(1, 2, 3), source, 2, false).run_epoch({}); },
                {"targets of 1 features", "needed 3"});
  CHECK(source.batches.empty());

  const auto model = make_model();
  const std::vector<float> x{1, 2, 3, 4}, y{1, 2};
  RegressionSource without_noise(model->backend(), x, y, 2, 2, 1);
  const HostPair before = parameters_of(*model);
  check_refused([&] { Trainer(*model, without_noise, 2, false).run_epoch({}); },
                {"noise: got none"});
  CHECK(parameters_of(*model).mean == before.mean);
}
