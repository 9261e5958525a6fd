#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "element_types.h"
#include "math/activations.h"

using namespace tagix::test;
namespace math = tagix::math;
using math::ActivationKind;
using math::ActivationSpec;
using math::MomentsForm;

namespace {

struct Slopes {
  double mean_by_mean, mean_by_var, var_by_mean, var_by_var;

  double at(int k) const {
    return k == 0 ? mean_by_mean : k == 1 ? mean_by_var : k == 2 ? var_by_mean : var_by_var;
  }
};

struct Point {
  double mean, var;  // exact in float
};

constexpr float negative_slope = 0.25f;

std::vector<Point> grid(const std::vector<double>& means, const std::vector<double>& sds) {
  std::vector<Point> points;
  for (const double sd : sds) {
    for (const double mean : means) {
      points.push_back({static_cast<float>(mean), static_cast<float>(sd * sd)});
    }
  }
  return points;
}

/// The slopes at each point, computed on Ts.
template <class T>
std::vector<Slopes> slopes(ActivationKind kind, MomentsForm form,
                           const std::vector<Point>& points) {
  std::vector<double> means, vars;
  for (const Point& point : points) {
    means.push_back(point.mean);
    vars.push_back(point.var);
  }
  const std::vector<T> mean = packed<T>(means), var = packed<T>(vars);
  std::vector<Slopes> result;
  math::visit_activation(ActivationSpec{kind, form, negative_slope}, [&](const auto& function) {
    for (std::size_t i = 0; i < mean.size(); ++i) {
      const math::ActivationSlopes<T> got = function.slopes(mean[i], var[i]);
      for (std::size_t j = 0; j < n_lanes<T> && result.size() < points.size(); ++j) {
        result.push_back({static_cast<double>(lane(got.mean_by_mean, j)),
                          static_cast<double>(lane(got.mean_by_var, j)),
                          static_cast<double>(lane(got.var_by_mean, j)),
                          static_cast<double>(lane(got.var_by_var, j))});
      }
    }
  });
  return result;
}

double density(double z) { return std::exp(-z * z / 2) / std::sqrt(2 * std::acos(-1.0)); }
double cdf(double z) { return std::erfc(-z / std::sqrt(2.0)) / 2; }
double sigmoid(double z) { return 1 / (1 + std::exp(-z)); }

/// f and f' as they are defined, and where f' jumps.
struct Function {
  ActivationKind kind;
  std::function<double(double)> value, derivative, second_derivative;
  std::vector<double> kinks;
};

std::vector<Function> functions() {
  const auto zero = [](double) { return 0.0; };
  const auto sigmoid_slope = [](double z) { return sigmoid(z) * sigmoid(-z); };
  return {
      {ActivationKind::identity, [](double z) { return z; }, [](double) { return 1.0; }, zero, {}},
      {ActivationKind::relu,
       [](double z) { return std::fmax(z, 0); },
       [](double z) { return z > 0 ? 1.0 : 0.0; },
       zero,
       {0}},
      {ActivationKind::leaky_relu,
       [](double z) { return z > 0 ? z : negative_slope * z; },
       [](double z) { return z > 0 ? 1.0 : double{negative_slope}; },
       zero,
       {0}},
      {ActivationKind::hardtanh,
       [](double z) { return std::clamp(z, -1.0, 1.0); },
       [](double z) { return std::fabs(z) < 1 ? 1.0 : 0.0; },
       zero,
       {-1, 1}},
      {ActivationKind::sigmoid,
       sigmoid,
       sigmoid_slope,
       [=](double z) { return sigmoid_slope(z) * (1 - 2 * sigmoid(z)); },
       {}},
      {ActivationKind::tanh,
       [](double z) { return std::tanh(z); },
       [](double z) { return 1 / (std::cosh(z) * std::cosh(z)); },
       [](double z) { return -2 * std::tanh(z) / (std::cosh(z) * std::cosh(z)); },
       {}},
      {ActivationKind::softplus,
       [](double z) { return std::fmax(z, 0) + std::log1p(std::exp(-std::fabs(z))); },
       sigmoid,
       sigmoid_slope,
       {}},
      {ActivationKind::silu,
       [](double z) { return z * sigmoid(z); },
       [=](double z) { return sigmoid(z) + z * sigmoid_slope(z); },
       [=](double z) { return sigmoid_slope(z) * (2 + z * (1 - 2 * sigmoid(z))); },
       {}},
      {ActivationKind::gelu,
       [](double z) { return z * cdf(z); },
       [](double z) { return cdf(z) + z * density(z); },
       [](double z) { return density(z) * (2 - z * z); },
       {}},
      {ActivationKind::exp,
       [](double z) { return std::exp(z); },
       [](double z) { return std::exp(z); },
       [](double z) { return std::exp(z); },
       {}},
  };
}

/// The slopes as expectations over u standard normal, z = mean + sd u, by Simpson's rule over 10
/// standard deviations on either side, cut where f' jumps:
///
///   E f',  E[f' u] / (2 sd),  2 E[(f - E f) f'],  E[(f - E f) f' u] / sd
Slopes integrated(const Function& f, double mean, double var) {
  const double sd = std::sqrt(var);
  std::vector<double> cuts{-10, 10};
  for (const double kink : f.kinks) cuts.push_back(std::clamp((kink - mean) / sd, -10.0, 10.0));
  std::sort(cuts.begin(), cuts.end());
  const auto expectation = [&](const auto& integrand) {
    double sum = 0;
    for (std::size_t c = 0; c + 1 < cuts.size(); ++c) {
      constexpr int n = 4000;
      const double step = (cuts[c + 1] - cuts[c]) / n;
      // At a cut, f' is that of the side in question.
      const double inside = 1e-9 * step;
      for (int i = 0; i <= n; ++i) {
        const double u = cuts[c] + step * i, side = i == 0 ? inside : i == n ? -inside : 0;
        const double weight = i == 0 || i == n ? 1 : i % 2 == 1 ? 4 : 2;
        const double z = mean + sd * u;
        sum += weight * step / 3 * density(u) *
               integrand(u, f.value(z), f.derivative(mean + sd * (u + side)));
      }
    }
    return sum;
  };
  const double f_mean = expectation([](double, double value, double) { return value; });
  return {
      expectation([](double, double, double slope) { return slope; }),
      expectation([&](double u, double, double slope) { return slope * u / (2 * sd); }),
      expectation([&](double, double value, double slope) { return 2 * (value - f_mean) * slope; }),
      expectation(
          [&](double u, double value, double slope) { return (value - f_mean) * slope * u / sd; })};
}

bool by_quadrature(ActivationKind kind) {
  using enum ActivationKind;
  return kind == sigmoid || kind == tanh || kind == softplus || kind == silu || kind == gelu;
}

/// Two moments of something, and how they follow those of z: the largest error of the slopes
/// against central differences, over means and variances, relative where a slope is above 1.
template <class SlopesAt, class MomentsAt>
double largest_error(const SlopesAt& slopes_at, const MomentsAt& moments_at) {
  double largest = 0;
  for (const Point& point : grid(linspace(-3.1, 3.2, 41), {0.2, 1, 2})) {
    const double h = 1e-5, m = point.mean, v = point.var;
    const auto got = slopes_at(m, v);
    const auto [right_mean, right_var] = moments_at(m + h, v);
    const auto [left_mean, left_var] = moments_at(m - h, v);
    const auto [wide_mean, wide_var] = moments_at(m, v * (1 + h));
    const auto [narrow_mean, narrow_var] = moments_at(m, v * (1 - h));
    const Slopes truth{(right_mean - left_mean) / (2 * h), (wide_mean - narrow_mean) / (2 * h * v),
                       (right_var - left_var) / (2 * h), (wide_var - narrow_var) / (2 * h * v)};
    const Slopes slopes{got.mean_by_mean, got.mean_by_var, got.var_by_mean, got.var_by_var};
    for (int k = 0; k < 4; ++k) {
      const double error =
          std::fabs(slopes.at(k) - truth.at(k)) / std::max(1.0, std::fabs(slopes.at(k)));
      if (!(error <= largest)) largest = std::isnan(error) ? HUGE_VAL : error;
    }
  }
  return largest;
}

/// Calls check(f, its moments) for every function in both forms.
template <class Check>
void for_both_forms(const Check& check) {
  for (const Function& f : functions()) {
    for (const MomentsForm form : {MomentsForm::exact, MomentsForm::first_order}) {
      INFO(std::string(math::activation_name(f.kind)),
           std::string(form == MomentsForm::exact ? " exact" : " first_order"));
      math::visit_activation(ActivationSpec{f.kind, form, negative_slope},
                             [&](const auto& function) { check(f, function); });
    }
  }
}

}  // namespace

