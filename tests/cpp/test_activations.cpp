#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "element_types.h"
#include "math/activations.h"

using namespace tagix::test;
namespace math = tagix::math;
using math::ActivationKind;
using math::ActivationSpec;
using math::MomentsForm;

namespace {

using Real = long double;

template <class Value>
struct Moments {
  Value mean, var, jacobian;
};

struct Point {
  double mean, var;  // exact in float
};

/// The moments at each point, computed on Ts.
template <class T>
std::vector<Moments<double>> moments(const ActivationSpec& spec, const std::vector<Point>& points) {
  std::vector<double> means, vars;
  for (const Point& point : points) {
    means.push_back(point.mean);
    vars.push_back(point.var);
  }
  const std::vector<T> mean = packed<T>(means), var = packed<T>(vars);
  std::vector<Moments<double>> result;
  math::visit_activation(spec, [&](const auto& function) {
    for (std::size_t i = 0; i < mean.size(); ++i) {
      const math::ActivationMoments<T> got = function(mean[i], var[i]);
      for (std::size_t j = 0; j < n_lanes<T> && result.size() < points.size(); ++j) {
        result.push_back({static_cast<double>(lane(got.mean, j)),
                          static_cast<double>(lane(got.var, j)),
                          static_cast<double>(lane(got.jacobian, j))});
      }
    }
  });
  return result;
}

std::vector<Point> grid(const std::vector<double>& means, const std::vector<double>& sds) {
  std::vector<Point> points;
  for (const double sd : sds) {
    for (const double mean : means) points.push_back({mean, static_cast<float>(sd * sd)});
  }
  return points;
}

Real phi(Real x) { return std::exp(-x * x / 2) / std::sqrt(8 * std::atan(Real(1))); }
Real cdf(Real x) { return std::erfc(-x / std::sqrt(Real(2))) / 2; }

/// The formulas of the ReLU as they stand, in long double. At alpha = -12 they cancel to a part in
/// 1e8 of the terms, which leaves 10 digits.
Moments<Real> relu_truth(Real mean, Real var) {
  const Real sd = std::sqrt(var), alpha = mean / sd;
  const Real f_mean = mean * cdf(alpha) + sd * phi(alpha);
  return {f_mean, (mean * mean + var) * cdf(alpha) + mean * sd * phi(alpha) - f_mean * f_mean,
          cdf(alpha)};
}

/// E f, Var f and E f' of a smooth f by the trapezoid rule in double, 2001 points over +-9 sd:
/// errors of 1e-12 for the functions and sds here.
template <class Value, class Derivative>
Moments<Real> integrated(const Value& value, const Derivative& derivative, double mean,
                         double var) {
  const double sd = std::sqrt(var);
  double total = 0, f_mean = 0, f_var = 0, jacobian = 0;
  for (int k = -1000; k <= 1000; ++k) {
    const double x = 9.0 * k / 1000, weight = std::exp(-x * x / 2);
    total += weight;
    f_mean += weight * value(mean + sd * x);
    jacobian += weight * derivative(mean + sd * x);
  }
  f_mean /= total;
  for (int k = -1000; k <= 1000; ++k) {
    const double x = 9.0 * k / 1000, deviation = value(mean + sd * x) - f_mean;
    f_var += std::exp(-x * x / 2) * deviation * deviation;
  }
  return {f_mean, f_var / total, jacobian / total};
}

/// Moments of min(max(z, -1), 1): the two tails in closed form, between them Simpson's rule.
Moments<Real> hardtanh_truth(Real mean, Real var) {
  const Real sd = std::sqrt(var);
  const Real below = cdf((-1 - mean) / sd), above = cdf((mean - 1) / sd);
  const Real low = std::max(Real(-1), mean - 12 * sd), high = std::min(Real(1), mean + 12 * sd);
  const auto integral = [&](const auto& function) {
    if (low >= high) return Real(0);
    const int n = 2000;
    Real sum = 0;
    for (int k = 0; k <= n; ++k) {
      const Real z = low + (high - low) * k / n;
      const int weight = k == 0 || k == n ? 1 : k % 2 == 1 ? 4 : 2;
      sum += weight * function(z) * phi((z - mean) / sd) / sd;
    }
    return sum * (high - low) / n / 3;
  };
  const Real f_mean = above - below + integral([](Real z) { return z; });
  const Real f_var = above * (1 - f_mean) * (1 - f_mean) + below * (1 + f_mean) * (1 + f_mean) +
                     integral([&](Real z) { return (z - f_mean) * (z - f_mean); });
  return {f_mean, f_var, integral([](Real) { return Real(1); })};
}

double sigmoid(double z) { return 1 / (1 + std::exp(-z)); }
double softplus(double z) { return std::fmax(z, 0) + std::log1p(std::exp(-std::fabs(z))); }
double normal_cdf(double z) { return std::erfc(-z / std::sqrt(2.0)) / 2; }
double density(double z) { return static_cast<double>(phi(z)); }

/// |got - truth| relative to max(floor, |truth|).
double error(double got, Real truth, double floor) {
  return static_cast<double>(std::fabs(got - truth) / std::max(Real(floor), std::fabs(truth)));
}

/// The largest error of any moment over the points; NaN and negative variances are infinite.
template <class Truth>
double largest_error(const std::vector<Moments<double>>& got, const std::vector<Point>& points,
                     double floor, const Truth& truth) {
  double largest = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const Moments<Real> expected = truth(points[i].mean, points[i].var);
    if (!(got[i].var >= 0)) return HUGE_VAL;
    for (const double each :
         {error(got[i].mean, expected.mean, floor), error(got[i].var, expected.var, floor),
          error(got[i].jacobian, expected.jacobian, floor)}) {
      if (!(each <= largest)) largest = std::isnan(each) ? HUGE_VAL : each;
    }
  }
  return largest;
}

