#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <numbers>
#include <thread>

#include "core/executor.h"
#include "layers/activation.h"
#include "layers/linear.h"
#include "layers/sequential.h"
#include "models/model.h"
#include "test_helpers.h"

using namespace tagix;
using namespace tagix::test;

namespace {

constexpr Index n_inputs = 3, n_outputs = 2;

/// 3-9-7-2 with a ReLU and a first-order tanh (both exact, no quadrature), one layer without bias.
std::shared_ptr<const Layer> network() {
  const auto linear = [](Index in, Index out, bool bias) {
    return std::make_shared<Linear>(in, out, bias, Linear::Init::he, 1.0, 1.0);
  };
  const auto activation = [](math::ActivationKind kind, math::MomentsForm form) {
    return std::make_shared<Activation>(math::ActivationSpec{kind, form});
  };
  return std::make_shared<Sequential>(std::vector<std::shared_ptr<const Layer>>{
      linear(n_inputs, 9, true), activation(math::ActivationKind::relu, math::MomentsForm::exact),
      linear(9, 7, false), activation(math::ActivationKind::tanh, math::MomentsForm::first_order),
      linear(7, n_outputs, true)});
}

std::unique_ptr<Model> make_model(const UpdateRule& rule = {}, std::uint64_t seed = 1) {
  return std::make_unique<Model>(network(), rule, seed, cpu_backend());
}

/// The same network in float64, with the parameters of `model`.
Float64Network float64_copy(const Model& model) {
  const HostPair parameters = parameters_of(model);
  Float64Network copy;
  std::ptrdiff_t offset = 0;
  const auto take = [&](std::size_t rows, std::size_t cols) {
    Gaussians result(rows, cols);
    const auto count = static_cast<std::ptrdiff_t>(rows * cols);
    const auto mean = parameters.mean.begin() + offset, var = parameters.var.begin() + offset;
    result.mean.assign(mean, mean + count);
    result.var.assign(var, var + count);
    offset += count;
    return result;
  };
  const ActivationTruth tanh = [](double mean, double var) -> ScalarMoments {
    const double slope = 1 / std::pow(std::cosh(mean), 2);
    return {std::tanh(mean), slope * slope * var, slope};
  };
  copy.layers.push_back({take(9, 3), take(1, 9), relu_truth});
  copy.layers.push_back({take(7, 9), Gaussians(1, 0), tanh});
  copy.layers.push_back({take(2, 7), take(1, 2), identity_truth});
  return copy;
}

/// All parameters of a float64 network in the order of Model::parameters.
void flatten(const Float64Network& network, std::vector<double>& mean, std::vector<double>& var) {
  for (const Float64Layer& layer : network.layers) {
    for (const Gaussians* part : {&layer.weight, &layer.bias}) {
      mean.insert(mean.end(), part->mean.begin(), part->mean.end());
      var.insert(var.end(), part->var.begin(), part->var.end());
    }
  }
}

/// A batch of inputs and targets on the host.
struct Batch {
  Index rows;
  std::vector<float> x, x_var, y, noise_var;

  Batch(Index rows, unsigned seed, bool uncertain = false, bool with_missing = false)
      : rows(rows),
        x(uniform_floats(size(n_inputs), -2, 2, seed)),
        y(uniform_floats(size(n_outputs), -2, 2, seed + 1)),
        noise_var(uniform_floats(size(n_outputs), 0.01, 0.3, seed + 2)) {
    if (uncertain) x_var = uniform_floats(size(n_inputs), 0, 0.5, seed + 3);
    if (with_missing) {
      for (std::size_t i = 0; i < y.size(); i += 3) y[i] = missing;
    }
  }
  std::size_t size(Index cols) const { return static_cast<std::size_t>(rows * cols); }

