#include <doctest/doctest.h>

#include <cmath>
#include <memory>

#include "conformance/suite.h"
#include "diffusion_example.h"
#include "layers/linear.h"
#include "models/diffusion_process.h"
#include "models/sampling.h"
#include "test_helpers.h"

using namespace tagix;
using namespace tagix::test;

// A linear network predicts the noise, so that its Jacobian J and its covariance W are the same for
// every sample and timestep: J is the weight of the noisy values, and W has the variances of the
// bias alone.

namespace {

constexpr Index n = 3, n_steps = 8;

struct LinearNetwork {
  DiffusionProcess process;
  Model model;
  std::vector<float> mean, var;

  explicit LinearNetwork(const std::shared_ptr<Backend>& backend, Index n_classes = 0)
      : process(backend, cosine_description(n, n_steps, n_classes)),
        model(std::make_shared<Linear>(process.network_inputs(), n, true, Linear::Init::he, 1., 1.),
              {}, 3, backend) {
    process.set_standardization({1, -2, 0}, {2, 0.5f, 3});
    const auto count = static_cast<std::size_t>(model.parameter_count());
    mean = uniform_floats(count, -0.5, 0.5, 8);
    var.assign(count, 0.0f);
    for (std::size_t o = 0; o < 3; ++o) var[count - 3 + o] = 0.1f + 0.05f * static_cast<float>(o);
    model.set_parameters(mean, var);
  }

  double jacobian(Index i, Index k) const {
    return mean[static_cast<std::size_t>(i * process.network_inputs() + k)];
  }
  double noise_var(Index i) const { return var[var.size() - 3 + static_cast<std::size_t>(i)]; }
};

struct Uncertain {
  std::vector<float> x, var, trajectory, epistemic, aleatoric, score;

  Uncertain(const LinearNetwork& network, Index rows, std::uint64_t seed, bool uncertain = true) {
    const auto size = static_cast<std::size_t>(rows * n);
    for (std::vector<float>* array : {&x, &var}) array->assign(size, missing);
    trajectory.assign(size * n_steps, missing);
    for (std::vector<float>* array : {&epistemic, &aleatoric}) array->assign(size * n, missing);
    score.assign(static_cast<std::size_t>(rows), missing);
    SampleUncertainty arrays{epistemic, aleatoric, score};
    CHECK(sample(network.process, network.model, cosine_ddpm(n_steps), {rows, seed},
                 {x, var, trajectory, uncertain ? &arrays : nullptr}, {}));
  }
};

}  // namespace

TEST_CASE("covariances of samples against the recursion in double, on every backend") {
  for (const std::shared_ptr<Backend>& backend : conformance::float32_backends()) {
    INFO(backend->name());
    const LinearNetwork network(backend);
    double carried[n][n] = {}, left[n][n] = {};
    const std::vector<double> shares = cosine_shares(n_steps);
    for (std::size_t t = n_steps - 1; t >= 1; --t) {
      const double alpha = shares[t] / shares[t - 1], share = shares[t];
      const double c = (1 - alpha) / std::sqrt(alpha * (1 - share));
      double slope[n][n], product[n][n] = {}, next[n][n] = {};
      for (Index i = 0; i < n; ++i) {
        for (Index k = 0; k < n; ++k) {
          slope[i][k] = (i == k ? 1 / std::sqrt(alpha) : 0) - c * network.jacobian(i, k);
        }
      }
      for (Index i = 0; i < n; ++i) {
        for (Index k = 0; k < n; ++k) {
          for (Index l = 0; l < n; ++l) product[i][k] += slope[i][l] * carried[l][k];
        }
      }
      for (Index i = 0; i < n; ++i) {
        for (Index k = 0; k < n; ++k) {
          next[i][k] = i == k ? c * c * network.noise_var(i) : 0;
          for (Index l = 0; l < n; ++l) next[i][k] += product[i][l] * slope[k][l];
          left[i][k] =
              (1 - share) / share *
              ((i == k ? 1 : 0) -
               std::sqrt(1 - share) * (network.jacobian(i, k) + network.jacobian(k, i)) / 2);
        }
      }
      std::copy_n(&next[0][0], n * n, &carried[0][0]);
    }
    double trace = 0, largest = 0;
    for (double each : {carried[0][0], carried[1][1], carried[2][2]}) {
      largest = std::fmax(largest, each);
    }
    for (Index i = 0; i < n; ++i) trace += left[i][i];
    for (Index rows : {1, 9, 130}) {
      const Uncertain got(network, rows, 5), plain(network, rows, 5, false);
      CHECK(got.x == plain.x);
      CHECK(got.var == plain.var);
      CHECK(got.trajectory == plain.trajectory);
      for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
        for (std::size_t i = 0; i < n; ++i) {
          for (std::size_t k = 0; k < n; ++k) {
            const double unit = double{network.process.scale()[i]} * network.process.scale()[k];
            const std::size_t at = (row * n + i) * n + k;
            CHECK(std::fabs(got.epistemic[at] - carried[i][k] * unit) < 1e-5 * largest * unit);
            CHECK(std::fabs(got.aleatoric[at] - left[i][k] * unit) < 1e-5 * unit);
          }
        }
        CHECK(got.score[row] ==
              doctest::Approx(trace / (n * (1 - shares[1]) / shares[1])).epsilon(1e-5));
      }
    }
  }
}