constexpr ActivationSpec exact(ActivationKind kind) { return {kind, MomentsForm::exact}; }

}  // namespace

TEST_CASE_TEMPLATE("exact ReLU from -12 to 12 standard deviations", T, TAGIX_ELEMENT_TYPES) {
  const double smallest_normal = 1.17549435e-38;
  for (const double sd : {1e-3, 1.0, 30.0}) {
    CAPTURE(sd);
    const std::vector<Point> points = grid(linspace(-12 * sd, 12 * sd, 4801), {sd});
    const std::vector<Moments<double>> got = moments<T>(exact(ActivationKind::relu), points);
    double near = 0, far = 0;  // relative errors within 4 standard deviations, and beyond
    for (std::size_t i = 0; i < points.size(); ++i) {
      const Moments<Real> truth = relu_truth(points[i].mean, points[i].var);
      double& largest = std::fabs(points[i].mean) < 4 * sd ? near : far;
      const auto compare = [&](double value, Real expected) {
        if (expected < smallest_normal * (1 - 1e-5) && !is_double<T>) {
          CHECK(value == 0.0);  // not a denormal
        } else if (expected > smallest_normal * (1 + 1e-5) || is_double<T>) {
          const double relative = relative_error(value, expected);
          if (!(relative <= largest)) largest = relative;
        }
      };
      compare(got[i].mean, truth.mean);
      compare(got[i].var, truth.var);
      compare(got[i].jacobian, truth.jacobian);
    }
    CHECK(near < tolerance<T>(1.5e-6, 1e-12));
    CHECK(far < tolerance<T>(1e-5, 1e-9));  // the truth has 10 digits there
  }
}

TEST_CASE_TEMPLATE("exact ReLU at the edges", T, TAGIX_ELEMENT_TYPES) {
  const auto got = moments<T>(exact(ActivationKind::relu),
                              {{-12.6, 1}, {-1e4, 1}, {2.5, 0}, {-2.5, 0}, {0, 0}, {1e4, 4}});
  for (const int zero : {0, 1, 3}) {
    CHECK(got[zero].mean == 0.0);
    CHECK(got[zero].var == 0.0);
    CHECK(got[zero].jacobian == 0.0);
  }
  CHECK(got[2].mean == 2.5);
  CHECK(got[2].var == 0.0);
  CHECK(got[2].jacobian == 1.0);
  CHECK(got[4].mean == 0.0);
  CHECK(got[4].var == 0.0);
  CHECK((got[4].jacobian >= 0.0 && got[4].jacobian <= 1.0));
  CHECK(got[5].mean == 1e4);
  CHECK(got[5].var == 4.0);
  CHECK(got[5].jacobian == 1.0);
  CHECK(std::isnan(moments<T>(exact(ActivationKind::relu), {{NAN, 1}})[0].mean));
}

