#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <vector>

#include "conformance/class_truth.h"
#include "element_types.h"
#include "math/classes.h"

using namespace tagix::test;
namespace math = tagix::math;
using tagix::conformance::ClassTree;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// r = phi(beta) / Phi(beta) by mpmath with 60 digits.
struct Slope {
  double beta, value;
};
constexpr Slope slopes_table[] = {
    {-300.0, 300.003333259263374},  {-40.0, 40.0249688472072637},   {-20.0, 20.0497530685278505},
    {-12.5, 12.5790073044069761},   {-12.0, 12.0822141752542843},   {-11.0, 11.0894650297151724},
    {-6.0, 6.15848260454459892},    {-2.0, 2.37321553282284087},    {-0.5, 1.14107777036806448},
    {0.0, 0.797884560802865356},    {0.5, 0.509160433837033486},    {2.0, 0.0552478626789899591},
    {4.0, 0.000133834464468575142}, {8.0, 5.05227108353689543e-15}, {11.0, 2.11881925350935355e-27},
};

/// The posterior of z ~ N(mean, var) after a branch to the right, P(right | z) = Phi(z): its
/// probability, mean and variance by the trapezoid rule.
struct Posterior {
  double probability = 0, mean = 0, var = 0;

  Posterior(double prior_mean, double prior_var) {
    const double sd = std::sqrt(prior_var), step = std::fmin(sd, 1) / 8;
    double first = 0, second = 0;
    for (double z = prior_mean - 14 * sd; z <= prior_mean + 14 * sd; z += step) {
      const double u = (z - prior_mean) / sd;
      const double weight = std::exp(-u * u / 2) * std::erfc(-z / std::sqrt(2.0)) / 2 * step / sd;
      probability += weight / std::sqrt(8 * std::atan(1.0));
      first += weight * u;
      second += weight * u * u;
    }
    const double total = probability * std::sqrt(8 * std::atan(1.0));
    first /= total;
    mean = prior_mean + sd * first;
    var = prior_var * (second / total - first * first);
  }
};

template <class T>
T of(double value) {
  return math::broadcast<T>(static_cast<Scalar<T>>(value));
}

template <class T>
double value_of(const T& x) {
  return static_cast<double>(lane(x, 0));
}

bool close(double got, double truth, double tolerance) {
  return std::fabs(got - truth) <= tolerance * std::fabs(truth);
}

/// A sum of log-normal M_i, each with mean and variance, as math::RemaxShare has it.
math::RemaxShare<double> share_of(double mean, double var, double slope, double total,
                                  double total_var) {
  return math::remax_share(math::ActivationMoments<double>{mean, var, slope}, total, total_var);
}

}  // namespace

TEST_CASE_TEMPLATE("the slopes of log Phi against mpmath", T, TAGIX_ELEMENT_TYPES) {
  for (const Slope& truth : slopes_table) {
    CAPTURE(truth.beta);
    // Above 0 rounding of beta^2 / 2 counts; beyond 12 the expansion is cut off.
    const double bound = truth.beta > 4     ? tolerance<T>(1.5e-5, 1e-13)
                         : truth.beta < -12 ? 2e-6
                                            : tolerance<T>(1.5e-6, 1e-13);
    CHECK(close(value_of(math::probit_slopes(of<T>(truth.beta)).right), truth.value, bound));
    CHECK(close(value_of(math::probit_slopes(of<T>(-truth.beta)).left), truth.value, bound));
  }
}