TEST_CASE("an ensemble has the covariance of what its networks make of the same noise") {
  for (const std::shared_ptr<Backend>& backend : conformance::devices()) {
    LinearNetwork network(backend);
    constexpr Index rows = 5, n_draws = 4;
    std::vector<float> covariance(rows * n * n, missing);
    const SamplerPlan plan = cosine_ddpm(n_steps);
    const SampleRequest request{rows, 9};
    CHECK(sample_draws(network.process, network.model, plan, request, n_draws, covariance, {}));
    std::vector<std::vector<float>> samples;
    for (Index draw = 0; draw < n_draws; ++draw) {
      const std::uint64_t seed = math::derived_seed(9, static_cast<std::uint64_t>(draw));
      std::vector<float> x(rows * n), var(rows * n);
      sample(network.process, *network.model.draw(seed), plan, request, {x, var}, {});
      samples.push_back(x);
      for (float each : var) CHECK(each == 0);
    }
    for (std::size_t i = 0; i < covariance.size(); ++i) {
      const std::size_t a = i / n, b = i / (n * n) * n + i % n;
      double mean_a = 0, mean_b = 0, sum = 0;
      for (const std::vector<float>& x : samples) {
        mean_a += x[a] / n_draws;
        mean_b += x[b] / n_draws;
      }
      for (const std::vector<float>& x : samples) sum += (x[a] - mean_a) * (x[b] - mean_b);
      CHECK(covariance[i] == doctest::Approx(sum / (n_draws - 1)).epsilon(1e-4));
    }
    check_refused(
        [&] { sample_draws(network.process, network.model, plan, request, 1, covariance, {}); },
        {"ensemble: got 1", "at least 2"});
    int asked = 0;
    CHECK_FALSE(sample_draws(network.process, network.model, plan, request, n_draws, covariance,
                             [&] { return ++asked == 3; }));
  }
}

TEST_CASE("guided samples carry the combined Jacobian and covariance, on every device") {
  for (const std::shared_ptr<Backend>& backend : conformance::devices()) {
    INFO(backend->name());
    constexpr Index rows = 40;
    const LinearNetwork network(backend, /*n_classes=*/2);
    const std::vector<Index> labels(rows, 1);
    std::vector<float> x(rows * n), var(rows * n), epistemic(rows * n * n), aleatoric(rows * n * n),
        score(rows);
    SampleUncertainty arrays{epistemic, aleatoric, score};
    SampleRequest request{rows, 5, labels, {3, -2}};
    REQUIRE(sample(network.process, network.model, cosine_ddpm(n_steps), request,
                   {x, var, nullptr, &arrays}, {}));
    // The Jacobian of a linear network does not depend on the class, and 3 J - 2 J is J. Its
    // covariance is that of the bias, which counts 3^2 + 2^2 times.
    const Uncertain plain(network, rows, 5);
    for (std::size_t i = 0; i < epistemic.size(); ++i) {
      CHECK(epistemic[i] == doctest::Approx(13 * plain.epistemic[i]).epsilon(1e-4));
      CHECK(aleatoric[i] == doctest::Approx(plain.aleatoric[i]).epsilon(1e-4));
    }
    for (std::size_t i = 0; i < var.size(); ++i) {
      CHECK(var[i] == doctest::Approx(13 * plain.var[i]).epsilon(1e-4));
    }
  }
}
