#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include "conformance/arrays.h"
#include "conformance/random_inputs.h"

namespace tagix::conformance {

// What the outputs of a network say of classes, in float64 and by other roads than math/classes.h:
// probits by numerical integration, paths by a tree built from its root, shares by the moments of
// log-normal variables in exp and log.

inline double normal_tail(double a) { return 0.5 * std::erfc(a / std::numbers::sqrt2); }
inline double standard_normal(double x) {
  return std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi);
}

/// What is learned of z ~ N(mean, var) from a branch to the right, P(right | z) = Phi(z). With
/// Z = E Phi(z), integrated over a grid:
///
///   score = d log Z / d mean,   information = (d Z / d mean)^2 / (Z (1 - Z))
///
/// the latter as expected before the branch is seen, where the derivative of Z is E phi(z).
struct ProbitTruth {
  double probability, score, information;
  /// The relative errors of the score, of the information and of the probability for one in
  /// beta = mean / sqrt(1 + var), where that counts.
  double score_condition, information_condition, probability_condition;

  ProbitTruth(double mean, double var) {
    const double sd = std::sqrt(var);
    const auto hazard = [](double z) { return standard_normal(z) / normal_tail(-z); };
    // The mode of N(z; mean, var) Phi(z): (z - mean) / var falls short of the hazard below it.
    double low = mean, high = mean + var * hazard(mean);
    for (int i = 0; i < 200; ++i) {
      const double middle = (low + high) / 2;
      (middle - mean < var * hazard(middle) ? low : high) = middle;
    }
    const double mode = low, mode_of_density = mean / (1 + var);
    const double step = std::min(sd, 1.0) / 4;
    const double first = std::min(mode, mode_of_density) - 9 * sd;
    const double last = std::max(mode, mode_of_density) + 9 * sd;
    double total = 0, slope = 0;
    for (double z = first; z <= last; z += step) {
      const double weight = step / sd * standard_normal((z - mean) / sd);
      total += weight * normal_tail(-z);
      slope += weight * standard_normal(z);
    }
    const double beta = mean / std::sqrt(1 + var);
    const double other = normal_tail(beta);  // E Phi(-z), in closed form
    probability = total;
    score = slope / total;
    information = score * slope / other;
    score_condition = beta > 0 ? 1 + beta * beta : 1;
    information_condition = 1 + beta * beta;
    probability_condition = beta < 0 ? 1 + beta * beta : 1;
  }
};

/// A balanced tree over classes: the outputs of the nodes on the way from the root to each leaf,
/// and the branches taken there, 1 for right and -1 for left.
struct ClassTree {
  struct Branch {
    Index output;
    double sign;
  };
  using Path = std::vector<Branch>;

  std::vector<Path> paths;

  explicit ClassTree(Index n_classes) : paths(static_cast<std::size_t>(n_classes)) {
    descend(1, n_classes, {});
  }

  const Path& to(Index label) const { return paths[static_cast<std::size_t>(label)]; }

 private:
  void descend(Index node, Index n_classes, Path path) {
    if (node >= n_classes) {
      paths[static_cast<std::size_t>(node - n_classes)] = std::move(path);
      return;
    }
    path.push_back({node - 1, -1});
    descend(2 * node, n_classes, path);
    path.back().sign = 1;
    descend(2 * node + 1, n_classes, std::move(path));
  }
};

/// The shares of a row of outputs: for log-normal M_i = max(z_i, 0) and sum S, with
///
///   log A_i = log M_i - log S ~ N(mu_i - mu, s_i + s - 2 c_i)
///
/// the means, variances and Jacobians Cov(z_i, A_i) / Var z_i = P(z_i > 0) Cov(M_i, A_i) / Var M_i.
struct RemaxTruth {
  struct Share {
    double mean, var, jacobian;
    double unit_slope;                         ///< P(z_i > 0)
    double var_magnitude, jacobian_magnitude;  ///< of terms that cancel
    double condition;  ///< relative errors for one in the ratios of means to standard deviations
  };
  std::vector<Share> shares;
  std::vector<double> probabilities;
  double total, total_var;  ///< moments of the sum