TEST_CASE_TEMPLATE("slopes of exact moments against Simpson's rule", T, TAGIX_ELEMENT_TYPES) {
  for (const Function& f : functions()) {
    const bool grows = f.kind == ActivationKind::exp;
    const std::vector<Point> points =
        grid(linspace(grows ? -6 : -8, grows ? 3 : 8, 33), {0.1, 0.5, 1, grows ? 1.2 : 3});
    const std::vector<Slopes> got = slopes<T>(f.kind, MomentsForm::exact, points);
    double largest = 0;
    for (std::size_t i = 0; i < points.size(); ++i) {
      const Slopes truth = integrated(f, points[i].mean, points[i].var);
      for (int k = 0; k < 4; ++k) {
        const double error =
            std::fabs(got[i].at(k) - truth.at(k)) / std::max(1.0, std::fabs(truth.at(k)));
        if (!(error <= largest)) largest = std::isnan(error) ? HUGE_VAL : error;
      }
    }
    INFO(std::string(math::activation_name(f.kind)));
    // The rule of 30 nodes is good to 1e-4 at sd = 3, closed forms to what cancels.
    CHECK(largest < (by_quadrature(f.kind) ? 3e-4 : tolerance<T>(2e-5, 1e-8)));
  }
}

TEST_CASE("slopes are the derivatives of the moments, by differences in double") {
  for_both_forms([](const Function& f, const auto& function) {
    const auto moments = [&](double m, double v) {
      const auto own = function(m, v);
      return std::pair{own.mean, own.var};
    };
    const auto slopes_at = [&](double m, double v) { return function.slopes(m, v); };
    // The closed forms of the GELU do not go with the rule that gives its variance.
    CHECK(largest_error(slopes_at, moments) < (by_quadrature(f.kind) ? 3e-4 : 1e-8));
  });
}

