#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "element_types.h"
#include "math/scalar.h"

using namespace tagix::test;
namespace math = tagix::math;

namespace {

using Real = long double;

// Points of both signs from 1e-20 to 1, for accuracy near 0.
std::vector<double> points_near_zero() {
  std::vector<double> points;
  for (double exponent = -20; exponent <= 0; exponent += 0.01) {
    const double magnitude = static_cast<float>(0.99 * std::pow(10.0, exponent));
    points.push_back(magnitude);
    points.push_back(-magnitude);
  }
  return points;
}

constexpr double infinity = std::numeric_limits<double>::infinity();
const double not_a_number = std::numeric_limits<double>::quiet_NaN();

}  // namespace

TEST_CASE_TEMPLATE("exp", T, TAGIX_ELEMENT_TYPES) {
  const auto exp = [](const T& x) { return math::exp(x); };
  CHECK(largest_relative_error<T>(
            exp, [](Real x) { return std::exp(x); }, linspace(-87.2, 88.7, 20011)) <
        tolerance<T>(1.2e-7, 1e-15));
  const std::vector<double> ends = evaluate<T>(exp, {-infinity, infinity, not_a_number, 0.0});
  CHECK(ends[0] == 0.0);
  CHECK(ends[1] == infinity);
  CHECK(std::isnan(ends[2]));
  CHECK(ends[3] == 1.0);
  if (!is_double<T>) {
    CHECK(evaluate<T>(exp, {-87.5, -1e30, 88.8, 1e30}) ==
          std::vector<double>{0.0, 0.0, infinity, infinity});
  }
}

TEST_CASE_TEMPLATE("expm1", T, TAGIX_ELEMENT_TYPES) {
  const auto expm1 = [](const T& x) { return math::expm1(x); };
  const auto truth = [](Real x) { return std::expm1(x); };
  CHECK(largest_relative_error<T>(expm1, truth, points_near_zero()) < tolerance<T>(1.2e-7, 1e-15));
  CHECK(largest_relative_error<T>(expm1, truth, linspace(-100, 88.7, 20010)) <
        tolerance<T>(1.2e-7, 1e-15));
  const std::vector<double> ends = evaluate<T>(expm1, {-infinity, infinity, not_a_number, 0.0});
  CHECK(ends[0] == -1.0);
  CHECK(ends[1] == infinity);
  CHECK(std::isnan(ends[2]));
  CHECK(ends[3] == 0.0);
}

TEST_CASE_TEMPLATE("log1p", T, TAGIX_ELEMENT_TYPES) {
  const auto log1p = [](const T& x) { return math::log1p(x); };
  const auto truth = [](Real x) { return std::log1p(x); };
  CHECK(largest_relative_error<T>(log1p, truth, points_near_zero()) < tolerance<T>(2e-7, 1e-15));
  CHECK(largest_relative_error<T>(log1p, truth, linspace(-0.9999, 3, 20010)) <
        tolerance<T>(2e-7, 1e-15));
  CHECK(largest_relative_error<T>(log1p, truth, {1e3, 1e8, 1e20, 9e37}) <
        tolerance<T>(2e-7, 1e-15));
  const std::vector<double> ends = evaluate<T>(log1p, {0.0, not_a_number});
  CHECK(ends[0] == 0.0);
  CHECK(std::isnan(ends[1]));
}

TEST_CASE_TEMPLATE("tanh and its derivative", T, TAGIX_ELEMENT_TYPES) {
  const auto tanh = [](const T& x) { return math::tanh(x); };
  const auto truth = [](Real x) { return std::tanh(x); };
  CHECK(largest_relative_error<T>(tanh, truth, points_near_zero()) < tolerance<T>(2.5e-7, 1e-15));
  CHECK(largest_relative_error<T>(tanh, truth, linspace(-50, 50, 20010)) <
        tolerance<T>(2.5e-7, 1e-15));
  CHECK(largest_relative_error<T>([](const T& x) { return math::tanh_derivative(x); },
                                  [](Real x) { return 1 / (std::cosh(x) * std::cosh(x)); },
                                  linspace(-43, 43, 20010)) < tolerance<T>(4e-7, 2e-15));
  const std::vector<double> ends =
      evaluate<T>(tanh, {-infinity, infinity, not_a_number, -0.0, 100.0});
  CHECK(ends[0] == -1.0);
  CHECK(ends[1] == 1.0);
  CHECK(std::isnan(ends[2]));
  CHECK(std::signbit(ends[3]));
  CHECK(ends[4] == 1.0);
}

