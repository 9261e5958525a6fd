#include <doctest/doctest.h>

#include <cmath>
#include <stdexcept>
#include <vector>

#include "models/encoding.h"

using tagix::Encoding;
using tagix::Index;

namespace {

const std::vector<double> knots = {-1, 0, 0.5, 2};
const std::vector<double> values = {-2, 0, -1, 3};

tagix::math::PiecewiseLinear zigzag() { return {knots.data(), values.data(), 4, 0.25}; }

/// The integral of g(z) times the density of N(mean, var), by Simpson's rule over 12 sigma.
template <class Function>
double expected(Function g, double mean, double var) {
  const int n = 200000;
  const double std = std::sqrt(var), low = mean - 12 * std, step = 24 * std / n;
  double sum = 0;
  for (int i = 0; i <= n; ++i) {
    const double z = low + step * i, t = (z - mean) / std;
    const double weight = i == 0 || i == n ? 1 : i % 2 == 1 ? 4 : 2;
    sum += weight * g(z) * std::exp(-0.5 * t * t);
  }
  return sum * step / 3 / (std * std::sqrt(2 * std::acos(-1.0)));
}

}  // namespace

TEST_CASE("a piecewise-linear function, its derivative, and its moments by quadrature") {
  const auto f = zigzag();
  CHECK(f(-3) == doctest::Approx(-2.5));
  CHECK(f(-0.5) == doctest::Approx(-1));
  CHECK(f(0.25) == doctest::Approx(-0.5));
  CHECK(f(1.25) == doctest::Approx(1));
  CHECK(f(4) == doctest::Approx(3.5));
  CHECK(f.derivative(-2) == doctest::Approx(0.25));
  CHECK(f.derivative(0.1) == doctest::Approx(-2));
  CHECK(f.derivative(0) == doctest::Approx(0));  // the mean of 2 and -2
  CHECK(f.derivative(2) == doctest::Approx(0.5 * (4.0 / 1.5 + 0.25)));
  for (const double mean : {-4.0, -0.3, 0.5, 1.9, 7.0}) {
    for (const double var : {1e-6, 0.04, 1.0, 9.0}) {
      CAPTURE(mean);
      CAPTURE(var);
      const auto moments = f.moments(mean, var);
      const double about = expected(f, mean, var);
      const auto square = [&](double z) { return (f(z) - about) * (f(z) - about); };
      CHECK(moments.mean == doctest::Approx(about).epsilon(1e-6));
      CHECK(moments.var == doctest::Approx(expected(square, mean, var)).epsilon(1e-5));
    }
  }
}

TEST_CASE("inputs are scores, ramps, and columns that came later") {
  const Encoding encoding(2, {{1, 0.25, knots, values}}, {{0, -1, 1, 0.25}, {1, 0, 4, 0.5}});
  CHECK(encoding.n_columns() == 2);
  CHECK(encoding.n_inputs(3) == 5);
  const float row[] = {0.5f, 1.25f, 9};
  float inputs[5], mean[5], var[5], slopes[5];
  encoding.encode(row, 3, inputs);
  const double wanted[] = {0.5, 1, 0.75 - 0.25, 1.25 / 4 - 0.5, 9};
  for (int i = 0; i < 5; ++i) CHECK(inputs[i] == doctest::Approx(wanted[i]));
  const float no_var[] = {0, 0, 0};
  encoding.encode(row, no_var, 3, mean, var);
  for (int i = 0; i < 5; ++i) {
    CHECK(mean[i] == inputs[i]);
    CHECK(var[i] == 0);
  }
  const float row_var[] = {0.5f, 0.09f, 2};
  encoding.encode(row, row_var, 3, mean, var);
  CHECK(var[0] == 0.5f);
  CHECK(var[4] == 2);
  const auto score = zigzag().moments(1.25, static_cast<double>(0.09f));
  CHECK(mean[1] == doctest::Approx(score.mean));
  CHECK(var[1] == doctest::Approx(score.var));
  const auto ramp = [](double z) { return std::fmin(std::fmax(0.5 * (z + 1), 0), 1) - 0.25; };
  CHECK(mean[2] == doctest::Approx(expected(ramp, 0.5, 0.5)).epsilon(1e-5));
  encoding.slopes(row, 3, slopes);
  const double rising[] = {1, 4.0 / 1.5, 0.5, 0.25, 1};
  for (int i = 0; i < 5; ++i) CHECK(slopes[i] == doctest::Approx(rising[i]));
}

TEST_CASE("an encoding refuses numbers that do not make one") {
  const auto make = [](Index column, double slope, std::vector<double> at, double end) {
    return Encoding(2, {{column, slope, std::move(at), {0, 1}}}, {{0, 0, end, 0}});
  };
  CHECK_NOTHROW(make(1, 0, {0, 1}, 1));
  CHECK_THROWS_AS(make(2, 0, {0, 1}, 1), std::invalid_argument);
  CHECK_THROWS_AS(make(-1, 0, {0, 1}, 1), std::invalid_argument);
  CHECK_THROWS_AS(make(1, NAN, {0, 1}, 1), std::invalid_argument);
  CHECK_THROWS_AS(make(1, 0, {0, 0}, 1), std::invalid_argument);
  CHECK_THROWS_AS(make(1, 0, {0, 1, 2}, 1), std::invalid_argument);
  CHECK_THROWS_AS(make(1, 0, {0, INFINITY}, 1), std::invalid_argument);
  CHECK_THROWS_AS(make(1, 0, {0, 1}, 0), std::invalid_argument);
  CHECK_THROWS_AS(make(1, 0, {0, 1}, 1e300), std::invalid_argument);
}
