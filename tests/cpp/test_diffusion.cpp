#include <doctest/doctest.h>

#include <cmath>
#include <memory>

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
  for (bool guided : {false, true}) {
    CAPTURE(guided);
    const DiffusionDescription description =
        cosine_description(n_features, n_steps, guided ? 2 : 0);
    DiffusionProcess process(backend, description);
    const std::vector<double> shift{1.0, -2.0, 0.5}, scale{0.5, 3.0, 1.0};
    process.set_standardization({1.0f, -2.0f, 0.5f}, {0.5f, 3.0f, 1.0f});
    const LinearDenoiser denoiser(process, backend);
    constexpr std::uint64_t seed = 11;
    // More rows than are drawn at a time.
    constexpr Index rows = 19000;
    std::vector<Index> labels;
    for (Index row = 0; row < rows; ++row) labels.push_back(row % 3 - 1);
    SampleRequest request{rows, seed};
    if (guided) {
      request.labels = labels;
      request.guidance = {3.0f, -2.0f};
    }
    const Samples samples(process, denoiser.model, request, true);

    double worst = 0, worst_var = 0;
    for (Index row : {0, 1, 19, 4095, 8191, 8192, 16384, 18999}) {
      const std::vector<float> start =
          normal_numbers(seed, math::RandomStream::sampler_start, 0, row, n_features);
      std::vector<double> x = doubles(start);
      const auto compare = [&](Index position) {
        for (std::size_t k = 0; k < n_features; ++k) {
          const auto i = static_cast<std::size_t>((position * rows + row) * n_features) + k;
          const double error = std::fabs(samples.trajectory[i] - (x[k] * scale[k] + shift[k]));
          const double relative = error / (scale[k] * (1 + std::fabs(x[k])));
          if (!(relative <= worst)) worst = relative;
        }
      };
      compare(0);
      for (Index t = n_steps - 1; t >= 1; --t) {
        const DdpmStep step(n_steps, t);
        const std::vector<float> noise = normal_numbers(seed, math::RandomStream::sampler_noise,
                                                        n_steps - 1 - t, row, n_features);
        const float time = static_cast<float>(t) / static_cast<float>(n_steps);
        // The two predictions that are combined differ in what the network sees of the class.
        std::vector<float> without{time}, with{time};
        if (guided) {
          const Index label = labels[static_cast<std::size_t>(row)];
          without.insert(without.end(), {0, 0});
          with.insert(with.end(), {label == 0 ? 1.0f : 0.0f, label == 1 ? 1.0f : 0.0f});
        }
        std::vector<double> next;
        for (Index k = 0; k < n_features; ++k) {
          const auto i = static_cast<std::size_t>(k);
          double prediction = denoiser.mean(x, with, k), var = denoiser.var(k);
          if (guided) {
            prediction = 3 * prediction - 2 * denoiser.mean(x, without, k);
            var *= 9 + 4;
          }
          next.push_back((x[i] - step.c * prediction) / std::sqrt(step.alpha) +
                         step.sigma * noise[i]);
          if (t == 1) {
            const auto position = static_cast<std::size_t>(row * n_features) + i;
            const double truth = step.c * step.c / step.alpha * var * scale[i] * scale[i];
            const double error = std::fabs(samples.var[position] - truth) / truth;
            if (!(error <= worst_var)) worst_var = error;
          }
        }
        x = next;
        compare(n_steps - t);
      }
    }
    CHECK(worst < 1e-5);
    CHECK(worst_var < 1e-6);
    // The chain ends at the samples.
    const auto last = samples.trajectory.end() - static_cast<std::ptrdiff_t>(samples.x.size());
    CHECK(std::vector<float>(last, samples.trajectory.end()) == samples.x);
  }
}