TEST_CASE_TEMPLATE("a branch gives the mean of the exact posterior and the expected information", T,
                   TAGIX_ELEMENT_TYPES) {
  for (double var : {0.0625, 0.5, 2.0, 64.0}) {
    for (double mean : {-6.0, -1.5, 0.0, 0.25, 2.0}) {
      const Posterior right(mean, var), left(-mean, var);
      const double right_score = (right.mean - mean) / var, left_score = (left.mean + mean) / var;
      // The score is 0 on average, and its variance is the information.
      CHECK(std::fabs(right.probability * right_score - left.probability * left_score) < 1e-10);
      const double information = right.probability * right_score * right_score +
                                 left.probability * left_score * left_score;
      for (double spread : {1.0, 4.0, 100.0}) {
        const double share = 1 / (1 + information * var * (spread - 1));
        for (double branch : {-1.0, 1.0}) {
          CAPTURE(var);
          CAPTURE(mean);
          CAPTURE(spread);
          CAPTURE(branch);
          const math::Innovation<T> got =
              math::probit_innovation(of<T>(mean), of<T>(var), of<T>(branch), of<T>(spread));
          const double score = branch > 0 ? right_score : -left_score;
          const double bound = tolerance<T>(2e-5, 1e-8);
          CHECK(std::fabs(value_of(got.delta_mean) - score * share) <=
                bound * std::fabs(score) * share + 1e-12);
          CHECK(close(-value_of(got.delta_var), information * share, bound));
          const T probability = math::probit_probability(of<T>(branch * mean * 2), of<T>(var));
          CHECK(close(value_of(probability), Posterior(branch * mean * 2, var).probability,
                      tolerance<T>(2e-5, 1e-9)));
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("no branch says nothing, and no extreme is infinite", T, TAGIX_ELEMENT_TYPES) {
  const T spread = of<T>(1);
  for (double mean : {0.0, 30.0, -30.0, 1e4, -1e4, 1e15, -1e15}) {
    for (double var : {0.0, 1e-8, 1.0, 1e4, 1e12}) {
      CAPTURE(mean);
      CAPTURE(var);
      const auto none = math::probit_innovation(of<T>(mean), of<T>(var), of<T>(0), spread);
      CHECK(value_of(none.delta_mean) == 0);
      CHECK(value_of(none.delta_var) == 0);
      for (double branch : {-1.0, 1.0}) {
        const auto got = math::probit_innovation(of<T>(mean), of<T>(var), of<T>(branch), spread);
        const double delta_mean = branch * value_of(got.delta_mean);
        // Towards the branch; far on the other side, as if z had been seen at 0 with noise of 1.
        CHECK(delta_mean >= 0);
        CHECK(delta_mean < infinity);
        // A branch says most where both are as likely: 2 / pi of a number with noise of 1.
        CHECK(-value_of(got.delta_var) >= 0);
        CHECK(-value_of(got.delta_var) <= (1 + 1e-6) * 2 / std::numbers::pi / (1 + var));
        const double beta = branch * mean / std::sqrt(1 + var);
        if (beta < -100) CHECK(close(delta_mean, -branch * mean / (1 + var), 1e-3));
        if (beta > 12) CHECK(delta_mean < 1e-31);
      }
    }
  }
}

TEST_CASE("paths are those of a balanced tree, for every number of classes") {
  for (std::int64_t n_classes = 2; n_classes <= 70; ++n_classes) {
    CAPTURE(n_classes);
    const ClassTree tree(n_classes);
    std::size_t shortest = 1000, longest = 0;
    std::vector<int> met(static_cast<std::size_t>(n_classes - 1));
    for (std::int64_t label = 0; label < n_classes; ++label) {
      const ClassTree::Path& path = tree.to(label);
      shortest = std::min(shortest, path.size());
      longest = std::max(longest, path.size());
      std::vector<double> branches(static_cast<std::size_t>(n_classes - 1));
      for (const auto& [output, sign] : path) {
        branches[static_cast<std::size_t>(output)] = sign;
        ++met[static_cast<std::size_t>(output)];
      }
      for (std::int64_t output = 0; output < n_classes - 1; ++output) {
        CHECK(math::tree_branch<double>(n_classes, label, output) ==
              branches[static_cast<std::size_t>(output)]);
      }
    }
    CHECK(longest <= shortest + 1);
    for (int count : met) CHECK(count >= 2);
    CHECK(met[0] == n_classes);
  }
}

TEST_CASE("labels are integers from 0 to n_classes - 1, and -1 for all else") {
  const math::ClassHead head{math::ClassLink::tree, 5, 0};
  CHECK(head.exists());
  CHECK(head.n_outputs() == 4);
  CHECK(math::ClassHead{math::ClassLink::remax, 5, 0.1f}.n_outputs() == 5);
  CHECK(!math::ClassHead{}.exists());
  for (int label = 0; label < 5; ++label) CHECK(head.label_of(static_cast<float>(label)) == label);
  for (float none : {-1.0f, 5.0f, -0.5f, 1e30f, std::numeric_limits<float>::quiet_NaN(),
                     std::numeric_limits<float>::infinity()}) {
    CHECK(head.label_of(none) == -1);
  }
}

TEST_CASE("probabilities of a tree are products along its paths") {
  for (std::int64_t n_classes : {2, 3, 7, 10, 33}) {
    CAPTURE(n_classes);
    const auto n = static_cast<std::size_t>(n_classes - 1);
    std::vector<float> mean, var;
    for (std::size_t i = 0; i < n; ++i) {
      mean.push_back(static_cast<float>(2 * std::sin(1 + 3.0 * static_cast<double>(i))));
      var.push_back(static_cast<float>(std::exp(std::cos(5.0 * static_cast<double>(i)))));
    }
    const ClassTree tree(n_classes);
    double sum = 0;
    for (std::int64_t label = 0; label < n_classes; ++label) {
      double truth = 1;
      for (const auto& [output, sign] : tree.to(label)) {
        const auto i = static_cast<std::size_t>(output);
        truth *= Posterior(sign * mean[i], var[i]).probability;
      }
      const double got = math::tree_probability<double>(mean.data(), var.data(), n_classes, label);
      CHECK(close(got, truth, 1e-9));
      sum += got;
      const math::RecordedClass recorded = math::recorded_class(
          {math::ClassLink::tree, n_classes, 0}, mean.data(), var.data(), label);
      CHECK(close(recorded.probability, truth, 1e-9));
      CHECK(close(recorded.squared_error, (1 - truth) * (1 - truth), 1e-9));
      CHECK(close(recorded.var, truth * (1 - truth), 1e-9));
      CHECK(close(recorded.chi_square, (1 / truth - 1) / static_cast<double>(n_classes - 1), 1e-9));
      CHECK(close(recorded.log_likelihood, std::log(truth), 1e-8));
    }
    CHECK(close(sum, 1, 1e-13));
  }
}

TEST_CASE("a label that the tree holds for impossible counts as one of 1e-30") {
  const float mean[] = {-1000, -1000}, var[] = {1, 1};
  const math::RecordedClass recorded =  // right of the root
      math::recorded_class({math::ClassLink::tree, 3, 0}, mean, var, 0);
  CHECK(recorded.probability == 1e-30);
  CHECK(close(recorded.log_likelihood, -30 * std::log(10.0), 1e-12));
  CHECK(close(recorded.chi_square, 5e29, 1e-12));
}

TEST_CASE("a share has the moments of a ratio of log-normal variables") {
  const double slope = 0.7;
  for (double mean : {0.02, 1.0, 40.0}) {
    for (double var : {1e-6, 0.3, 90.0}) {
      for (double others : {0.05, 3.0}) {
        for (double other_var : {1e-4, 2.0}) {
          const double total = mean + others, total_var = var + other_var;
          const double a = std::log1p(var / (mean * mean));
          const double b = std::log1p(total_var / (total * total));
          const double c = std::log1p(var / (mean * total));
          const double log_var = a + b - 2 * c;
          const double expected =
              std::exp(std::log(mean) - a / 2 - std::log(total) + b / 2 + log_var / 2);
          const double expected_var = expected * expected * std::expm1(log_var);
          const double covariance = mean * expected * std::expm1(a - c);
          const auto got = share_of(mean, var, slope, total, total_var);
          CHECK(close(got.mean, expected, 1e-12));
          CHECK(std::fabs(got.var - std::fmax(expected_var, 0)) <=
                1e-12 * expected * expected * (1 + std::exp(log_var)));
          CHECK(close(got.jacobian, slope * covariance / var, 1e-9));
        }
      }
    }
  }
}

TEST_CASE("where outputs are nearly certain, shares are those of a Taylor series") {
  // E M / S to the second order and the slope to the first, for independent M_i.
  const double means[] = {0.5, 1.0, 2.5};
  const double var = 1e-6, total = 4, total_var = 3 * var;
  for (double mean : means) {
    const auto got = share_of(mean, var, 1, total, total_var);
    const double share = mean / total;
    const double shift = mean * total_var / (total * total * total) - var / (total * total);
    CHECK(std::fabs(got.mean - share - shift) <= 1e-11);
    CHECK(close(got.jacobian, (1 - share) / total, 1e-5));
    const double of_itself = (1 - share) / total, of_others = share / total;
    CHECK(close(got.var, var * (of_itself * of_itself + 2 * of_others * of_others), 1e-4));
  }
}

TEST_CASE("a unit that is off has no share, one alone has all of it") {
  const auto off = share_of(0, 0, 0, 1, 0.5);
  CHECK(off.mean == 0);
  CHECK(off.var == 0);
  CHECK(off.jacobian == 0);
  const auto alone = share_of(2, 0.5, 1, 2, 0.5);
  CHECK(close(alone.mean, 1, 1e-15));
  CHECK(alone.var <= 1e-15);
  CHECK(alone.jacobian == 0);
}

TEST_CASE("labels of the shares' own probabilities change shares by nothing, at any batch size") {
  // What is left of the mean over labels is what the sum says of the scale.
  const std::vector<float> mean{-1, 0.5f, 2, 0.1f}, var{0.5f, 0.2f, 3, 0.1f};
  const math::RemaxTotals totals = math::remax_totals(mean.data(), var.data(), 4);
  const double scale = 4 / std::sqrt(2 * std::numbers::pi);
  for (double spread : {1.0, 3.5, 100.0}) {
    for (std::size_t i = 0; i < 4; ++i) {
      const auto unit = math::remax_unit<double>(mean[i], var[i]);
      const auto share = math::remax_share<double>(unit, totals.mean, totals.var);
      const auto given = [&](double label) {
        return math::remax_innovation<double>(unit, totals, 4, label, 0.01, spread);
      };
      const double total = totals.var * spread + scale * scale;
      CHECK(std::fabs(share.mean * given(1).delta_mean + (1 - share.mean) * given(0).delta_mean -
                      unit.jacobian * (scale - totals.mean) / total) < 1e-12);
      const double label_var = share.mean * (1 - share.mean) + share.var * (spread - 1) + 0.01;
      const double information =
          share.jacobian * share.jacobian / label_var + unit.jacobian * unit.jacobian / total;
      CHECK(close(-given(1).delta_var, information, 1e-12));
      CHECK(given(1).delta_var == given(0).delta_var);
    }
  }
}

TEST_CASE("a softmax of two classes is the expectation of a sigmoid, to MacKay's approximation") {
  for (double difference : {0.0, 0.5, 2.0, 6.0}) {
    for (double var : {1e-4, 0.3, 2.0, 20.0}) {
      CAPTURE(difference);
      CAPTURE(var);
      const float mean[] = {static_cast<float>(difference) + 7, 7};
      const float vars[] = {static_cast<float>(0.25 * var), static_cast<float>(0.75 * var)};
      double truth = 0;
      const int n_steps = 4000;
      for (int i = 0; i <= n_steps; ++i) {
        const double u = 20.0 * i / n_steps - 10;
        const double z = difference + std::sqrt(var) * u;
        truth += 20.0 / n_steps * std::exp(-u * u / 2) / std::sqrt(2 * std::numbers::pi) /
                 (1 + std::exp(-z));
      }
      const double got = math::softmax_probability(mean, vars, 2, 0);
      CHECK(std::fabs(got - truth) < (var < 1e-3 ? 1e-4 : 0.02));
      CHECK(close(got + math::softmax_probability(mean, vars, 2, 1), 1, 1e-14));
    }
  }
}

TEST_CASE("a softmax is that of the means where they are known, and 1/n where they are not") {
  const float means[] = {1, -2, 0.5f, 3, 3};
  double total = 0;
  for (float mean : means) total += std::exp(static_cast<double>(mean));
  for (float var : {0.0f, 1e12f}) {
    const std::vector<float> vars(5, var);
    for (std::int64_t label = 0; label < 5; ++label) {
      const double truth = var > 0 ? 0.2 : std::exp(static_cast<double>(means[label])) / total;
      CHECK(close(math::softmax_probability(means, vars.data(), 5, label), truth, 1e-5));
    }
  }
}

TEST_CASE("the probabilities of a softmax do not change where all outputs move by the same") {
  const float low[] = {-4, 0, 2, 5}, high[] = {60, 64, 66, 69}, var[] = {3, 0.1f, 9, 1};
  for (std::int64_t label = 0; label < 4; ++label) {
    CHECK(math::softmax_probability(low, var, 4, label) ==
          math::softmax_probability(high, var, 4, label));
  }
}

TEST_CASE("no output of a softmax is too far for its moments") {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<std::vector<float>> rows{
      {0, 300, -300}, {-1e30f, 0, 1e30f}, {5, 5, 5}, {1e4f, 1e4f, 0}, {-300, -300, -301}};
  for (const std::vector<float>& mean : rows) {
    for (float scale : {0.0f, 1e-6f, 1.0f, 1e6f}) {
      const std::vector<float> var{scale, 2 * scale, 3 * scale};
      const math::SoftmaxTotals totals = math::softmax_totals(mean.data(), var.data(), 3);
      double sum = 0;
      for (std::int64_t i = 0; i < 3; ++i) {
        const double p = math::softmax_probability(mean.data(), var.data(), 3, i);
        CHECK(p >= 0);
        CHECK(p <= 1);
        sum += p;
        const auto term = i == totals.top
                              ? math::softmax_top_term(totals)
                              : math::softmax_term(totals, mean[static_cast<std::size_t>(i)],
                                                   var[static_cast<std::size_t>(i)]);
        CHECK(term.slope > 0);
        CHECK(term.slope <= 1);
        CHECK(term.weight < inf);
      }
      CHECK(close(sum, 1, 1e-12));
    }
  }
}

TEST_CASE_TEMPLATE("labels of a softmax's own probabilities teach nothing, at any batch size", T,
                   TAGIX_ELEMENT_TYPES) {
  const double p = 0.02, slope = 0.7, var = 1.5;
  for (double spread : {1.0, 3.5, 100.0}) {
    const auto given = [&](bool label) {
      return math::softmax_innovation(of<T>(slope), of<T>(p), of<T>(1 - p),
                                      of<T>(label ? 1 - p : -p), of<T>(var), of<T>(spread));
    };
    const double information = slope * slope * p * (1 - p);
    const double share = 1 / (1 + information * var * (spread - 1));
    const double bound = tolerance<T>(1e-6, 1e-14);
    CHECK(close(value_of(given(true).delta_mean), slope * (1 - p) * share, bound));
    CHECK(close(value_of(given(false).delta_mean), -slope * p * share, bound));
    CHECK(close(-value_of(given(true).delta_var), information * share, bound));
    CHECK(value_of(given(true).delta_var) == value_of(given(false).delta_var));
  }
}

TEST_CASE("remax probabilities are shares that sum to 1, and even where all units are off") {
  const std::vector<float> mean{-1, 0.5f, 2, -40}, var{0.5f, 0.2f, 3, 0.1f};
  const tagix::conformance::RemaxTruth truth(mean.data(), var.data(), 4);
  double sum = 0;
  for (std::int64_t label = 0; label < 4; ++label) {
    const double got = math::remax_probability(mean.data(), var.data(), 4, label);
    CHECK(close(got, truth.probabilities[static_cast<std::size_t>(label)], 2e-6));
    sum += got;
  }
  CHECK(close(sum, 1, 1e-14));
  const std::vector<float> all_off(5, -100), small(5, 1e-4f);
  for (std::int64_t label = 0; label < 5; ++label) {
    CHECK(close(math::remax_probability(all_off.data(), small.data(), 5, label), 0.2, 1e-12));
  }
}