  HostMoments input() const {
    return {x, x_var.empty() ? nullptr : on_host(x_var), rows, n_inputs};
  }
  HostNoise noise() const { return {noise_var, n_outputs, 1}; }
  Gaussians float64_input() const {
    Gaussians result(static_cast<std::size_t>(rows), n_inputs);
    result.mean = doubles(x);
    if (!x_var.empty()) result.var = doubles(x_var);
    return result;
  }
};

HostPair predict(const Model& model, const Batch& batch) {
  HostPair result{std::vector<float>(batch.size(n_outputs)), {}};
  result.var.resize(result.mean.size());
  model.predict(batch.input(), {}, {result.mean, result.var});
  return result;
}

HostPair update(Model& model, const Batch& batch) {
  HostPair result{std::vector<float>(batch.size(n_outputs)), {}};
  result.var.resize(result.mean.size());
  model.update(batch.input(), batch.y, batch.noise(), {result.mean, result.var});
  return result;
}

void check_same(const HostPair& a, const HostPair& b) {
  CHECK(a.mean == b.mean);
  CHECK(a.var == b.var);
}

UpdateRule information(double share, double clip) {
  UpdateRule rule;
  rule.share = share;
  rule.clip = clip;
  return rule;
}

UpdateRule capped(double cap = 0) {
  UpdateRule rule;
  rule.kind = UpdateRule::Kind::capped;
  rule.cap = cap;
  return rule;
}

}  // namespace

TEST_CASE("predictions are those of the network in float64") {
  const auto model = make_model();
  const Float64Network truth = float64_copy(*model);
  for (bool uncertain : {false, true}) {
    for (Index rows : {1, 3, 200, 2500}) {
      const Batch batch(rows, 5, uncertain);
      const HostPair prediction = predict(*model, batch);
      const Gaussians expected = truth.forward(batch.float64_input()).output;
      const Difference error =
          difference(prediction.mean, prediction.var, expected.mean, expected.var);
      CHECK(error.mean < 1e-5);
      CHECK(error.var < 1e-5);
    }
  }
}

TEST_CASE("50 updates by the information rule change parameters as they do in float64") {
  for (const UpdateRule& rule : {UpdateRule{}, information(0.1, 0.1)}) {
    for (Index rows : {1, 5, 40, 256}) {
      const auto model = make_model(rule);
      Float64Network truth = float64_copy(*model);
      for (unsigned step = 0; step < 50; ++step) {
        INFO("clip ", rule.clip, ", batch ", rows, ", step ", step);
        const Batch batch(rows, 100 + step, step % 2 == 1, step % 5 >= 2);
        const HostPair before = update(*model, batch);
        const Gaussians expected =
            truth.update(batch.float64_input(), doubles(batch.y), doubles(batch.noise_var), rule);
        const Difference error = difference(before.mean, before.var, expected.mean, expected.var);
        CHECK(error.mean < 1e-5);
        CHECK(error.var < 1e-5);
      }
      std::vector<double> mean, var;
      flatten(truth, mean, var);
      const HostPair parameters = parameters_of(*model);
      const Difference error = difference(parameters.mean, parameters.var, mean, var);
      CHECK(error.mean < 1e-5);
      CHECK(error.var < 1e-5);
    }
  }
}

TEST_CASE("each of 50 updates by rules that are not stable is that of float64") {
  // From the same parameters each time: two runs drift apart whatever their precision, since the
  // capped rule takes differences of variances and resets those that are gone, and without share
  // and clip large batches overshoot.
  for (const UpdateRule& rule : {capped(), capped(0.5), capped(8), information(0, 10)}) {
    for (Index rows : {1, 5, 40, 256}) {
      const auto model = make_model(rule);
      for (unsigned step = 0; step < 50; ++step) {
        INFO("cap ", rule.cap, ", clip ", rule.clip, ", batch ", rows, ", step ", step);
        Float64Network truth = float64_copy(*model);
        const HostPair prior = parameters_of(*model);
        const Batch batch(rows, 100 + step, step % 2 == 1, step % 5 >= 2);
        update(*model, batch);
        truth.update(batch.float64_input(), doubles(batch.y), doubles(batch.noise_var), rule);
        std::vector<double> mean, var;
        flatten(truth, mean, var);
        const HostPair parameters = parameters_of(*model);
        double worst_mean = 0, worst_var = 0;
        for (std::size_t i = 0; i < mean.size(); ++i) {
          const double prior_var = prior.var[i];
          worst_mean = std::max(worst_mean, std::fabs(parameters.mean[i] - mean[i]) /
                                                (std::fabs(mean[i]) + std::sqrt(prior_var)));
          worst_var = std::max(worst_var,
                               std::fabs(parameters.var[i] - var[i]) / std::max(prior_var, var[i]));
        }
        CHECK(worst_mean < 1e-5);
        CHECK(worst_var < 1e-5);
      }
    }
  }
}