TEST_CASE_TEMPLATE("exact LeakyReLU", T, TAGIX_ELEMENT_TYPES) {
  for (const float slope : {0.0f, 0.01f, 0.25f, 1.0f}) {
    CAPTURE(slope);
    for (const double sd : {1e-3, 1.0, 30.0}) {
      const std::vector<Point> points = grid(linspace(-6 * sd, 6 * sd, 401), {sd});
      // E f crosses 0, and so is measured against sd; the variance and Jacobian against themselves.
      const Real s = slope;
      const auto truth = [&](double mean, double var) -> Moments<Real> {
        // f = s z + (1 - s) max(z, 0), with E (s z + (1 - s) r)^2 term by term.
        const Real root = std::sqrt(Real(var)), alpha = mean / root, upper = cdf(alpha);
        const Real f_mean = mean * (upper + s * (1 - upper)) + root * phi(alpha) * (1 - s);
        const Real upper_square = (Real(mean) * mean + var) * upper + mean * root * phi(alpha);
        const Real square = Real(mean) * mean + var;
        return {f_mean, upper_square + s * s * (square - upper_square) - f_mean * f_mean,
                upper + s * (1 - upper)};
      };
      const auto got = moments<T>({ActivationKind::leaky_relu, MomentsForm::exact, slope}, points);
      double largest = 0;
      for (std::size_t i = 0; i < points.size(); ++i) {
        const Moments<Real> expected = truth(points[i].mean, points[i].var);
        if (slope == 0.0f && points[i].mean < -4 * sd) continue;  // a ReLU, tested above
        largest = std::max({largest, error(got[i].mean, expected.mean, sd),
                            error(got[i].var, expected.var, 1e-30),
                            error(got[i].jacobian, expected.jacobian, 1e-30)});
      }
      CHECK(largest < tolerance<T>(2e-6, 1e-12));
    }
  }
}

TEST_CASE_TEMPLATE("exact Hardtanh", T, TAGIX_ELEMENT_TYPES) {
  const std::vector<Point> points =
      grid(linspace(-12, 12, 61), {1e-3, 0.1, 0.5, 1, 3, 5, 7.9, 8.1, 12, 30, 99, 101, 1000});
  const auto got = moments<T>(exact(ActivationKind::hardtanh), points);
  CHECK(largest_error(got, points, 1e-2, hardtanh_truth) < tolerance<T>(2e-4, 1e-8));
  // Small means keep their digits while nothing is clipped.
  const auto small = moments<T>(exact(ActivationKind::hardtanh), {{1e-6, 1e-4}, {-1e-6, 1e-4}});
  CHECK(error(small[0].mean, 1e-6, 1e-30) < 1e-6);
  CHECK(small[1].mean == -small[0].mean);
  CHECK(error(small[0].var, 1e-4, 1e-30) < 1e-6);
  const auto known = moments<T>(exact(ActivationKind::hardtanh), {{0.5, 0}, {-3, 0}, {0, 0}});
  CHECK((known[0].mean == 0.5 && known[0].var == 0 && known[0].jacobian == 1));
  CHECK((known[1].mean == -1 && known[1].var == 0 && known[1].jacobian == 0));
  CHECK((known[2].mean == 0 && known[2].var == 0 && known[2].jacobian == 1));
}

