#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <numbers>

#include "core/diffusion.h"
#include "core/require.h"
#include "layers/linear.h"
#include "math/philox.h"
#include "test_helpers.h"

using namespace tagix;
using namespace tagix::test;

namespace {

constexpr double pi = std::numbers::pi;

/// abar_t as a product over the definitions in the papers, in long double.
std::vector<double> shares_truth(NoiseSchedule schedule, int n_steps) {
  using Real = long double;
  const Real total = n_steps;
  std::vector<double> shares{1.0};
  Real product = 1;
  for (int t = 1; t < n_steps; ++t) {
    Real beta;
    if (schedule == NoiseSchedule::cosine) {
      const auto f = [&](int step) {
        const Real cosine =
            std::cos((step / total + 0.008L) / 1.008L * std::numbers::pi_v<Real> / 2);
        return cosine * cosine;
      };
      beta = 1 - f(t) / f(t - 1);
    } else {
      const Real share = n_steps == 2 ? 1.0L : Real(t - 1) / Real(n_steps - 2);
      beta = (0.1L * (1 - share) + 20.0L * share) / total;
    }
    product *= 1 - std::min(beta, 0.999L);
    shares.push_back(static_cast<double>(product));
  }
  return shares;
}

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
    model.set_parameters(parameters.mean.data(), parameters.var.data());
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
  math::normal_row(seed, stream, static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(row),
                   cols, numbers.data());
  return numbers;
}

struct Samples {
  std::vector<float> x, var, trajectory;

  Samples(const DiffusionProcess& process, const Model& model, Index rows, std::uint64_t seed,
          bool with_trajectory = false) {
    const auto size = static_cast<std::size_t>(rows * process.n_features());
    x.assign(size, missing);
    var.assign(size, missing);
    if (with_trajectory) {
      trajectory.assign(size * static_cast<std::size_t>(process.n_steps()), missing);
    }
    CHECK(process.sample(model, rows, seed, x.data(), var.data(),
                         with_trajectory ? trajectory.data() : nullptr, {}));
  }
};

}  // namespace

TEST_CASE("schedules are those of the papers") {
  for (NoiseSchedule schedule : {NoiseSchedule::cosine, NoiseSchedule::linear}) {
    for (int n_steps : {2, 3, 5, 20, 40, 1000}) {
      CAPTURE(n_steps);
      const std::vector<double> shares = signal_shares(schedule, n_steps);
      const std::vector<double> truth = shares_truth(schedule, n_steps);
      REQUIRE(shares.size() == truth.size());
      for (std::size_t t = 0; t < shares.size(); ++t) {
        CHECK(shares[t] == doctest::Approx(truth[t]).epsilon(1e-10));
      }
    }
  }
  // In closed form: no beta of the cosine schedule reaches its bound before t = T.
  const std::vector<double> cosine = signal_shares(NoiseSchedule::cosine, 40);
  const auto f = [](double t) { return std::pow(std::cos((t / 40 + 0.008) / 1.008 * pi / 2), 2); };
  for (int t = 0; t < 40; ++t) {
    CHECK(cosine[static_cast<std::size_t>(t)] == doctest::Approx(f(t) / f(0)).epsilon(1e-10));
  }
  // Ho et al.: beta from 1e-4 to 0.02 for T = 1000.
  const std::vector<double> linear = signal_shares(NoiseSchedule::linear, 1000);
  CHECK(1 - linear[1] == doctest::Approx(1e-4).epsilon(1e-9));
  CHECK(1 - linear[999] / linear[998] == doctest::Approx(0.02).epsilon(1e-9));
}

