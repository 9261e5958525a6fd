#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "cpu/instruction_set.h"
#include "cpu/kernels.h"

// The ReLU and the leaky ReLU as the kernels have them, by formulas or by tables: against their
// closed forms in long double.

using namespace tagix;
using cpu::ActivationOutput;
using cpu::Format;
using cpu::Kernels;

namespace {

using Real = long double;

struct Truth {
  Real mean, var, jacobian;
};

/// Moments of z for z > 0 and s z else by the tail beyond 0, which does not cancel to 8 standard
/// deviations in long double.
Truth truth_of(double mean, double var, Real s) {
  const Real sd = std::sqrt(static_cast<Real>(var)), t = std::fabs(mean) / sd;
  const Real density = std::exp(-t * t / 2) / std::sqrt(8 * std::atan(Real(1)));
  const Real tail = std::erfc(t / std::sqrt(Real(2))) / 2;
  const Real first = density - t * tail, second = (1 + t * t) * tail - t * density;
  const Real tail_var = second - first * first;
  const bool below = mean < 0;
  const Real phi = below ? tail : 1 - tail;
  const Real relu_mean = (below ? 0 : Real(mean)) + sd * first;
  const Real relu_var = var * (below ? tail_var : 1 - 2 * tail + tail_var);
  return {s * mean + (1 - s) * relu_mean,
          var * (s * s + 2 * s * (1 - s) * phi) + (1 - s) * (1 - s) * relu_var, s + (1 - s) * phi};
}

struct Planes {
  explicit Planes(std::size_t size)
      : mean(size), var(size), jacobian(size), square(size), second_moment(size) {}
  ActivationOutput output() {
    return {mean.data(), var.data(), jacobian.data(), square.data(), second_moment.data()};
  }

  std::vector<float> mean, var, jacobian, square, second_moment;
};

Planes moments(const Kernels& kernels, const math::ActivationSpec& spec, Format format,
               const std::vector<float>& mean, const std::vector<float>& var) {
  Planes planes(mean.size());
  kernels.activation(spec, format, mean.data(), var.data(), static_cast<Index>(mean.size()),
                     planes.output());
  return planes;
}

void for_each_instruction_set(const auto& body) {
  for (const std::string& name : cpu::supported_instruction_sets()) {
    CAPTURE(name);
    body(cpu::kernels_for(name, "name"));
  }
}

double relative(float got, Real truth) {
  const double error = static_cast<double>(std::fabs((got - truth) / truth));
  return std::isnan(error) ? HUGE_VAL : error;
}

constexpr math::ActivationSpec relu{math::ActivationKind::relu, math::MomentsForm::exact};

constexpr math::ActivationSpec leaky(float slope) {
  return {math::ActivationKind::leaky_relu, math::MomentsForm::exact, slope};
}

/// The largest relative errors of any moment to 4 standard deviations, and from there to `end`.
struct Errors {
  double near = 0, far = 0;
};

Errors errors_of(const Kernels& kernels, const math::ActivationSpec& spec, Real slope,
                 Format format, double end) {
  constexpr int n = 20011;  // of no vector's width
  Errors errors;
  for (const double sd : {1e-6, 1e-3, 1.0, 30.0}) {
    std::vector<float> mean, var(n, static_cast<float>(sd * sd));
    const double own_sd = std::sqrt(static_cast<double>(var[0]));
    for (int i = 0; i < n; ++i) {
      mean.push_back(static_cast<float>((2.0 * i / (n - 1) - 1) * end * own_sd));
    }
    const Planes got = moments(kernels, spec, format, mean, var);
    for (std::size_t i = 0; i < mean.size(); ++i) {
      const double m = mean[i], v = var[i];
      const Truth truth = truth_of(m, v, slope);
      double& largest = std::fabs(m) < 4 * own_sd ? errors.near : errors.far;
      // E f of a leaky ReLU crosses 0.
      const double mean_error =
          slope == 0 ? relative(got.mean[i], truth.mean)
                     : static_cast<double>(std::fabs(got.mean[i] - truth.mean)) / own_sd;
      for (const double each : {mean_error, relative(got.var[i], truth.var),
                                relative(got.jacobian[i], truth.jacobian)}) {
        largest = std::max(largest, each);
      }
    }
  }
  return errors;
}

}  // namespace

