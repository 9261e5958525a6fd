#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <optional>
#include <vector>

#include "core/require.h"
#include "diffusion_example.h"
#include "layers/linear.h"
#include "math/philox.h"
#include "models/batch_source.h"
#include "models/diffusion_process.h"
#include "models/diffusion_source.h"
#include "models/sampling.h"
#include "test_helpers.h"

using namespace tagix;
using namespace tagix::test;

namespace {

/// A linear network with known output: eps = noisy W^T + time features V^T + b, and its variance
/// from the variances of b alone.
struct LinearDenoiser {
  Index n_features, n_inputs;
  Model model;
  HostPair parameters;

  LinearDenoiser(const DiffusionProcess& process, std::shared_ptr<Backend> backend)
      : n_features(process.n_features()),
        n_inputs(process.network_inputs()),
        model(std::make_shared<Linear>(n_inputs, n_features, true, Linear::Init::he, 1.0, 1.0), {},
              3, std::move(backend)) {
    const auto count = static_cast<std::size_t>(model.parameter_count());
    parameters.mean = uniform_floats(count, -0.5, 0.5, 8);
    parameters.var.assign(count, 0.0f);
    for (Index o = 0; o < n_features; ++o) {
      parameters.var[static_cast<std::size_t>(n_features * n_inputs + o)] =
          0.1f + 0.05f * static_cast<float>(o);
    }
    model.set_parameters(parameters.mean, parameters.var);
  }

  double mean(const std::vector<double>& noisy, const std::vector<float>& features,
              Index output) const {
    const auto row = static_cast<std::size_t>(output * n_inputs);
    double sum = parameters.mean[static_cast<std::size_t>(n_features * n_inputs + output)];
    for (std::size_t i = 0; i < noisy.size(); ++i) sum += parameters.mean[row + i] * noisy[i];
    for (std::size_t i = 0; i < features.size(); ++i) {
      sum += double{parameters.mean[row + noisy.size() + i]} * double{features[i]};
    }
    return sum;
  }
  double var(Index output) const {
    return parameters.var[static_cast<std::size_t>(n_features * n_inputs + output)];
  }
};

std::vector<float> normal_numbers(std::uint64_t seed, math::RandomStream stream, Index step,
                                  Index row, Index cols) {
  std::vector<float> numbers(static_cast<std::size_t>(cols));
  math::NormalRow{seed, stream, static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(row)}
      .write(cols, numbers.data());
  return numbers;
}

struct Samples {
  std::vector<float> x, var, trajectory;