TEST_CASE("innovations are those of the network in float64, and change nothing") {
  const auto model = make_model();
  const HostPair before = parameters_of(*model);
  const Batch batch(17, 9, true, true);
  const Innovations got = model->innovations(batch.input(), batch.y, batch.noise());
  check_same(parameters_of(*model), before);

  const Float64Network truth = float64_copy(*model);
  const Float64Network::Pass pass = truth.forward(batch.float64_input());
  Gaussians delta(17, n_outputs);
  for (std::size_t i = 0; i < delta.mean.size(); ++i) {
    if (std::isnan(batch.y[i])) continue;
    const double total = pass.output.var[i] * (1 + 0.01 * 16) + batch.noise_var[i];
    delta.mean[i] = (batch.y[i] - pass.output.mean[i]) / total;
    delta.var[i] = -1 / total;
  }
  const auto check = [](const std::vector<float>& planes, const std::vector<double>& mean,
                        const std::vector<double>& var) {
    REQUIRE(planes.size() == 2 * mean.size());
    const auto half = planes.begin() + static_cast<std::ptrdiff_t>(mean.size());
    const Difference error = difference({planes.begin(), half}, {half, planes.end()}, mean, var);
    CHECK(error.mean < 2e-5);
    CHECK(error.var < 2e-5);
  };
  check(got.output, delta.mean, delta.var);
  Float64Network innovation;
  innovation.layers = truth.backward(pass, delta);
  check(got.input, delta.mean, delta.var);
  std::vector<double> mean, var;
  flatten(innovation, mean, var);
  check(got.parameters, mean, var);
}

TEST_CASE("noise variances broadcast to the targets") {
  const Batch batch(11, 3, false, true);
  const std::vector<float> one{0.2f}, per_output{0.2f, 0.3f};
  std::vector<float> one_full(22, 0.2f), per_output_full(22, 0.2f);
  for (std::size_t i = 1; i < 22; i += 2) per_output_full[i] = 0.3f;
  const auto updated = [&](const HostNoise& noise) {
    const auto model = make_model();
    std::vector<float> mean(22), var(22);
    model->update(batch.input(), batch.y, noise, {mean, var});
    return parameters_of(*model);
  };
  check_same(updated({one, 0, 0}), updated({one_full, 2, 1}));
  check_same(updated({per_output, 0, 1}), updated({per_output_full, 2, 1}));
  CHECK(updated({one, 0, 0}).mean != updated({per_output, 0, 1}).mean);
}

TEST_CASE("evaluate sums what predict gives") {
  const auto model = make_model();
  for (Index rows : {11, 2500}) {
    const Batch batch(rows, 3, true, true);
    const HostPair prediction = predict(*model, batch);
    double squared_error = 0, var = 0, log_likelihood = 0;
    Index n_observed = 0;
    for (std::size_t i = 0; i < batch.y.size(); ++i) {
      if (std::isnan(batch.y[i])) continue;
      const double error = double{batch.y[i]} - double{prediction.mean[i]};
      const double total = double{prediction.var[i]} + double{batch.noise_var[i]};
      squared_error += error * error;
      var += prediction.var[i];
      log_likelihood -= 0.5 * (std::log(2 * std::numbers::pi * total) + error * error / total);
      ++n_observed;
    }
    const PredictionSums sums = model->evaluate(batch.input(), batch.y, batch.noise());
    CHECK(sums.n_observed == n_observed);
    CHECK(sums.squared_error == doctest::Approx(squared_error).epsilon(1e-6));
    CHECK(sums.var == doctest::Approx(var).epsilon(1e-6));
    CHECK(sums.log_likelihood == doctest::Approx(log_likelihood).epsilon(1e-6));
  }
}