TEST_CASE("exact ReLU of the kernels to 8 standard deviations") {
  for_each_instruction_set([](const Kernels& kernels) {
    const Errors errors = errors_of(kernels, relu, 0, Format::float32, 8);
    CHECK(errors.near < 2e-6);
    CHECK(errors.far < 1e-5);
  });
}

TEST_CASE("exact ReLU of the kernels for bfloat16 to 5.4 standard deviations") {
  for_each_instruction_set([](const Kernels& kernels) {
    const Errors errors = errors_of(kernels, relu, 0, Format::bfloat16, 5.4);
    CHECK(errors.near < 2e-3);
    CHECK(errors.far < 3e-3);
  });
}

TEST_CASE("exact LeakyReLU of the kernels") {
  for_each_instruction_set([](const Kernels& kernels) {
    for (const float slope : {0.01f, 0.25f, 1.0f}) {
      CAPTURE(slope);
      const Errors errors = errors_of(kernels, leaky(slope), slope, Format::float32, 6);
      CHECK(errors.near < 4e-6);
      CHECK(errors.far < 1e-5);
      const Errors rough = errors_of(kernels, leaky(slope), slope, Format::bfloat16, 5.4);
      CHECK(rough.near < 3e-3);
    }
  });
}

TEST_CASE("exact ReLU of the kernels far from 0, without variance, and of NaN") {
  const std::vector<float> mean{-8.7f, -1e4f, 2.5f, -2.5f, 0, 1e4f, 9, NAN, 1, -0.0f};
  const std::vector<float> var{1, 1, 0, 0, 0, 4, 1, 1, NAN, 0};
  for_each_instruction_set([&](const Kernels& kernels) {
    for (const Format format : {Format::float32, Format::bfloat16}) {
      const Planes got = moments(kernels, relu, format, mean, var);
      for (const std::size_t zero : {0, 1, 3}) {
        CAPTURE(zero);
        CHECK(got.mean[zero] <= 1e-17f);
        CHECK(got.var[zero] <= 1e-17f);
        CHECK(got.jacobian[zero] <= 1e-17f);
        CHECK(std::min({got.mean[zero], got.var[zero], got.jacobian[zero]}) >= 0);
      }
      const auto is = [&](std::size_t i, float m, float v, float j) {
        CAPTURE(i);
        CHECK(got.mean[i] == m);
        CHECK(got.var[i] == v);
        CHECK(got.jacobian[i] == j);
      };
      is(2, 2.5f, 0, 1);
      is(4, 0, 0, 1);
      is(5, 1e4f, 4, 1);
      is(6, 9, 1, 1);
      CHECK(got.mean[9] == 0);
      CHECK(got.var[9] == 0);
      for (const std::size_t nan : {7, 8}) {
        CHECK(std::isnan(got.mean[nan]));
        CHECK(std::isnan(got.var[nan]));
      }
    }
  });
}

TEST_CASE("squares and second moments of what an activation gives") {
  std::vector<float> mean, var;
  for (int i = 0; i < 77; ++i) {
    mean.push_back(0.1f * static_cast<float>(i - 38));
    var.push_back(0.05f * static_cast<float>(i));
  }
  for_each_instruction_set([&](const Kernels& kernels) {
    for (const auto kind : {math::ActivationKind::relu, math::ActivationKind::leaky_relu,
                            math::ActivationKind::tanh}) {
      for (const auto form : {math::MomentsForm::exact, math::MomentsForm::first_order}) {
        const Planes got = moments(kernels, {kind, form}, Format::float32, mean, var);
        for (std::size_t i = 0; i < mean.size(); ++i) {
          const double square = static_cast<double>(got.mean[i]) * got.mean[i];
          CHECK(got.square[i] == doctest::Approx(square).epsilon(1e-7));
          CHECK(got.second_moment[i] == doctest::Approx(square + got.var[i]).epsilon(2e-7));
        }
      }
    }
  });
}