  Samples(const DiffusionProcess& process, const Model& model, const SampleRequest& request,
          bool with_trajectory = false) {
    const auto size = static_cast<std::size_t>(request.rows * process.n_features());
    x.assign(size, missing);
    var.assign(size, missing);
    if (with_trajectory) {
      trajectory.assign(size * static_cast<std::size_t>(process.n_steps()), missing);
    }
    CHECK(sample(process, model, cosine_ddpm(process.n_steps()), request,
                 {x, var, with_trajectory ? on_host(trajectory) : nullptr}, {}));
  }
};

/// What the sampler has to make of a row, in float64 and in standardized units.
struct TrueChain {
  std::vector<std::vector<double>> states;  ///< from the start to the sample
  std::vector<double> var;  ///< what the network's variance adds to the last state in its stage
};

struct Prediction {
  double mean, var;
};

/// What the network predicts of a noisy row that is drawn without classes, or for a label (below 0:
/// unknown) with guidance of 3 and -2.
Prediction predicted(const LinearDenoiser& denoiser, const std::vector<double>& noisy, float time,
                     std::optional<Index> label, Index output) {
  if (!label) return {denoiser.mean(noisy, {time}, output), denoiser.var(output)};
  // The two predictions that are combined differ in what the network sees of the class.
  const std::vector<float> with{time, *label == 0 ? 1.0f : 0.0f, *label == 1 ? 1.0f : 0.0f};
  const std::vector<float> without{time, 0, 0};
  return {3 * denoiser.mean(noisy, with, output) - 2 * denoiser.mean(noisy, without, output),
          denoiser.var(output) * (9 + 4)};
}

/// The chain of a row by DDPM over all timesteps.
TrueChain ddpm_chain(const LinearDenoiser& denoiser, Index n_steps, std::uint64_t seed, Index row,
                     std::optional<Index> label) {
  const Index n_features = denoiser.n_features;
  TrueChain chain;
  chain.states.push_back(
      doubles(normal_numbers(seed, math::RandomStream::sampler_start, 0, row, n_features)));
  for (Index t = n_steps - 1; t >= 1; --t) {
    const DdpmStep step(n_steps, t);
    const std::vector<float> noise =
        normal_numbers(seed, math::RandomStream::sampler_noise, n_steps - 1 - t, row, n_features);
    const float time = static_cast<float>(t) / static_cast<float>(n_steps);
    const std::vector<double> x = chain.states.back();
    std::vector<double> next, var;
    for (Index k = 0; k < n_features; ++k) {
      const auto i = static_cast<std::size_t>(k);
      const Prediction prediction = predicted(denoiser, x, time, label, k);
      next.push_back((x[i] - step.c * prediction.mean) / std::sqrt(step.alpha) +
                     step.sigma * noise[i]);
      var.push_back(step.c * step.c / step.alpha * prediction.var);
    }
    chain.states.push_back(next);
    chain.var = var;
  }
  return chain;
}

/// CHECKs the trajectory of a row and the variances of its sample, of data that were standardized
/// by this shift and scale.
void check_row(const Samples& samples, const SampleRequest& request, Index row,
               const TrueChain& truth, const std::vector<float>& shift,
               const std::vector<float>& scale) {
  CAPTURE(row);
  const std::size_t n_features = scale.size();
  const auto rows = static_cast<std::size_t>(request.rows), own = static_cast<std::size_t>(row);
  for (std::size_t position = 0; position < truth.states.size(); ++position) {
    CAPTURE(position);
    for (std::size_t k = 0; k < n_features; ++k) {
      const double x = truth.states[position][k];
      const double got = samples.trajectory[(position * rows + own) * n_features + k];
      const double error = std::fabs(got - (x * scale[k] + shift[k]));
      CHECK(error / (scale[k] * (1 + std::fabs(x))) < 1e-5);
    }
  }
  for (std::size_t k = 0; k < n_features; ++k) {
    const double var = truth.var[k] * scale[k] * scale[k];
    CHECK(std::fabs(samples.var[own * n_features + k] - var) / var < 1e-6);
  }
}

/// Two steps of two stages each. Any numbers will do; the second step does not end where its first
/// stage does.
SamplerPlan two_stage_plan() {
  SamplerPlan plan;
  plan.stages = {{0.9f, -0.3f, 0.0f, 0, 0.5f, -0.2f, 1, 0},
                 {0.7f, 0.1f, 0.6f, 0, 0.0f, 0.0f, 1, 0},
                 {1.1f, -0.4f, 0.0f, 0, 0.2f, 0.3f, 1, 0},
                 {0.4f, -0.6f, 1.3f, 0, 0.1f, 0.1f, 1, 0}};
  plan.time_features = {0.8f, 0.55f, 0.31f, 0.1f};
  plan.ends_step = {true, false, false, true};
  plan.last_noise_var = 1;
  return plan;
}

/// The states of a row at the start and where a step ends, in float64, by a plan that adds no noise
/// on the way.
std::vector<std::vector<double>> states_by_plan(const LinearDenoiser& denoiser,
                                                const SamplerPlan& plan, std::uint64_t seed,
                                                Index row) {
  const auto n_features = static_cast<std::size_t>(denoiser.n_features);
  std::vector<double> state =
      doubles(normal_numbers(seed, math::RandomStream::sampler_start, 0, row, denoiser.n_features));
  std::vector<double> carry(n_features, 0);
  std::vector<std::vector<double>> states{state};
  for (std::size_t i = 0; i < plan.stages.size(); ++i) {
    const math::SamplerStage& stage = plan.stages[i];
    const std::vector<double> before = state, carried = carry;
    for (std::size_t k = 0; k < n_features; ++k) {
      const double f = denoiser.mean(before, {plan.time_features[i]}, static_cast<Index>(k));
      state[k] = stage.x_weight * before[k] + stage.prediction_weight * f +
                 stage.carry_weight * carried[k];
      carry[k] = stage.carry_x * before[k] + stage.carry_prediction * f;
    }
    if (plan.ends_step[i]) states.push_back(state);
  }
  return states;
}

/// Data with labels, and a source of training batches of four of its rows.
struct TrainingExample {
  static constexpr Index n_classes = 2, n_features = 2, n_rows = 20, n_steps = 10;
  static constexpr Index cols = n_features + 1 + n_classes;

  std::shared_ptr<Backend> backend = cpu_backend();
  std::vector<float> data = uniform_floats(n_features * n_rows, -3, 9, 1);
  std::vector<Index> labels;
  std::vector<Index> rows{3, 19, 0, 3};  ///< of the batch; the last is the first once more
  DiffusionProcess process{backend, cosine_description(n_features, n_steps, n_classes)};
  std::vector<double> shares = cosine_shares(n_steps);
  std::optional<DiffusionSource> source;  ///< made once the process knows the standardization
  TrainingState state;

