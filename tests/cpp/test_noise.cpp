#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>

#include "math/inferred_noise.h"

using namespace tagix::math;

namespace {

/// What one target says of a value and of its noise variance v by AGVI (Deka, Nguyen & Goulet,
/// 2024), step by step: the prior of the squared error, its posterior, and that of v.
struct Agvi {
  double value_delta_mean, value_delta_var, noise_delta_mean, noise_delta_var;

  /// v has mean v_mean and variance v_var, and the covariance `slope` Var w with w.
  Agvi(double mean, double var, double v_mean, double v_var, double slope, double target) {
    const double total = var + v_mean, residual = target - mean;
    value_delta_mean = residual / total;
    value_delta_var = -1 / total;
    const double error_mean = v_mean / total * residual;
    const double error_var = v_mean - v_mean * v_mean / total;
    const double square_mean = error_mean * error_mean + error_var;
    const double square_var = 2 * error_var * error_var + 4 * error_var * error_mean * error_mean;
    const double prior_square_var = 3 * v_var + 2 * v_mean * v_mean;
    const double gain = v_var / prior_square_var;
    const double mean_change = gain * (square_mean - v_mean);
    const double var_change = gain * gain * (square_var - prior_square_var);
    noise_delta_mean = slope * mean_change / v_var;
    noise_delta_var = slope * slope * var_change / (v_var * v_var);
  }
};

bool close(double a, double b, double tolerance) {
  return std::fabs(a - b) <= tolerance * std::fabs(b);
}

}  // namespace

TEST_CASE("the innovations of one target are those of AGVI") {
  std::mt19937_64 engine(1);
  const auto uniform = [&engine](double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(engine);
  };
  for (int i = 0; i < 2000; ++i) {
    const double mean = uniform(-2, 2), target = uniform(-4, 4), var = std::exp(uniform(-8, 1));
    const double w_mean = uniform(-4, 2), w_var = std::exp(uniform(-8, 0.7));
    for (NoiseLink link : {NoiseLink::exp, NoiseLink::softplus}) {
      const InferredNoise<double> noise = inferred_noise(link, w_mean, w_var);
      double v_mean = noise.mean, v_var = noise.relative_var * v_mean * v_mean,
             slope = noise.relative_jacobian * v_mean;
      if (link == NoiseLink::exp) {  // moments of a log-normal variable
        v_mean = std::exp(w_mean + w_var / 2);
        v_var = v_mean * v_mean * std::expm1(w_var);
        slope = v_mean;
      }
      const Agvi truth(mean, var, v_mean, v_var, slope, target);
      const NoisyInnovation<double> expected_form =
          noisy_innovation(mean, var, noise, true, target, 1.0);
      const NoisyInnovation<double> agvi = noisy_innovation(mean, var, noise, false, target, 1.0);
      for (const NoisyInnovation<double>& got : {expected_form, agvi}) {
        CHECK(close(got.value.delta_mean, truth.value_delta_mean, 1e-12));
        CHECK(close(got.value.delta_var, truth.value_delta_var, 1e-12));
        // A difference of numbers of the order of slope / divisor.
        const double scale = std::fabs(noise.relative_jacobian) / (2 + 3 * noise.relative_var);
        CHECK(std::fabs(got.noise.delta_mean - truth.noise_delta_mean) <=
              1e-12 * scale * (1 + (target - mean) * (target - mean) / (var + v_mean)));
      }
      CHECK(std::fabs(agvi.noise.delta_var - truth.noise_delta_var) <=
            1e-10 * (1 + std::fabs(truth.noise_delta_var)));
      CHECK(expected_form.noise.delta_var < 0);
    }
  }
}

TEST_CASE("the precision that a noise head gains is AGVI's, averaged over targets to come") {
  // In the limit of a noise variance that is nearly known.
  for (double var : {1e-3, 0.1, 2.0}) {
    for (double w_mean : {-3.0, 0.0, 1.0}) {
      const InferredNoise<double> noise = inferred_noise(NoiseLink::exp, w_mean, 1e-10);
      const double std = std::sqrt(var + noise.mean);
      double sum = 0, weights = 0;
      for (double u = -12; u <= 12; u += 0.01) {
        const double weight = std::exp(-u * u / 2);
        sum += weight * noisy_innovation(0.0, var, noise, false, u * std, 1.0).noise.delta_var;
        weights += weight;
      }
      // Terms of order 1 cancel in the average.
      const double expected = noisy_innovation(0.0, var, noise, true, 0.3, 1.0).noise.delta_var;
      CHECK(std::fabs(expected - sum / weights) <= 1e-9);
    }
  }
}