TEST_CASE_TEMPLATE("moments of smooth activations", T, TAGIX_ELEMENT_TYPES) {
  const std::vector<Point> points = grid(linspace(-12, 12, 97), {1e-3, 0.1, 0.5, 1, 2, 3, 3.5, 4});
  const std::vector<Point> wide = grid(linspace(-12, 12, 25), {0.54, 0.55, 6, 8, 12, 30});
  const auto check = [&](ActivationKind kind, double bound, const auto& value,
                         const auto& derivative) {
    CAPTURE(std::string(math::activation_name(kind)));
    const auto truth = [&](double mean, double var) {
      return integrated(value, derivative, mean, var);
    };
    CHECK(largest_error(moments<T>(exact(kind), points), points, 1.0, truth) < bound);
    if (kind != ActivationKind::softplus) {  // whose quadrature is meant for sd <= 4
      CHECK(largest_error(moments<T>(exact(kind), wide), wide, 1.0, truth) < bound);
    }
    // An activation is nearly linear over a small sd, and then its variance is accurate relative
    // to itself.
    const std::vector<Point> narrow = grid(linspace(-3, 3, 21), {1e-2, 0.1});
    const auto got = moments<T>(exact(kind), narrow);
    double largest = 0;
    for (std::size_t i = 0; i < narrow.size(); ++i) {
      largest = std::max(largest, error(got[i].var, truth(narrow[i].mean, narrow[i].var).var,
                                        narrow[i].var * 1e-3));
    }
    CHECK(largest < tolerance<T>(1e-3, 1e-5));
  };
  check(ActivationKind::sigmoid, 1e-6, sigmoid, [](double z) { return sigmoid(z) * sigmoid(-z); });
  check(
      ActivationKind::tanh, 3e-6, [](double z) { return std::tanh(z); },
      [](double z) { return 1 / (std::cosh(z) * std::cosh(z)); });
  check(ActivationKind::softplus, 1e-4, softplus, sigmoid);
  check(
      ActivationKind::silu, 2e-5, [](double z) { return z * sigmoid(z); },
      [](double z) { return sigmoid(z) * (1 + z * sigmoid(-z)); });
  check(
      ActivationKind::gelu, 1e-5, [](double z) { return z * normal_cdf(z); },
      [](double z) { return normal_cdf(z) + z * density(z); });
}

TEST_CASE_TEMPLATE("moments of softplus by the rule of small variances", T, TAGIX_ELEMENT_TYPES) {
  const double largest_sd = std::sqrt(double{math::Softplus::narrow_var}) * (1 - 1e-7);
  const auto moments_at = [](const std::vector<double>& sds) {
    const std::vector<Point> points = grid(linspace(-12, 12, 97), sds);
    return std::pair{moments<T>(exact(ActivationKind::softplus), points), points};
  };
  const auto truth = [](double mean, double var) {
    return integrated(softplus, sigmoid, mean, var);
  };
  const auto [got, points] = moments_at({1e-3, 0.1, 0.5, 1, largest_sd});
  CHECK(largest_error(got, points, 1.0, truth) < 3e-6);
  // Elements on either side of the limit share a vector, and each has its own rule.
  std::vector<Point> mixed;
  for (std::size_t i = 0; i < points.size(); ++i) {
    mixed.push_back(points[i]);
    mixed.push_back({points[i].mean, 4});
  }
  const auto both = moments<T>(exact(ActivationKind::softplus), mixed);
  for (std::size_t i = 0; i < points.size(); ++i) {
    CHECK(error(both[2 * i].mean, got[i].mean, 1.0) < 1e-7);
    CHECK(error(both[2 * i].var, got[i].var, 1.0) < 1e-7);
    CHECK(error(both[2 * i].jacobian, got[i].jacobian, 1.0) < 1e-7);
  }
  CHECK(largest_error(both, mixed, 1.0, truth) < 1e-4);
}

TEST_CASE_TEMPLATE("GELU against mpmath", T, TAGIX_ELEMENT_TYPES) {
  // E f, Var f and E f' by mpmath's quadrature with 40 digits.
  const std::vector<Point> points = {{-1, 0.25}, {0.5, 1}, {2, 4}, {-3, 9}};
  const std::vector<Moments<double>> truth = {
      {-0.125749976777708, 0.00315797934939336, -0.00580278078630238},
      {0.584085129886088, 0.577526429229817, 0.704414078170126},
      {2.10728029434643, 3.16850501565405, 0.862290681625564},
      {0.209796580118757, 0.614372178488897, 0.147258550679268}};
  const auto got = moments<T>(exact(ActivationKind::gelu), points);
  for (std::size_t i = 0; i < points.size(); ++i) {
    // The variance has an integral by 5 nodes.
    CHECK(error(got[i].mean, truth[i].mean, 0.1) < tolerance<T>(2e-6, 1e-13));
    CHECK(error(got[i].jacobian, truth[i].jacobian, 0.1) < tolerance<T>(2e-6, 1e-13));
    CHECK(error(got[i].var, truth[i].var, 0.1) < tolerance<T>(5e-6, 1e-6));
  }
}