  TrainingExample() {
    for (Index row = 0; row < n_rows; ++row) labels.push_back(row % 3 - 1);
    process.standardize_by(data, n_rows);
    source.emplace(*backend, process, 77, data, n_rows);
    source->set_noise_var({0.25f});
  }

  BatchSource::Batch load(std::uint64_t epoch) {
    state.epoch = epoch;
    return source->load({rows.data(), &state}, 4);
  }

  /// Feature k of row i of a batch, standardized and without noise.
  double clean(std::size_t i, std::size_t k) const {
    const double x = data[static_cast<std::size_t>(rows[i]) * n_features + k];
    return (x - double{process.shift()[k]}) / process.scale()[k];
  }

  /// CHECKs that row i of a batch is its data with the noise that its target names, at the timestep
  /// that its time feature t / T says was drawn.
  void check_noisy(const BatchSource::Batch& batch, std::size_t i) const {
    const float* row = batch.input.mean + cols * i;
    const auto t = static_cast<std::size_t>(std::lround(n_steps * row[n_features]));
    REQUIRE(t >= 1);
    REQUIRE(t <= 9);
    for (std::size_t k = 0; k < n_features; ++k) {
      const double noisy = std::sqrt(shares[t]) * clean(i, k) +
                           std::sqrt(1 - shares[t]) * batch.target[n_features * i + k];
      CHECK(std::fabs(row[k] - noisy) < 1e-6);
    }
  }

  /// CHECKs that row i of a batch shows its label, or none.
  void check_label(const BatchSource::Batch& batch, std::size_t i, bool is_shown) const {
    const float* one_hot = batch.input.mean + cols * i + n_features + 1;
    const Index label = labels[static_cast<std::size_t>(rows[i])];
    for (Index k = 0; k < n_classes; ++k) {
      CHECK(one_hot[k] == (is_shown && label == k ? 1.0f : 0.0f));
    }
  }
};

}  // namespace

TEST_CASE("a process keeps the tables of its description") {
  const DiffusionDescription description = cosine_description(2, 40, 3);
  const DiffusionProcess process(cpu_backend(), description);
  CHECK(process.n_steps() == 40);
  CHECK(process.n_classes() == 3);
  CHECK(process.network_inputs() == 2 + 1 + 3);
  CHECK(process.tables().first_step == 1);
  for (std::size_t t = 0; t < 40; ++t) {
    CHECK(process.tables().levels[t].signal == description.levels[t].signal);
    CHECK(process.tables().levels[t].target_noise == description.levels[t].target_noise);
    CHECK(process.tables().conditions.time_features[t] == description.time_features[t]);
  }
  CHECK(process.tables().conditions.at(4, 1, 2) == 1);
  CHECK(process.tables().conditions.at(4, -1, 2) == 0);
}

TEST_CASE("samples follow the reverse recursion of the network's predictions") {
  const std::shared_ptr<Backend> backend = cpu_backend();
  constexpr Index n_features = 3, n_steps = 12;
  const std::vector<float> shift{1.0f, -2.0f, 0.5f}, scale{0.5f, 3.0f, 1.0f};
  constexpr std::uint64_t seed = 11;
  // More rows than are drawn at a time.
  constexpr Index rows = 19000;
  std::vector<Index> labels;
  for (Index row = 0; row < rows; ++row) labels.push_back(row % 3 - 1);
  for (bool guided : {false, true}) {
    CAPTURE(guided);
    DiffusionProcess process(backend, cosine_description(n_features, n_steps, guided ? 2 : 0));
    process.set_standardization(shift, scale);
    const LinearDenoiser denoiser(process, backend);
    SampleRequest request{rows, seed};
    if (guided) {
      request.labels = labels;
      request.guidance = {3.0f, -2.0f};
    }
    const Samples samples(process, denoiser.model, request, true);
    for (Index row : {0, 1, 19, 4095, 8191, 8192, 16384, 18999}) {
      std::optional<Index> label;
      if (guided) label = labels[static_cast<std::size_t>(row)];
      const TrueChain truth = ddpm_chain(denoiser, n_steps, seed, row, label);
      check_row(samples, request, row, truth, shift, scale);
    }
    // The chain ends at the samples.
    const auto last = samples.trajectory.end() - static_cast<std::ptrdiff_t>(samples.x.size());
    CHECK(std::vector<float>(last, samples.trajectory.end()) == samples.x);
  }
}