TEST_CASE("slopes of z + f(z) are the derivatives of its moments, by differences in double") {
  for_both_forms([](const Function& f, const auto& function) {
    // As z and f(z) vary together by E f'.
    const auto moments = [&](double m, double v) {
      const auto own = function(m, v);
      return std::pair{m + own.mean, v + own.var + 2 * v * own.jacobian};
    };
    const auto slopes_at = [&](double m, double v) { return function.slopes_of_residual(m, v); };
    // By the rule of 30 nodes E f'' comes from two formulas, which differ a little at sd = 2.
    CHECK(largest_error(slopes_at, moments) < (by_quadrature(f.kind) ? 5e-5 : 1e-8));
  });
}

TEST_CASE_TEMPLATE("slopes of first-order moments are f', 0, 2 f' f'' var and f'^2", T,
                   TAGIX_ELEMENT_TYPES) {
  const std::vector<Point> points = grid(linspace(-5, 5, 40), {0.5, 2});  // 0 and +-1 left out
  for (const Function& f : functions()) {
    if (f.kind == ActivationKind::identity) continue;
    const std::vector<Slopes> got = slopes<T>(f.kind, MomentsForm::first_order, points);
    double largest = 0;
    for (std::size_t i = 0; i < points.size(); ++i) {
      const double slope = f.derivative(points[i].mean),
                   second = f.second_derivative(points[i].mean);
      const Slopes truth{slope, 0, 2 * slope * second * points[i].var, slope * slope};
      for (int k = 0; k < 4; ++k) {
        const double error =
            std::fabs(got[i].at(k) - truth.at(k)) / std::max(1.0, std::fabs(truth.at(k)));
        if (!(error <= largest)) largest = std::isnan(error) ? HUGE_VAL : error;
      }
    }
    INFO(std::string(math::activation_name(f.kind)));
    CHECK(largest < tolerance<T>(2e-6, 1e-13));
  }
}

TEST_CASE_TEMPLATE("slopes of the ReLU against mpmath", T, TAGIX_ELEMENT_TYPES) {
  // With 40 digits: Phi, phi / (2 sd), 2 E f (1 - Phi), Phi - E f phi / sd at alpha = mean / sd.
  const std::vector<Point> points = {{0, 1}, {1, 4}, {-6, 1}, {9, 1}};
  const std::vector<Slopes> truth = {
      {0.5, 0.1994711402007163, 0.3989422804014327, 0.3408450569081047},
      {0.6914624612740131, 0.08801633169107487, 0.8611857294082632, 0.445792488277519},
      {9.865876450376981e-10, 3.037941424911643e-9, 3.127139588856736e-10, 9.865876440876914e-10},
      {1.0, 5.139886785834457e-19, 2.031459130716913e-18, 1.0}};
  const std::vector<Slopes> got = slopes<T>(ActivationKind::relu, MomentsForm::exact, points);
  for (std::size_t i = 0; i < points.size(); ++i) {
    for (int k = 0; k < 4; ++k) {
      CAPTURE(k);
      // 2 E f (1 - Phi) is known to the rounding of Phi, which for mean = 9 is 1.
      const double rounding =
          k == 2 && points[i].mean > 0 ? points[i].mean * tolerance<T>(0x1p-23, 0x1p-52) : 0;
      CHECK(std::fabs(got[i].at(k) - truth[i].at(k)) <
            tolerance<T>(1e-5, 1e-9) * truth[i].at(k) + rounding);
    }
  }
}

TEST_CASE_TEMPLATE("slopes are finite where nothing varies", T, TAGIX_ELEMENT_TYPES) {
  for (const Function& f : functions()) {
    for (const double mean : {-2.5, 0.0, 0.7, 3.0}) {
      const Slopes got = slopes<T>(f.kind, MomentsForm::exact, {{mean, 0}})[0];
      INFO(std::string(math::activation_name(f.kind)), " at ", mean);
      if (mean != 0) CHECK(got.mean_by_mean == doctest::Approx(f.derivative(mean)).epsilon(1e-6));
      CHECK(std::isfinite(got.mean_by_mean));
      CHECK(std::isfinite(got.mean_by_var));
      CHECK(std::fabs(got.var_by_mean) < 1e-5);
      CHECK(std::isfinite(got.var_by_var));
    }
  }
}