TEST_CASE_TEMPLATE("Exp is log-normal", T, TAGIX_ELEMENT_TYPES) {
  const std::vector<Point> points = grid(linspace(-20, 10, 61), {0, 1e-3, 0.1, 1, 3});
  CHECK(largest_error(moments<T>(exact(ActivationKind::exp), points), points, 1e-30,
                      [](Real mean, Real var) -> Moments<Real> {
                        const Real f_mean = std::exp(mean + var / 2);
                        return {f_mean, f_mean * f_mean * std::expm1(var), f_mean};
                      }) < tolerance<T>(4e-6, 1e-14));
  // A large variance, of which a factor of the textbook's form overflows float32.
  CHECK(largest_error(moments<T>(exact(ActivationKind::exp), {{-100, 100}, {-130, 120}, {-95, 90}}),
                      {{-100, 100}, {-130, 120}, {-95, 90}}, 1e-30,
                      [](Real mean, Real var) -> Moments<Real> {
                        const Real f_mean = std::exp(mean + var / 2);
                        return {f_mean, std::exp(2 * (mean + var)) - f_mean * f_mean, f_mean};
                      }) < tolerance<T>(1e-5, 1e-13));
  const auto extreme = moments<T>(exact(ActivationKind::exp), {{-2000, 1000}});
  CHECK(extreme[0].mean == 0.0);
  CHECK(extreme[0].var == 0.0);
}

TEST_CASE_TEMPLATE("Identity", T, TAGIX_ELEMENT_TYPES) {
  for (const auto form : {MomentsForm::exact, MomentsForm::first_order}) {
    const auto got = moments<T>({ActivationKind::identity, form}, {{-1.5, 0.25}});
    CHECK((got[0].mean == -1.5 && got[0].var == 0.25 && got[0].jacobian == 1.0));
  }
}

TEST_CASE_TEMPLATE("first-order moments are f, f'^2 var and f' at the mean", T,
                   TAGIX_ELEMENT_TYPES) {
  const std::vector<Point> points = grid(linspace(-5, 5, 40), {0.5, 2});  // 0 and +-1 left out
  const auto check = [&](ActivationKind kind, const auto& value, const auto& derivative) {
    CAPTURE(std::string(math::activation_name(kind)));
    CHECK(largest_error(moments<T>({kind, MomentsForm::first_order, 0.25f}, points), points, 1e-2,
                        [&](double mean, double var) -> Moments<Real> {
                          const Real slope = derivative(mean);
                          return {value(mean), slope * slope * var, slope};
                        }) < tolerance<T>(4e-6, 1e-13));
  };
  check(
      ActivationKind::relu, [](double z) { return std::fmax(z, 0); },
      [](double z) { return z > 0 ? 1.0 : 0.0; });
  check(
      ActivationKind::leaky_relu, [](double z) { return z > 0 ? z : z / 4; },
      [](double z) { return z > 0 ? 1.0 : 0.25; });
  check(
      ActivationKind::hardtanh, [](double z) { return std::fmin(std::fmax(z, -1), 1); },
      [](double z) { return std::fabs(z) < 1 ? 1.0 : 0.0; });
  check(ActivationKind::sigmoid, sigmoid, [](double z) { return sigmoid(z) * sigmoid(-z); });
  check(
      ActivationKind::tanh, [](double z) { return std::tanh(z); },
      [](double z) { return 1 / (std::cosh(z) * std::cosh(z)); });
  check(ActivationKind::softplus, softplus, sigmoid);
  check(
      ActivationKind::silu, [](double z) { return z * sigmoid(z); },
      [](double z) { return sigmoid(z) * (1 + z * sigmoid(-z)); });
  check(
      ActivationKind::gelu, [](double z) { return z * normal_cdf(z); },
      [](double z) { return normal_cdf(z) + z * density(z); });
  check(
      ActivationKind::exp, [](double z) { return std::exp(z); },
      [](double z) { return std::exp(z); });
}