TEST_CASE("a sampler of two stages a step hands its carry on") {
  const std::shared_ptr<Backend> backend = cpu_backend();
  const DiffusionProcess process(backend, cosine_description(2, 6));
  const LinearDenoiser denoiser(process, backend);
  const SamplerPlan plan = two_stage_plan();
  CHECK(plan.n_steps() == 2);
  constexpr std::size_t rows = 30;
  std::vector<float> x(2 * rows), var(x.size()), trajectory(3 * x.size());
  REQUIRE(sample(process, denoiser.model, plan, {rows, 9}, {x, var, trajectory}, {}));
  for (std::size_t row = 0; row < rows; ++row) {
    CAPTURE(row);
    const auto states = states_by_plan(denoiser, plan, 9, static_cast<Index>(row));
    REQUIRE(states.size() == 3);
    for (std::size_t position = 0; position < 3; ++position) {
      for (std::size_t k = 0; k < 2; ++k) {
        const double got = trajectory[(position * rows + row) * 2 + k];
        CHECK(std::fabs(got - states[position][k]) < 3e-6);
      }
    }
  }
  // In one go, without the trajectory, it is the same.
  std::vector<float> again(x.size()), again_var(x.size());
  REQUIRE(sample(process, denoiser.model, plan, {rows, 9}, {again, again_var}, {}));
  CHECK(again == x);
  CHECK(again_var == var);
}

TEST_CASE("plans of samplers that do not fit are refused") {
  const std::shared_ptr<Backend> backend = cpu_backend();
  const DiffusionProcess process(backend, cosine_description(2, 6));
  const LinearDenoiser denoiser(process, backend);
  SamplerPlan plan = two_stage_plan();
  constexpr Index rows = 30;
  std::vector<float> x(2 * rows), var(x.size()), matrices(4 * rows);
  SampleUncertainty uncertainty{matrices, matrices, matrices};
  check_refused(
      [&] {
        sample(process, denoiser.model, plan, {rows, 9}, {x, var, nullptr, &uncertainty}, {});
      },
      {"uncertainty: got a sampler whose steps use what an earlier stage left"});
  plan.ends_step.back() = false;
  check_refused([&] { sample(process, denoiser.model, plan, {rows, 9}, {x, var}, {}); },
                {"sampler: got a plan whose last stage ends no step"});
  plan.time_features.push_back(0);
  check_refused([&] { sample(process, denoiser.model, plan, {rows, 9}, {x, var}, {}); },
                {"sampler: time_features: got 5 values"});
}

TEST_CASE("a sample depends on the seed and its position, not on how many are drawn") {
  const std::shared_ptr<Backend> backend = cpu_backend();
  const DiffusionProcess process(backend, cosine_description(2, 6));
  const LinearDenoiser denoiser(process, backend);
  const Samples few(process, denoiser.model, {20, 5}), many(process, denoiser.model, {10000, 5});
  CHECK(std::vector<float>(many.x.begin(), many.x.begin() + 40) == few.x);
  CHECK(std::vector<float>(many.var.begin(), many.var.begin() + 40) == few.var);
  const Samples again(process, denoiser.model, {20, 5}), other(process, denoiser.model, {20, 6});
  CHECK(again.x == few.x);
  CHECK(other.x != few.x);
  // With a trajectory, nothing changes.
  CHECK(Samples(process, denoiser.model, {20, 5}, true).x == few.x);
  CHECK(Samples(process, denoiser.model, {0, 5}).x.empty());
}

TEST_CASE("sampling stops when asked") {
  const std::shared_ptr<Backend> backend = cpu_backend();
  const DiffusionProcess process(backend, cosine_description(2, 6));
  const LinearDenoiser denoiser(process, backend);
  std::vector<float> x(8), var(8), trajectory(6 * 8);
  int asked = 0;
  CHECK_FALSE(sample(process, denoiser.model, cosine_ddpm(6), {4, 1}, {x, var, trajectory},
                     [&] { return ++asked == 3; }));
  CHECK(asked == 3);
}

TEST_CASE("standardization takes the mean and the deviation of each column") {
  DiffusionProcess process(cpu_backend(), cosine_description(3, 4));
  // Columns: 1, 2, 3, 6; a constant; and numbers around 1000.
  const std::vector<float> data{1, 7, 1000, 2, 7, 1001, 3, 7, 1002, 6, 7, 1005};
  process.standardize_by(data, 4);
  CHECK(process.shift() == std::vector<float>{3, 7, 1002});
  CHECK(process.scale()[0] == doctest::Approx(std::sqrt(3.5)).epsilon(1e-6));
  CHECK(process.scale()[1] == 1.0f);
  CHECK(process.scale()[2] == doctest::Approx(std::sqrt(3.5)).epsilon(1e-6));
  check_refused([&] { process.set_standardization({0, 0, 0}, {1, 0, 1}); }, {"scale: got 0"});
  check_refused([&] { process.set_standardization({0, 0}, {1, 1}); }, {"got 2 and 2", "needed 3"});
  check_refused([&] { process.standardize_by(data, 0); }, {"X: got 0 rows"});
}