TEST_CASE("time features are what the names say") {
  constexpr Index n_steps = 40;
  Index n = 0;
  std::vector<float> table = time_feature_table(TimeFeatures::cosine, n_steps, n);
  REQUIRE(n == 5);
  REQUIRE(table.size() == 5 * n_steps);
  for (std::size_t t = 0; t < n_steps; ++t) {
    const double share = static_cast<double>(t) / n_steps;
    const double truth[] = {std::cos(pi * share), std::cos(2 * pi * share),
                            std::cos(3 * pi * share), std::cos(4 * pi * share), share - 0.5};
    for (std::size_t k = 0; k < 5; ++k) CHECK(std::fabs(table[5 * t + k] - truth[k]) < 1e-7);
  }
  table = time_feature_table(TimeFeatures::scalar, n_steps, n);
  REQUIRE(n == 1);
  REQUIRE(table.size() == n_steps);
  for (std::size_t t = 0; t < n_steps; ++t) {
    CHECK(std::fabs(table[t] - static_cast<double>(t) / n_steps) < 1e-7);
  }
  table = time_feature_table(TimeFeatures::sinusoidal, n_steps, n);
  REQUIRE(n == 16);
  REQUIRE(table.size() == 16 * n_steps);
  for (std::size_t t = 0; t < n_steps; ++t) {
    for (std::size_t i = 0; i < 8; ++i) {
      const double angle =
          static_cast<double>(t) * std::exp(-static_cast<double>(i) / 7 * std::log(1e4));
      CHECK(std::fabs(table[16 * t + 2 * i] - std::sin(angle)) < 1e-7);
      CHECK(std::fabs(table[16 * t + 2 * i + 1] - std::cos(angle)) < 1e-7);
    }
  }
}

TEST_CASE("the tables on the device are the square roots of the schedule") {
  const DiffusionProcess process(cpu_backend(), 2, 40, NoiseSchedule::cosine, TimeFeatures::cosine);
  const std::vector<double> truth = shares_truth(NoiseSchedule::cosine, 40);
  CHECK(process.tables().first_step == 1);
  CHECK(process.tables().n_steps == 40);
  CHECK(process.network_inputs() == 7);
  for (std::size_t t = 0; t < 40; ++t) {
    CHECK(process.tables().signal_scale[t] == doctest::Approx(std::sqrt(truth[t])).epsilon(1e-6));
    CHECK(process.tables().noise_scale[t] ==
          doctest::Approx(std::sqrt(1 - truth[t])).epsilon(1e-6));
  }
}

TEST_CASE("samples follow the reverse recursion of the network's predictions") {
  const std::shared_ptr<Backend> backend = cpu_backend();
  constexpr Index n_features = 3, n_steps = 12;
  DiffusionProcess process(backend, n_features, n_steps, NoiseSchedule::cosine,
                           TimeFeatures::cosine);
  const std::vector<double> shift{1.0, -2.0, 0.5}, scale{0.5, 3.0, 1.0};
  process.set_standardization({1.0f, -2.0f, 0.5f}, {0.5f, 3.0f, 1.0f});
  const LinearDenoiser denoiser(process, backend);
  constexpr std::uint64_t seed = 11;
  // More rows than are drawn at a time.
  constexpr Index rows = 9000;
  const Samples samples(process, denoiser.model, rows, seed, true);

  const std::vector<double> shares = shares_truth(NoiseSchedule::cosine, n_steps);
  Index n_time_features = 0;
  const std::vector<float> features =
      time_feature_table(TimeFeatures::cosine, n_steps, n_time_features);
  double worst = 0, worst_var = 0;
  for (Index row : {0, 1, 19, 4095, 8191, 8192, 8999}) {
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
      const auto at = static_cast<std::size_t>(t);
      const double alpha = shares[at] / shares[at - 1];
      const double c = (1 - alpha) / std::sqrt(1 - shares[at]);
      const double sigma = t == 1 ? 0 : std::sqrt(1 - alpha);
      const std::vector<float> noise =
          normal_numbers(seed, math::RandomStream::sampler_noise, t, row, n_features);
      const auto first = features.begin() + static_cast<std::ptrdiff_t>(t * n_time_features);
      const std::vector<float> own(first, first + static_cast<std::ptrdiff_t>(n_time_features));
      std::vector<double> next;
      for (Index k = 0; k < n_features; ++k) {
        const auto i = static_cast<std::size_t>(k);
        next.push_back((x[i] - c * denoiser.mean(x, own, k)) / std::sqrt(alpha) + sigma * noise[i]);
        if (t == 1) {
          const auto position = static_cast<std::size_t>(row * n_features) + i;
          const double var = c * c / alpha * denoiser.var(k) * scale[i] * scale[i];
          const double error = std::fabs(samples.var[position] - var) / var;
          if (!(error <= worst_var)) worst_var = error;
        }
      }
      x = next;
      compare(n_steps - t);
    }
  }
  CHECK(worst < 5e-6);
  CHECK(worst_var < 1e-6);
  // The chain ends at the samples.
  const auto last = samples.trajectory.end() - static_cast<std::ptrdiff_t>(samples.x.size());
  CHECK(std::vector<float>(last, samples.trajectory.end()) == samples.x);
}

