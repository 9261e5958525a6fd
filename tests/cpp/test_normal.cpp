#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "element_types.h"
#include "math/normal.h"

using namespace tagix::test;
namespace math = tagix::math;

namespace {

using Real = long double;

// P(X > a), E (X - a)+ and E (X - a)+^2 by mpmath with 40 digits.
struct Tail {
  double a, probability, first, second;
};
constexpr Tail tails[] = {
    {0.0, 0.5, 0.39894228040143268, 0.5},
    {0.25, 0.40129367431707628, 0.28634469822358014, 0.32970749976118124},
    {1.0, 0.15865525393145705, 0.083315470587686298, 0.075339783343770753},
    {2.0, 0.022750131948179207, 0.0084907026168296375, 0.0057687267145199321},
    {4.0, 3.1671241833119921e-5, 7.1452584324056668e-6, 3.0902081034972542e-6},
    {8.0, 6.2209605742717841e-16, 7.5502624119464989e-17, 1.8075064471458499e-17},
    {12.0, 1.776482112077679e-33, 1.4605201169845548e-34, 2.3857971696213262e-35},
};

Real phi(Real x) { return std::exp(-x * x / 2) / std::sqrt(8 * std::atan(Real(1))); }
Real upper(Real x) { return std::erfc(x / std::sqrt(Real(2))) / 2; }

template <class T>
struct TailFunction {
  T math::UpperTail<T>::* field;
  double sd;

  T operator()(const T& distance) const {
    const T sd_of_t = math::broadcast<T>(static_cast<Scalar<T>>(sd));
    return math::upper_tail(distance, sd_of_t, sd_of_t * sd_of_t).*field;
  }
};

}  // namespace

TEST_CASE_TEMPLATE("upper_tail against mpmath", T, TAGIX_ELEMENT_TYPES) {
  using Moments = math::UpperTail<T>;
  // Powers of 2, so that sd^2 and a sd are exact.
  for (const double sd : {0.0009765625, 1.0, 32.0}) {
    for (const Tail& tail : tails) {
      CAPTURE(sd);
      CAPTURE(tail.a);
      const std::vector<double> distance = {tail.a * sd};
      const double bound = tail.a > 4 ? tolerance<T>(1e-5, 3e-14) : tolerance<T>(1.5e-6, 2e-14);
      const auto error = [&](T Moments::* field, Real truth) {
        return relative_error(evaluate<T>(TailFunction<T>{field, sd}, distance)[0], truth);
      };
      CHECK(error(&Moments::probability, tail.probability) < bound);
      CHECK(error(&Moments::first, tail.first) < bound);
      CHECK(error(&Moments::second, tail.second) < bound);
      CHECK(error(&Moments::var, tail.second - Real(tail.first) * tail.first) < bound);
      CHECK(error(&Moments::density, phi(tail.a)) < bound);
    }
  }
}

TEST_CASE_TEMPLATE("upper_tail between the table's points", T, TAGIX_ELEMENT_TYPES) {
  using Moments = math::UpperTail<T>;
  const TailFunction<T> probability{&Moments::probability, 1.0}, first{&Moments::first, 1.0},
      second{&Moments::second, 1.0};
  // Long double loses a^3 / 2 of its 1e-19 in the difference for `first`, a^4 for `second`.
  const auto first_truth = [](Real a) { return phi(a) - a * upper(a); };
  const auto second_truth = [](Real a) { return (1 + a * a) * upper(a) - a * phi(a); };
  const std::vector<double> near = linspace(0, 4, 4001), far = linspace(4, 12, 4001);
  CHECK(largest_relative_error<T>(probability, upper, near) < tolerance<T>(1.2e-6, 2e-14));
  CHECK(largest_relative_error<T>(first, first_truth, near) < tolerance<T>(1.2e-6, 2e-14));
  CHECK(largest_relative_error<T>(second, second_truth, near) < tolerance<T>(1.5e-6, 2e-14));
  CHECK(largest_relative_error<T>(probability, upper, far) < tolerance<T>(1e-5, 1e-12));
  CHECK(largest_relative_error<T>(first, first_truth, far) < tolerance<T>(1e-5, 1e-12));
  CHECK(largest_relative_error<T>(second, second_truth, far) < tolerance<T>(1e-5, 1e-12));
}

TEST_CASE_TEMPLATE("upper_tail is 0 beyond the cutoff and without variance", T,
                   TAGIX_ELEMENT_TYPES) {
  using Moments = math::UpperTail<T>;
  for (const auto field : {&Moments::density, &Moments::probability, &Moments::first,
                           &Moments::second, &Moments::var}) {
    CHECK(evaluate<T>(TailFunction<T>{field, 1.0}, {12.6, 100, 1e10, 1e30}) ==
          std::vector<double>{0, 0, 0, 0});
    CHECK(evaluate<T>(TailFunction<T>{field, 0.0}, {0.001, 1, 1e10}) ==
          std::vector<double>{0, 0, 0});
  }
  CHECK(std::isfinite(evaluate<T>(TailFunction<T>{&Moments::probability, 0.0}, {0.0})[0]));
}

TEST_CASE_TEMPLATE("normal_cdf and normal_density", T, TAGIX_ELEMENT_TYPES) {
  const auto cdf = [](const T& x) { return math::normal_cdf(x); };
  const auto truth = [](Real x) { return upper(-x); };
  CHECK(largest_relative_error<T>(cdf, truth, linspace(-4, 13, 8001)) <
        tolerance<T>(1.2e-6, 2e-14));
  CHECK(largest_relative_error<T>(cdf, truth, linspace(-12, -4, 4001)) < tolerance<T>(1e-5, 1e-13));
  CHECK(evaluate<T>(cdf, {-13, -1e30, 13, 1e30}) == std::vector<double>{0, 0, 1, 1});
  CHECK(largest_relative_error<T>([](const T& x) { return math::normal_density(x); }, phi,
                                  linspace(-12, 12, 8001)) < tolerance<T>(1e-5, 1e-13));
}