  RemaxTruth(const float* mean, const float* var, Index n) {
    struct Unit {
      double mean, var, jacobian, condition;
    };
    std::vector<Unit> units;
    total = total_var = 0;
    double condition = 0, var_condition = 0;
    for (Index i = 0; i < n; ++i) {
      const double sd = std::sqrt(static_cast<double>(var[i])), a = mean[i] / sd,
                   far = std::fabs(a);
      const double tail = normal_tail(far), density = standard_normal(far);
      // (X - far)+ of a standard normal X.
      const double first = density - far * tail, second = (1 + far * far) * tail - far * density;
      const double of_tail = std::max(second - first * first, 0.0);
      const Unit unit =
          a < 0 ? Unit{sd * first, sd * sd * of_tail, tail, 1 + a * a}
                : Unit{mean[i] + sd * first, sd * sd * (1 - 2 * tail + of_tail), 1 - tail, 1};
      units.push_back(unit);
      total += unit.mean;
      total_var += unit.var;
      condition += unit.mean * unit.condition;
      var_condition += unit.var * unit.condition;
    }
    condition = std::sqrt(static_cast<double>(n)) + (total > 0 ? condition / total : 0) +
                (total_var > 0 ? var_condition / total_var : 0);
    total = std::max(total, 1e-6);
    const double log_var = std::log1p(total_var / (total * total));
    const double log_mean = std::log(total) - log_var / 2;
    double sum = 0;
    for (const Unit& unit : units) {
      Share share{0, 0, 0, unit.jacobian, 0, 0, condition + unit.condition};
      // Below that log-normal moments of float64 are lost; the shares are 0 in float32.
      if (unit.mean > 1e-60) {
        const double unit_log_var = std::log1p(unit.var / (unit.mean * unit.mean));
        const double unit_log_mean = std::log(unit.mean) - unit_log_var / 2;
        const double covariance = std::log1p(unit.var / (unit.mean * total));
        const double spread = unit_log_var + log_var - 2 * covariance;
        share.mean = std::exp(unit_log_mean - log_mean + spread / 2);
        share.var = std::max(share.mean * share.mean * std::expm1(spread), 0.0);
        share.var_magnitude = share.mean * share.mean * (std::exp(spread) + 1);
        // Cov(M, A) = E M E A (exp(Cov(log M, log A)) - 1), over Var M.
        const double relative = unit.mean / unit.var;
        const double slope = unit.jacobian * share.mean * relative;
        share.jacobian = slope * std::expm1(unit_log_var - covariance);
        share.jacobian_magnitude =
            std::fabs(share.jacobian) * (1 + 2 * unit.mean / std::max(total - unit.mean, 1e-300));
        if (unit.mean >= total) share.jacobian = 0, share.jacobian_magnitude = slope;
      }
      shares.push_back(share);
      sum += share.mean + 1e-6;
    }
    for (const Share& share : shares) probabilities.push_back((share.mean + 1e-6) / sum);
  }
};

/// A softmax of Gaussian outputs: with p that of their means, each class against the rest has
/// log odds of the variance t_i = var_i + sum_{j != i} (p_j / (1 - p_i))^2 var_j, and
/// P_i is p_i^k_i, k_i = 1 / sqrt(1 + pi/8 t_i), of the sum of these.
struct SoftmaxTruth {
  struct Class {
    double slope;        ///< k_i
    double probability;  ///< P_i
    double rest;         ///< 1 - P_i, without cancellation
    double condition;    ///< relative errors for one in an output
  };
  std::vector<Class> classes;

  SoftmaxTruth(const float* mean, const float* var, Index n) {
    double largest = 0;
    std::vector<double> log_weights;
    for (Index i = 0; i < n; ++i) {
      largest = std::max(largest, std::fabs(static_cast<double>(mean[i])));
      // Relative to the greatest of the others, which no exponential underflows.
      double next = -1e300;
      for (Index j = 0; j < n; ++j) next = j != i ? std::max<double>(next, mean[j]) : next;
      double sum = 0, others_var = 0;
      for (Index j = 0; j < n; ++j) {
        if (j == i) continue;
        const double e = std::exp(mean[j] - next);
        sum += e;
        others_var += e * e * var[j];
      }
      const double log_odds = mean[i] - next - std::log(sum);
      const double log_share = log_odds > 0 ? -std::log1p(std::exp(-log_odds))
                                            : log_odds - std::log1p(std::exp(log_odds));
      const double slope =
          1 / std::sqrt(1 + std::numbers::pi / 8 * (var[i] + others_var / (sum * sum)));
      log_weights.push_back(slope * log_share);
      classes.push_back({slope, 0, 0, 0});
    }
    double total = 0, condition = 0;
    for (double log_weight : log_weights) total += std::exp(log_weight);
    for (std::size_t i = 0; i < classes.size(); ++i) {
      Class& own = classes[i];
      own.probability = std::exp(log_weights[i]) / total;
      for (std::size_t j = 0; j < classes.size(); ++j) {
        if (j != i) own.rest += std::exp(log_weights[j]) / total;
      }
      // Of the logarithm by rounding of outputs, and of the slope by that of exponentials.
      own.condition = 1 + 4 * largest * (own.slope - log_weights[i]);
      condition += own.probability * own.condition;
    }
    for (Class& own : classes) own.condition += condition + std::sqrt(static_cast<double>(n));
  }
};

/// Classes by one regression each: log w_i = sharpness log Phi((mean_i - 1/2) / sqrt(var_i +
/// link_var)), and P_i is w_i of the sum of these.
struct OneVsRestTruth {
  struct Class {
    double probability;
    double condition;  ///< relative errors for one in an output
  };
  std::vector<Class> classes;

