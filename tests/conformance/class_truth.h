#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
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
///   delta_mean = d log Z / d mean,   delta_var = d^2 log Z / d mean^2
///
/// where the derivatives of Z are E phi(z) and -E z phi(z).
struct ProbitTruth {
  double probability, delta_mean, delta_var;
  /// The relative errors of the deltas and of the probability for one in
  /// beta = mean / sqrt(1 + var), where that counts.
  double delta_condition, probability_condition;

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
    double total = 0, slope = 0, curvature = 0;
    for (double z = first; z <= last; z += step) {
      const double weight = step / sd * standard_normal((z - mean) / sd);
      total += weight * normal_tail(-z);
      slope += weight * standard_normal(z);
      curvature -= weight * z * standard_normal(z);
    }
    probability = total;
    delta_mean = slope / total;
    delta_var = curvature / total - delta_mean * delta_mean;
    const double beta = mean / std::sqrt(1 + var);
    delta_condition = beta > 0 ? 1 + beta * beta : 1;
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
    double var_magnitude, jacobian_magnitude;  ///< of terms that cancel
    double condition;  ///< relative errors for one in the ratios of means to standard deviations
  };
  std::vector<Share> shares;
  std::vector<double> probabilities;

  RemaxTruth(const float* mean, const float* var, Index n) {
    struct Unit {
      double mean, var, jacobian, condition;
    };
    std::vector<Unit> units;
    double total = 0, total_var = 0, condition = 0, var_condition = 0;
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
      Share share{0, 0, 0, 0, 0, condition + unit.condition};
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

/// How extreme the outputs of a test are.
enum class Outputs { ordinary, extreme };

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
    for (Index row = 0; row < rows; ++row) {
      target.push_back(random.chance(missing_share)
                           ? std::numeric_limits<float>::quiet_NaN()
                           : static_cast<float>(random.below(head.n_classes)));
    }
  }

  bool is_tree() const { return head.link == math::ClassLink::tree; }
  Index first_of(Index row) const { return row * prediction.cols; }
  const float* mean(Index row) const { return prediction.mean.data() + first_of(row); }
  const float* var(Index row) const { return prediction.var.data() + first_of(row); }
  std::string text_of_shape() const {
    return text(prediction.rows, " x ", head.n_classes, ", ", is_tree() ? "tree" : "remax",
                is_tree() ? "" : text(" of noise variance ", head.noise_var));
  }

  /// Makes an Operation for every shape, head and kind of outputs.
  template <class Make>
  static void for_all(const Make& make) {
    const std::vector<std::pair<Index, Index>> shapes{{1, 2},  {5, 3},   {17, 10}, {257, 7},
                                                      {3, 33}, {4, 129}, {2, 1000}};
    for (const auto& [rows, n_classes] : shapes) {
      for (const math::ClassHead& head : {math::ClassHead{math::ClassLink::tree, n_classes, 0},
                                          math::ClassHead{math::ClassLink::remax, n_classes, 0.01f},
                                          math::ClassHead{math::ClassLink::remax, n_classes, 1}}) {
        for (Outputs outputs : {Outputs::ordinary, Outputs::extreme}) make(head, rows, outputs);
      }
    }
  }
};

/// Makes a tolerance of about 1e-26, since normal tails beyond 12 standard deviations count as
/// none.
constexpr double tail_magnitude = 1e-20;

}  // namespace tagix::conformance