TEST_CASE("a sample depends on the seed and its position, not on how many are drawn") {
  const std::shared_ptr<Backend> backend = cpu_backend();
  const DiffusionProcess process(backend, 2, 6, NoiseSchedule::cosine, TimeFeatures::scalar);
  const LinearDenoiser denoiser(process, backend);
  const Samples few(process, denoiser.model, 20, 5), many(process, denoiser.model, 10000, 5);
  CHECK(std::vector<float>(many.x.begin(), many.x.begin() + 40) == few.x);
  CHECK(std::vector<float>(many.var.begin(), many.var.begin() + 40) == few.var);
  const Samples again(process, denoiser.model, 20, 5), other(process, denoiser.model, 20, 6);
  CHECK(again.x == few.x);
  CHECK(other.x != few.x);
  // With a trajectory, nothing changes.
  CHECK(Samples(process, denoiser.model, 20, 5, true).x == few.x);
  CHECK(Samples(process, denoiser.model, 0, 5).x.empty());
}

TEST_CASE("sampling stops when asked") {
  const std::shared_ptr<Backend> backend = cpu_backend();
  const DiffusionProcess process(backend, 2, 6, NoiseSchedule::cosine, TimeFeatures::scalar);
  const LinearDenoiser denoiser(process, backend);
  std::vector<float> x(8), var(8), trajectory(6 * 8);
  int asked = 0;
  CHECK_FALSE(process.sample(denoiser.model, 4, 1, x.data(), var.data(), trajectory.data(),
                             [&] { return ++asked == 3; }));
  CHECK(asked == 3);
}

TEST_CASE("predict gives the network's moments of the noise at each row's timestep") {
  const std::shared_ptr<Backend> backend = cpu_backend();
  const DiffusionProcess process(backend, 2, 10, NoiseSchedule::cosine, TimeFeatures::cosine);
  const LinearDenoiser denoiser(process, backend);
  const std::vector<float> noisy = uniform_floats(12, -2, 2, 4);
  const std::vector<Index> timesteps{0, 9, 3, 3, 1, 7};
  std::vector<float> mean(12), var(12);
  process.predict(denoiser.model, noisy.data(), timesteps.data(), 6, {mean.data(), var.data()});
  Index n = 0;
  const std::vector<float> features = time_feature_table(TimeFeatures::cosine, 10, n);
  for (std::size_t row = 0; row < 6; ++row) {
    const auto first = features.begin() + static_cast<std::ptrdiff_t>(timesteps[row] * n);
    const std::vector<float> own(first, first + static_cast<std::ptrdiff_t>(n));
    for (Index k = 0; k < 2; ++k) {
      const auto i = row * 2 + static_cast<std::size_t>(k);
      const std::vector<double> x{noisy[row * 2], noisy[row * 2 + 1]};
      CHECK(mean[i] == doctest::Approx(denoiser.mean(x, own, k)).epsilon(1e-5));
      CHECK(var[i] == doctest::Approx(denoiser.var(k)).epsilon(1e-6));
    }
  }
  std::vector<Index> bad = timesteps;
  for (Index t : {-1, 10}) {
    bad[4] = t;
    check_refused(
        [&] {
          process.predict(denoiser.model, noisy.data(), bad.data(), 6, {mean.data(), var.data()});
        },
        {text("t: got ", t, " at position 4"), "[0, 10)"});
  }
}