TEST_CASE("a training batch is the standardized data with the noise that its target names") {
  TrainingExample example;
  constexpr Index cols = TrainingExample::cols;
  CHECK(example.source->n_rows() == TrainingExample::n_rows);
  for (std::uint64_t epoch : {0, 1, 2, 3}) {
    CAPTURE(epoch);
    if (epoch == 2) example.source->set_labels(example.labels, 0);
    if (epoch == 3) example.source->set_labels(example.labels, 1);
    const BatchSource::Batch batch = example.load(epoch);
    CHECK(batch.input.var == nullptr);
    CHECK(batch.input.rows == 4);
    REQUIRE(batch.input.cols == cols);
    CHECK(batch.noise.data[0] == 0.25f);
    for (std::size_t i = 0; i < 4; ++i) {
      example.check_noisy(batch, i);
      example.check_label(batch, i, epoch == 2);
    }
    // The same row is the same wherever it stands in the batch.
    for (Index k = 0; k < cols; ++k) CHECK(batch.input.mean[k] == batch.input.mean[3 * cols + k]);
  }
}

TEST_CASE("the noise of a training batch is drawn afresh each epoch") {
  TrainingExample example;
  example.source->set_labels(example.labels, 1);
  const BatchSource::Batch batch = example.load(0);
  const std::vector<float> first(batch.target, batch.target + 8);
  // The views are the same for every batch of that size.
  example.load(1);
  CHECK(std::vector<float>(batch.target, batch.target + 8) != first);
}

TEST_CASE("labels of training data that do not fit are refused") {
  TrainingExample example;
  for (double p : {-0.1, 1.1}) {
    check_refused([&] { example.source->set_labels(example.labels, p); },
                  {text("p_uncond: got ", p), "needed a number in [0, 1]"});
  }
  example.labels[7] = TrainingExample::n_classes;
  check_refused([&] { example.source->set_labels(example.labels, 0.5); },
                {"labels: got 2 at position 7", "needed classes below 2"});
}

TEST_CASE("processes and networks that do not fit are refused") {
  const std::shared_ptr<Backend> backend = cpu_backend();
  const auto make = [&](Index n_features, Index n_steps) {
    return DiffusionProcess(backend, cosine_description(n_features, n_steps));
  };
  check_refused([&] { make(0, 40); }, {"n_features: got 0", "at least 1"});
  check_refused([&] { make(2, 1); }, {"n_steps: got 1", "at least 2"});
  DiffusionDescription description = cosine_description(2, 4);
  description.time_features.push_back(0);
  check_refused([&] { DiffusionProcess(backend, description); },
                {"time_features: got 5 values", "4 rows"});
  description = cosine_description(2, 4);
  description.time_features[2] = missing;
  check_refused([&] { DiffusionProcess(backend, description); }, {"time_features: got nan"});
  description = cosine_description(2, 4, 3);
  description.class_features.pop_back();
  check_refused([&] { DiffusionProcess(backend, description); }, {"class_features: got 11 values"});
  const DiffusionProcess process = make(2, 40);
  const auto model = [&](Index in, Index out) {
    return Model(std::make_shared<Linear>(in, out, true, Linear::Init::he, 1.0, 1.0), {}, 1,
                 backend);
  };
  check_refused([&] { process.check_network(model(4, 2)); },
                {"net: got a network of 4 inputs", "needed 3"});
  check_refused([&] { process.check_network(model(3, 3)); },
                {"net: got a network of 3 outputs", "needed 2"});
  const std::vector<float> bad{1, missing};
  check_refused([&] { DiffusionSource(*backend, process, 1, bad, 1); }, {"X: got nan"});
  std::vector<float> x(2), var(2);
  const Index label = 0;
  const Model network = model(3, 2);
  check_refused(
      [&] { sample(process, network, cosine_ddpm(40), {1, 1, on_host(&label)}, {x, var}, {}); },
      {"labels: got 0 at position 0"});
  check_refused(
      [&] { sample(process, network, cosine_ddpm(40), {1, 1, nullptr, {2, -1}}, {x, var}, {}); },
      {"guidance: got no label"});
}