TEST_CASE("the quadrature rule has the moments of a standard normal to order 5") {
  const double truth[] = {1, 0, 1, 0, 3, 0};
  for (int power = 0; power <= 5; ++power) {
    double in_float = 0, in_double = 0;
    const auto rule = math::quadrature_rule<double>();
    for (int k = 0; k < math::n_quadrature_nodes; ++k) {
      in_float += static_cast<double>(math::quadrature_weights[k]) *
                  std::pow(static_cast<double>(math::quadrature_nodes[k]), power);
      in_double += rule.weight[k] * std::pow(rule.node[k], power);
    }
    CHECK(in_double == doctest::Approx(truth[power]).epsilon(1e-10));
    CHECK(in_float == doctest::Approx(truth[power]).epsilon(1e-6));
  }
}

TEST_CASE("the rule of small variances has the moments of a standard normal to order 23") {
  const auto rule = math::narrow_quadrature_rule<double>();
  double even = 1;  // E u^power = (power - 1) E u^(power - 2)
  for (int power = 0; power < 24; power += 2) {
    if (power > 0) even *= power - 1;
    double sum = 0, odd = 0, size = 0;
    for (int k = 0; k < rule.n_nodes; ++k) {
      const double term = rule.weight[k] * std::pow(rule.node[k], power);
      sum += term;
      odd += term * rule.node[k];
      size += std::fabs(term * rule.node[k]);
    }
    // Weights have 15 decimal places, of which the outermost leaves 9 digits.
    CHECK(sum == doctest::Approx(even).epsilon(1e-8));
    CHECK(std::fabs(odd) < 1e-12 * size);
  }
}

TEST_CASE_TEMPLATE("QuadratureSums of a function evaluated outside", T, TAGIX_ELEMENT_TYPES) {
  // f(z) = z^2: E f = mean^2 + var, Var f = 4 mean^2 var + 2 var^2, E f' = 2 mean.
  using S = Scalar<T>;
  const double mean = 1.5, sd = 0.75, var = sd * sd;
  math::QuadratureSums<T> sums(math::broadcast<T>(S(mean * mean)));
  for (int k = 0; k < math::n_quadrature_nodes; ++k) {
    const T z = math::broadcast<T>(S(mean) + S(sd) * S(math::quadrature_nodes[k]));
    sums.add(S(math::quadrature_weights[k]), z * z, 2 * z);
  }
  const math::ActivationMoments<T> got = sums.moments();
  CHECK(error(lane(got.mean, 0), mean * mean + var, 1) < 1e-6);
  CHECK(error(lane(got.var, 0), 4 * mean * mean * var + 2 * var * var, 1) < 2e-6);
  CHECK(error(lane(got.jacobian, 0), 2 * mean, 1) < 1e-6);
}

// Every lane runs the operations of scalar float, but the compiler may fuse other multiplications
// and additions in a vector than in a scalar; the variance of a Hardtanh, a difference, shows that
// most.
TEST_CASE_TEMPLATE("lanes agree with float", T, Float4, Float8, Float16) {
  const std::vector<Point> points = grid(linspace(-7.9, 8, 203), {0.1, 1, 3});
  for (int kind = 0; kind < math::n_activation_kinds; ++kind) {
    for (const auto form : {MomentsForm::exact, MomentsForm::first_order}) {
      const ActivationSpec spec{static_cast<ActivationKind>(kind), form};
      CAPTURE(std::string(math::activation_name(spec.kind)));
      const auto floats = moments<float>(spec, points);
      std::size_t i = 0;
      CHECK(largest_error(moments<T>(spec, points), points, 1e-2, [&](double, double) {
              const Moments<double>& each = floats[i++];
              return Moments<Real>{each.mean, each.var, each.jacobian};
            }) < 1e-5);
    }
  }
}

TEST_CASE("names") {
  const std::vector<std::string> names = {"Identity", "ReLU", "LeakyReLU", "Hardtanh",
                                          "Sigmoid",  "Tanh", "Softplus",  "SiLU",
                                          "GELU",     "Exp"};
  REQUIRE(names.size() == math::n_activation_kinds);
  for (int kind = 0; kind < math::n_activation_kinds; ++kind) {
    CHECK(math::activation_name(static_cast<ActivationKind>(kind)) == names[kind]);
    CHECK(math::has_both_forms(static_cast<ActivationKind>(kind)) == (names[kind] != "Identity"));
  }
}