TEST_CASE("standardization takes the mean and the deviation of each column") {
  DiffusionProcess process(cpu_backend(), 3, 4, NoiseSchedule::cosine, TimeFeatures::scalar);
  // Columns: 1, 2, 3, 6; a constant; and numbers around 1000.
  const std::vector<float> data{1, 7, 1000, 2, 7, 1001, 3, 7, 1002, 6, 7, 1005};
  process.standardize_by(data.data(), 4);
  CHECK(process.shift() == std::vector<float>{3, 7, 1002});
  CHECK(process.scale()[0] == doctest::Approx(std::sqrt(3.5)).epsilon(1e-6));
  CHECK(process.scale()[1] == 1.0f);
  CHECK(process.scale()[2] == doctest::Approx(std::sqrt(3.5)).epsilon(1e-6));
  check_refused([&] { process.set_standardization({0, 0, 0}, {1, 0, 1}); }, {"scale: got 0"});
  check_refused([&] { process.set_standardization({0, 0}, {1, 1}); }, {"got 2 and 2", "needed 3"});
  check_refused([&] { process.standardize_by(data.data(), 0); }, {"X: got 0 rows"});
}

TEST_CASE("a training batch is the standardized data with the noise that its target names") {
  const std::shared_ptr<Backend> backend = cpu_backend();
  DiffusionProcess process(backend, 2, 10, NoiseSchedule::cosine, TimeFeatures::scalar);
  const std::vector<float> data = uniform_floats(40, -3, 9, 1);
  process.standardize_by(data.data(), 20);
  DiffusionSource source(*backend, process, 77, data.data(), 20);
  source.set_noise_var({0.25f});
  CHECK(source.n_rows() == 20);
  const std::vector<Index> rows{3, 19, 0, 3};
  const std::vector<double> shares = shares_truth(NoiseSchedule::cosine, 10);
  TrainingState state;
  const RowSelection selection{rows.data(), &state};
  for (std::uint64_t epoch : {0, 1}) {
    state.epoch = epoch;
    const BatchSource::Batch batch = source.load(selection, 4);
    CHECK(batch.input.var == nullptr);
    CHECK(batch.input.rows == 4);
    CHECK(batch.input.cols == 3);
    CHECK(batch.noise.data[0] == 0.25f);
    for (std::size_t i = 0; i < 4; ++i) {
      // The time feature t / T says which timestep was drawn.
      const auto t = static_cast<std::size_t>(std::lround(10 * batch.input.mean[3 * i + 2]));
      REQUIRE(t >= 1);
      REQUIRE(t <= 9);
      for (std::size_t k = 0; k < 2; ++k) {
        const double clean =
            (data[static_cast<std::size_t>(rows[i]) * 2 + k] - double{process.shift()[k]}) /
            process.scale()[k];
        const double noisy =
            std::sqrt(shares[t]) * clean + std::sqrt(1 - shares[t]) * batch.target[2 * i + k];
        CHECK(std::fabs(batch.input.mean[3 * i + k] - noisy) < 1e-6);
      }
    }
    // The same row is the same wherever it stands in the batch.
    for (std::size_t k = 0; k < 3; ++k) CHECK(batch.input.mean[k] == batch.input.mean[9 + k]);
  }
  state.epoch = 0;
  const BatchSource::Batch batch = source.load(selection, 4);
  const std::vector<float> first(batch.target, batch.target + 8);
  state.epoch = 1;
  source.load(selection, 4);
  CHECK(std::vector<float>(batch.target, batch.target + 8) != first);
}

TEST_CASE("processes and networks that do not fit are refused") {
  const std::shared_ptr<Backend> backend = cpu_backend();
  const auto make = [&](Index n_features, Index n_steps) {
    return DiffusionProcess(backend, n_features, n_steps, NoiseSchedule::cosine,
                            TimeFeatures::cosine);
  };
  check_refused([&] { make(0, 40); }, {"n_features: got 0", "at least 1"});
  check_refused([&] { make(2, 1); }, {"n_steps: got 1", "at least 2"});
  const DiffusionProcess process = make(2, 40);
  const auto model = [&](Index in, Index out) {
    return Model(std::make_shared<Linear>(in, out, true, Linear::Init::he, 1.0, 1.0), {}, 1,
                 backend);
  };
  check_refused([&] { process.check_network(model(3, 2)); },
                {"net: got a network of 3 inputs", "needed 7"});
  check_refused([&] { process.check_network(model(7, 3)); },
                {"net: got a network of 3 outputs", "needed 2"});
  const float bad[2] = {1, missing};
  check_refused([&] { DiffusionSource(*backend, process, 1, bad, 1); }, {"X: got nan"});
}