TEST_CASE("a batch without a single observation changes nothing") {
  for (const UpdateRule& rule : {UpdateRule{}, capped()}) {
    const auto model = make_model(rule);
    const HostPair before = parameters_of(*model);
    Batch batch(8, 3);
    std::fill(batch.y.begin(), batch.y.end(), missing);
    update(*model, batch);
    check_same(parameters_of(*model), before);
  }
}

TEST_CASE("batches that grow and shrink give what fresh models give") {
  const auto model = make_model();
  unsigned seed = 20;
  for (Index rows : {7, 300, 1, 64, 300, 299, 2}) {
    const HostPair before = parameters_of(*model);
    const auto fresh = make_model({}, 99);
    fresh->set_parameters(before.mean, before.var);
    const Batch batch(rows, seed++, rows % 2 == 0, rows % 3 == 0);
    check_same(predict(*model, batch), predict(*fresh, batch));
    check_same(update(*model, batch), update(*fresh, batch));
    check_same(parameters_of(*model), parameters_of(*fresh));
  }
}

TEST_CASE("predictions from several threads at once are those of one") {
  const auto model = make_model();
  std::vector<Batch> batches;
  std::vector<HostPair> serial;
  for (Index rows : {3, 1400, 31, 128}) {
    batches.emplace_back(rows, static_cast<unsigned>(rows), rows % 2 == 0);
    serial.push_back(predict(*model, batches.back()));
  }
  constexpr std::size_t n_rounds = 40;
  std::vector<int> n_same(4, 0);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (std::size_t round = 0; round < n_rounds; ++round) {
        const std::size_t which = (i + round) % 4;
        const HostPair got = predict(*model, batches[which]);
        n_same[i] += got.mean == serial[which].mean && got.var == serial[which].var;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(n_same == std::vector<int>(4, n_rounds));
}

TEST_CASE("an update does not wait for predictions that come after it") {
  const auto model = make_model();
  const Batch batch(500, 4);
  constexpr int limit = 4000;
  std::atomic<int> n_predictions{0};
  std::atomic<bool> updated{false};
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back([&] {
      while (!updated.load() && n_predictions.load() < limit) {
        predict(*model, batch);
        ++n_predictions;
      }
    });
  }
  while (n_predictions.load() < 8) std::this_thread::yield();
  update(*model, batch);
  updated = true;
  for (std::thread& reader : readers) reader.join();
  CHECK(n_predictions.load() < limit);
}

TEST_CASE("parameters start as draws from their priors, by seed") {
  const auto wide = std::make_shared<Linear>(200, 300, true, Linear::Init::he, 2.0, 0.5);
  const Model model(wide, {}, 4, cpu_backend());
  const Model same(wide, {}, 4, cpu_backend()), other(wide, {}, 5, cpu_backend());
  const HostPair parameters = parameters_of(model);
  check_same(parameters, parameters_of(same));
  CHECK(parameters.mean != parameters_of(other).mean);
  const double weight_std = 2 / std::sqrt(200.0), bias_std = 0.5 / std::sqrt(200.0);
  double sum = 0, squares = 0, bias_squares = 0;
  constexpr std::size_t n = 60000;
  for (std::size_t i = 0; i < n + 300; ++i) {
    const double std = i < n ? weight_std : bias_std, scaled = parameters.mean[i] / std;
    CHECK(parameters.var[i] == doctest::Approx(std * std).epsilon(1e-6));
    if (i < n) {
      sum += scaled;
      squares += scaled * scaled;
    } else {
      bias_squares += scaled * scaled;
    }
  }
  CHECK(std::fabs(sum / n) < 5 / std::sqrt(n));
  CHECK(std::fabs(squares / n - 1) < 5 * std::sqrt(2.0 / n));
  CHECK(std::fabs(bias_squares / 300 - 1) < 5 * std::sqrt(2.0 / 300));
}