TEST_CASE_TEMPLATE("sigmoid and its derivative", T, TAGIX_ELEMENT_TYPES) {
  const auto sigmoid = [](const T& x) { return math::sigmoid(x); };
  CHECK(largest_relative_error<T>(
            sigmoid, [](Real x) { return 1 / (1 + std::exp(-x)); }, linspace(-87, 87, 20010)) <
        tolerance<T>(2e-7, 1e-15));
  CHECK(
      largest_relative_error<T>([](const T& x) { return math::sigmoid_derivative(x); },
                                [](Real x) { return 1 / ((1 + std::exp(-x)) * (1 + std::exp(x))); },
                                linspace(-87, 87, 20010)) < tolerance<T>(3.5e-7, 1e-15));
  const std::vector<double> ends = evaluate<T>(sigmoid, {-infinity, infinity, not_a_number, 0.0});
  CHECK(ends[0] == 0.0);
  CHECK(ends[1] == 1.0);
  CHECK(std::isnan(ends[2]));
  CHECK(ends[3] == 0.5);
}

TEST_CASE_TEMPLATE("softplus", T, TAGIX_ELEMENT_TYPES) {
  const auto softplus = [](const T& x) { return math::softplus(x); };
  CHECK(largest_relative_error<T>(
            softplus,
            [](Real x) { return std::fmax(x, 0.0L) + std::log1p(std::exp(-std::fabs(x))); },
            linspace(-87, 100, 20010)) < tolerance<T>(2e-7, 1e-15));
  const std::vector<double> ends = evaluate<T>(softplus, {-infinity, infinity, not_a_number});
  CHECK(ends[0] == 0.0);
  CHECK(ends[1] == infinity);
  CHECK(std::isnan(ends[2]));
}

TEST_CASE_TEMPLATE("operations that are exact", T, TAGIX_ELEMENT_TYPES) {
  const std::vector<double> points = {-3.5, -0.0, 0.0, 0.25, 2.0, 1e-30, 7.0};
  const auto two = math::broadcast<T>(2);
  CHECK(evaluate<T>([&](const T& x) { return math::min(x, two); }, points) ==
        std::vector<double>{-3.5, 0, 0, 0.25, 2, static_cast<Scalar<T>>(1e-30), 2});
  CHECK(evaluate<T>([&](const T& x) { return math::max(x, two); }, points) ==
        std::vector<double>{2, 2, 2, 2, 2, 2, 7});
  CHECK(evaluate<T>([&](const T& x) { return math::clamp(x, -two, two); }, {-3, 1, 3}) ==
        std::vector<double>{-2, 1, 2});
  CHECK(evaluate<T>([](const T& x) { return math::abs(x); }, {-3.5, 3.5, 0}) ==
        std::vector<double>{3.5, 3.5, 0});
  CHECK_FALSE(std::signbit(evaluate<T>([](const T& x) { return math::abs(x); }, {-0.0})[0]));
  CHECK(evaluate<T>([&](const T& x) { return math::copysign(two, x); }, {-3, 3, -0.0}) ==
        std::vector<double>{-2, 2, -2});
  CHECK(evaluate<T>([&](const T& x) { return math::select(x > 1, x, two); }, {0, 1, 3}) ==
        std::vector<double>{2, 2, 3});
  CHECK(evaluate<T>([](const T& x) { return math::sqrt(x); }, {0, 1, 2, 6.25}) ==
        std::vector<double>{0, 1, static_cast<double>(std::sqrt(Scalar<T>(2))), 2.5});
  CHECK(evaluate<T>([](const T& x) { return math::polynomial(x, 1, -2, 3); }, {0, 1, 2, -1}) ==
        std::vector<double>{1, 2, 9, 6});
  CHECK(std::isnan(evaluate<T>([&](const T& x) { return math::min(x, two); }, {not_a_number})[0]));
  CHECK(std::isnan(
      evaluate<T>([&](const T& x) { return math::clamp(x, -two, two); }, {not_a_number})[0]));
}

// Every lane runs the operations of scalar float. Two units in the last place are left to the
// compiler, which may fuse other multiplications and additions in a vector than in a scalar.
TEST_CASE_TEMPLATE("lanes agree with float", T, Float4, Float8, Float16) {
  const std::vector<double> points = linspace(-20, 20, 5003);
  const auto agree = [&](const auto& function) {
    const std::vector<double> lanes = evaluate<T>(function, points);
    const std::vector<double> floats = evaluate<float>(function, points);
    double largest = 0;
    for (std::size_t i = 0; i < points.size(); ++i) {
      largest = std::max(largest, std::fabs(lanes[i] - floats[i]) / std::fabs(floats[i]));
    }
    return largest <= 2 * 1.2e-7;
  };
  CHECK(agree([](const auto& x) { return math::exp(x); }));
  CHECK(agree([](const auto& x) { return math::expm1(x); }));
  CHECK(agree([](const auto& x) { return math::tanh(x); }));
  CHECK(agree([](const auto& x) { return math::sigmoid(x); }));
  CHECK(agree([](const auto& x) { return math::softplus(x); }));
}