TEST_CASE("a belief about the noise joins what the network says of it") {
  // log v of the product of two Gaussians, by the trapezoid rule.
  constexpr double precision = 0.25;
  for (double w_mean : {-6.0, 0.0, 4.0}) {
    for (double w_var : {1e-4, 0.5, 30.0}) {
      const InferredNoise<double> got = inferred_noise(NoiseLink::exp, w_mean, w_var, precision);
      double total = 0, first = 0, second = 0;
      const double sd = 1 / std::sqrt(1 / w_var + precision), centre = w_mean * sd * sd / w_var;
      for (int k = -4000; k <= 4000; ++k) {
        const double w = centre + sd * k / 200;
        const double density =
            std::exp(-(w - w_mean) * (w - w_mean) / (2 * w_var) - w * w * precision / 2);
        total += density;
        first += density * std::exp(w);
        second += density * std::exp(2 * w);
      }
      first /= total;
      CHECK(close(got.mean, first, 1e-9));
      CHECK(close(1 + got.relative_var, second / total / (first * first), 1e-9));
      const double step = 1e-5;
      const double slope =
          (std::log(inferred_noise(NoiseLink::exp, w_mean + step, w_var, precision).mean) -
           std::log(inferred_noise(NoiseLink::exp, w_mean - step, w_var, precision).mean)) /
          (2 * step);
      CHECK(close(got.relative_jacobian, slope, 1e-8));
    }
  }
  // Whatever the network says, noise stays finite, and where it says nothing, of the order of 1.
  for (float w_var : {1e3f, 1e20f, 1e38f}) {
    for (float w_mean : {-1e6f, 0.0f, 1e6f}) {
      const InferredNoise<float> noise = inferred_noise(NoiseLink::exp, w_mean, w_var, 0.25f);
      CHECK(noise.mean <= 2e30f);
      CHECK(noise.relative_var <= 1.0001f * std::expm1(4.0f));
    }
    CHECK(close(inferred_noise(NoiseLink::exp, 0.0f, w_var, 0.25f).mean, std::exp(2.0), 1e-2));
  }
}

TEST_CASE("observations of a batch share their uncertainty") {
  const InferredNoise<double> noise = inferred_noise(NoiseLink::exp, -1.0, 0.5);
  const double var = 0.3, spread = 21.47;
  const NoisyInnovation<double> got = noisy_innovation(0.5, var, noise, true, 2.0, spread);
  const double total = noise.mean + var * spread, share = noise.mean / (noise.mean + var);
  const double divisor = 2 + 3 * std::expm1(0.5) * spread;
  CHECK(close(got.value.delta_mean, 1.5 / total, 1e-14));
  CHECK(close(got.value.delta_var, -1 / total, 1e-14));
  CHECK(close(got.noise.delta_mean, share * (2.25 / (noise.mean + var) - 1) / divisor, 1e-14));
  CHECK(close(got.noise.delta_var, -share * share / divisor, 1e-14));
}

TEST_CASE("a missing target says nothing, and no noise is without variance") {
  const double missing = std::numeric_limits<double>::quiet_NaN();
  for (NoiseLink link : {NoiseLink::exp, NoiseLink::softplus}) {
    const InferredNoise<double> noise = inferred_noise(link, -1.0, 0.5);
    for (bool expects_information : {true, false}) {
      const NoisyInnovation<double> got =
          noisy_innovation(0.5, 0.3, noise, expects_information, missing, 1.0);
      CHECK(got.value.delta_mean == 0);
      CHECK(got.value.delta_var == 0);
      CHECK(got.noise.delta_mean == 0);
      CHECK(got.noise.delta_var == 0);
    }
    const InferredNoise<float> tiny = inferred_noise(link, -500.0f, 0.1f);
    CHECK(tiny.mean == 1e-30f);
    const NoisyInnovation<float> learned = noisy_innovation(0.0f, 1e-6f, tiny, true, 1.0f, 1.0f);
    CHECK(std::isfinite(learned.noise.delta_mean));
    CHECK(std::isfinite(learned.noise.delta_var));
  }
}