  OneVsRestTruth(const math::ClassHead& head, const float* mean, const float* var) {
    const double sharpness = head.sharpness;
    std::vector<double> log_weights;
    for (Index i = 0; i < head.n_classes; ++i) {
      const double sd = std::sqrt(static_cast<double>(var[i]) + head.link_var);
      const double beta = (mean[i] - 0.5) / sd, log_probit = log_normal_cdf(beta);
      const double hazard = std::exp(-beta * beta / 2 - log_probit) * standard_normal(0);
      const double rounding = (std::fabs(mean[i]) + 0.5) / sd + std::fabs(beta);
      log_weights.push_back(sharpness * log_probit);
      classes.push_back({0, 1 + sharpness * (hazard * rounding - 2 * log_probit)});
    }
    const double top = *std::max_element(log_weights.begin(), log_weights.end());
    double total = 0, condition = std::sqrt(static_cast<double>(head.n_classes));
    for (double log_weight : log_weights) total += std::exp(log_weight - top);
    for (std::size_t i = 0; i < classes.size(); ++i) {
      classes[i].probability = std::exp(log_weights[i] - top) / total;
      condition += classes[i].probability * classes[i].condition;
    }
    for (Class& own : classes) own.condition += condition;
  }

  /// Far out by the continued fraction of the Mills ratio, 1 / (a + 1 / (a + 2 / (a + ...))).
  static double log_normal_cdf(double x) {
    if (x > -5) return std::log1p(-normal_tail(x));
    double denominator = -x;
    for (int k = 200; k > 0; --k) denominator = k / denominator - x;
    return -x * x / 2 + std::log(standard_normal(0) / denominator);
  }
};

/// How extreme the outputs of a test are; or that many of a row have the same mean, so that none of
/// them alone is the greatest.
enum class Outputs { ordinary, extreme, tied };

/// Outputs and labels of rows with so many classes, of which a part is missing.
struct ClassProblem {
  math::ClassHead head;
  HostGaussians prediction;
  std::vector<float> target;

  ClassProblem(const math::ClassHead& head, Index rows, Outputs outputs, double missing_share)
      : head(head) {
    RandomInputs random(rows + 83 * head.n_classes);
    const Index size = rows * head.n_outputs();
    const bool extreme = outputs == Outputs::extreme;
    prediction = {
        rows, head.n_outputs(), random.uniforms(size, extreme ? -30 : -2, extreme ? 30 : 2),
        extreme ? random.log_uniforms(size, 1e-8, 1e4) : random.log_uniforms(size, 1e-3, 2)};
    if (outputs == Outputs::tied) {
      for (float& mean : prediction.mean) mean = std::round(mean / 2);
    }
    for (Index row = 0; row < rows; ++row) {
      target.push_back(random.chance(missing_share)
                           ? std::numeric_limits<float>::quiet_NaN()
                           : static_cast<float>(random.below(head.n_classes)));
    }
  }

  bool is_tree() const { return head.link == math::ClassLink::tree; }
  bool is_softmax() const { return head.link == math::ClassLink::softmax; }
  bool is_one_vs_rest() const { return head.link == math::ClassLink::one_vs_rest; }
  Index first_of(Index row) const { return row * prediction.cols; }
  const float* mean(Index row) const { return prediction.mean.data() + first_of(row); }
  const float* var(Index row) const { return prediction.var.data() + first_of(row); }
  std::string text_of_shape() const {
    const std::string remax = text("remax of noise variance ", head.noise_var);
    return text(prediction.rows, " x ", head.n_classes, ", ",
                is_tree()          ? "tree"
                : is_softmax()     ? "softmax"
                : is_one_vs_rest() ? text("one vs rest of sharpness ", head.sharpness)
                                   : remax);
  }

  /// Makes an Operation for every shape, head and kind of outputs.
  template <class Make>
  static void for_all(const Make& make) {
    const std::vector<std::pair<Index, Index>> shapes{{1, 2},   {5, 3},  {17, 10}, {131, 7},
                                                      {257, 7}, {3, 33}, {4, 129}, {2, 1000}};
    for (const auto& [rows, n_classes] : shapes) {
      for (const math::ClassHead& head :
           {math::ClassHead{math::ClassLink::tree, n_classes, 0},
            math::ClassHead{math::ClassLink::remax, n_classes, 0.01f},
            math::ClassHead{math::ClassLink::remax, n_classes, 1},
            math::ClassHead{math::ClassLink::softmax, n_classes, 0},
            math::ClassHead{math::ClassLink::one_vs_rest, n_classes, 0.09f, 0.08f, 2},
            math::ClassHead{math::ClassLink::one_vs_rest, n_classes, 1, 1e-3f, 0.5f}}) {
        for (Outputs outputs : {Outputs::ordinary, Outputs::extreme}) make(head, rows, outputs);
        if (head.link == math::ClassLink::softmax) make(head, rows, Outputs::tied);
      }
    }
  }
};

/// Makes a tolerance of about 1e-26, since normal tails beyond 12 standard deviations count as
/// none.
constexpr double tail_magnitude = 1e-20;

}  // namespace tagix::conformance