TEST_CASE("a sampler of two stages a step hands its carry on") {
  const std::shared_ptr<Backend> backend = cpu_backend();
  const DiffusionProcess process(backend, cosine_description(2, 6));
  const LinearDenoiser denoiser(process, backend);
  // Any numbers will do; the second step does not end where its first stage does.
  SamplerPlan plan;
  plan.stages = {{0.9f, -0.3f, 0.0f, 0, 0.5f, -0.2f, 1, 0},
                 {0.7f, 0.1f, 0.6f, 0, 0.0f, 0.0f, 1, 0},
                 {1.1f, -0.4f, 0.0f, 0, 0.2f, 0.3f, 1, 0},
                 {0.4f, -0.6f, 1.3f, 0, 0.1f, 0.1f, 1, 0}};
  plan.time_features = {0.8f, 0.55f, 0.31f, 0.1f};
  plan.ends_step = {true, false, false, true};
  plan.last_noise_var = 1;
  CHECK(plan.n_steps() == 2);
  constexpr Index rows = 30;
  std::vector<float> x(2 * rows), var(x.size()), trajectory(3 * x.size());
  REQUIRE(sample(process, denoiser.model, plan, {rows, 9}, {x, var, trajectory}, {}));
  double worst = 0;
  for (Index row = 0; row < rows; ++row) {
    std::vector<double> state =
        doubles(normal_numbers(9, math::RandomStream::sampler_start, 0, row, 2));
    std::vector<double> carry{0, 0};
    Index position = 0;
    const auto compare = [&] {
      for (std::size_t k = 0; k < 2; ++k) {
        const auto at = static_cast<std::size_t>((position * rows + row) * 2) + k;
        worst = std::fmax(worst, std::fabs(trajectory[at] - state[k]));
      }
    };
    compare();
    for (std::size_t i = 0; i < 4; ++i) {
      const math::SamplerStage& stage = plan.stages[i];
      const std::vector<double> before = state, carried = carry;
      for (std::size_t k = 0; k < 2; ++k) {
        const double f = denoiser.mean(before, {plan.time_features[i]}, static_cast<Index>(k));
        state[k] = stage.x_weight * before[k] + stage.prediction_weight * f +
                   stage.carry_weight * carried[k];
        carry[k] = stage.carry_x * before[k] + stage.carry_prediction * f;
      }
      if (plan.ends_step[i]) {
        ++position;
        compare();
      }
    }
  }
  CHECK(worst < 3e-6);
  // In one go, without the trajectory, it is the same.
  std::vector<float> again(x.size()), again_var(x.size());
  REQUIRE(sample(process, denoiser.model, plan, {rows, 9}, {again, again_var}, {}));
  CHECK(again == x);
  CHECK(again_var == var);

  std::vector<float> matrices(4 * rows);
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
  const std::shared_ptr<Backend> backend = cpu_backend();
  constexpr Index n_classes = 2, cols = 2 + 1 + n_classes, n_rows = 20;
  DiffusionProcess process(backend, cosine_description(2, 10, n_classes));
  const std::vector<float> data = uniform_floats(2 * n_rows, -3, 9, 1);
  process.standardize_by(data, n_rows);
  DiffusionSource source(*backend, process, 77, data, n_rows);
  source.set_noise_var({0.25f});
  CHECK(source.n_rows() == n_rows);
  std::vector<Index> labels;
  for (Index row = 0; row < n_rows; ++row) labels.push_back(row % 3 - 1);
  const std::vector<Index> rows{3, 19, 0, 3};
  const std::vector<double> shares = cosine_shares(10);
  TrainingState state;
  const RowSelection selection{rows.data(), &state};
  for (std::uint64_t epoch : {0, 1, 2, 3}) {
    CAPTURE(epoch);
    if (epoch == 2) source.set_labels(labels, 0);
    if (epoch == 3) source.set_labels(labels, 1);
    state.epoch = epoch;
    const BatchSource::Batch batch = source.load(selection, 4);
    CHECK(batch.input.var == nullptr);
    CHECK(batch.input.rows == 4);
    REQUIRE(batch.input.cols == cols);
    CHECK(batch.noise.data[0] == 0.25f);
    for (std::size_t i = 0; i < 4; ++i) {
      const float* row = batch.input.mean + cols * i;
      // The time feature t / T says which timestep was drawn.
      const auto t = static_cast<std::size_t>(std::lround(10 * row[2]));
      REQUIRE(t >= 1);
      REQUIRE(t <= 9);
      for (std::size_t k = 0; k < 2; ++k) {
        const double clean =
            (data[static_cast<std::size_t>(rows[i]) * 2 + k] - double{process.shift()[k]}) /
            process.scale()[k];
        const double noisy =
            std::sqrt(shares[t]) * clean + std::sqrt(1 - shares[t]) * batch.target[2 * i + k];
        CHECK(std::fabs(row[k] - noisy) < 1e-6);
      }
      const Index label = labels[static_cast<std::size_t>(rows[i])];
      for (Index k = 0; k < n_classes; ++k) {
        CHECK(row[3 + k] == (epoch == 2 && label == k ? 1.0f : 0.0f));
      }
    }
    // The same row is the same wherever it stands in the batch.
    for (Index k = 0; k < cols; ++k) CHECK(batch.input.mean[k] == batch.input.mean[3 * cols + k]);
  }
  state.epoch = 0;
  const BatchSource::Batch batch = source.load(selection, 4);
  const std::vector<float> first(batch.target, batch.target + 8);
  state.epoch = 1;
  source.load(selection, 4);
  CHECK(std::vector<float>(batch.target, batch.target + 8) != first);

  for (double p : {-0.1, 1.1}) {
    check_refused([&] { source.set_labels(labels, p); },
                  {text("p_uncond: got ", p), "needed a number in [0, 1]"});
  }
  labels[7] = n_classes;
  check_refused([&] { source.set_labels(labels, 0.5); },
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
