#pragma once

#include <cstdint>

#include "math/activations.h"
#include "math/inference.h"
#include "math/normal.h"
#include "math/scalar.h"
#include "math/target.h"

namespace tagix::math {

/// How the outputs of a network give the probabilities of classes.
enum class ClassLink {
  none,   ///< the targets are numbers
  tree,   ///< hierarchical softmax: a branch of a binary tree for each output
  remax,  ///< a rectified output for each class, over the sum of all
};

/// What a network of classes says of its one target, a class from 0 to n_classes - 1.
struct ClassHead {
  ClassLink link = ClassLink::none;
  std::int64_t n_classes = 0;
  float noise_var = 0;  ///< remax: of the shares as they are observed, 1 and 0

  TAGIX_HD constexpr bool exists() const { return link != ClassLink::none; }
  /// The outputs that the network needs.
  TAGIX_HD constexpr std::int64_t n_outputs() const {
    return link == ClassLink::tree ? n_classes - 1 : n_classes;
  }
  /// The class that a target names, or -1 where it is missing.
  TAGIX_HD constexpr std::int64_t label_of(float target) const {
    return target >= 0 && target < static_cast<float>(n_classes) ? static_cast<std::int64_t>(target)
                                                                 : -1;
  }
};

// The tree is a heap: node n >= 1 has the children 2 n and 2 n + 1, output n - 1 belongs to node
// n < n_classes, and class k is the leaf n_classes + k. So paths differ in length by at most 1.

/// Where the path to a class leaves the node of an output: 1 for the right child, -1 for the left,
/// 0 where the path does not meet it.
template <class T>
TAGIX_HD TAGIX_INLINE T tree_branch(std::int64_t n_classes, std::int64_t label,
                                    std::int64_t output) {
  std::int64_t node = n_classes + label, child = node;
  while (node > output + 1) {
    child = node;
    node >>= 1;
  }
  return node != output + 1 ? T(0) : child % 2 == 1 ? T(1) : T(-1);
}

/// The moments of a standard normal X above `beta`, both of which stay finite where
/// Phi(beta) does not.
template <class T>
struct ProbitSlopes {
  T first;   ///< r = phi(beta) / Phi(beta), the derivative of log Phi
  T second;  ///< r (r + beta), minus its second derivative, in (0, 1)
};

/// For beta < 0, with a = -beta and the upper tail of a normal variable (math/normal.h),
/// r + beta = E (X - a)+ / P(X > a), which does not cancel; beyond the tail's cutoff
/// r + beta = 1/a - 2/a^3 + 10/a^5 - 74/a^7, to a relative error of 2e-6.
template <class T>
TAGIX_HD TAGIX_INLINE ProbitSlopes<T> probit_slopes(T beta) {
  const T one = broadcast<T>(1), zero = broadcast<T>(0);
  const T a = abs(beta);
  const T far = broadcast<T>(static_cast<scalar_of_t<T>>(12));
  const UpperTail<T> tail = upper_tail(min(a, far), one, one);
  const T inverse = 1 / max(a, one), square = inverse * inverse;
  const T far_gap = inverse * (1 - square * (2 - square * (10 - 74 * square)));
  const auto below = beta < zero;
  const auto beyond = below & (a > far);
  const T first = select(beyond, a + far_gap,
                         tail.density / select(below, tail.probability, one - tail.probability));
  const T gap = select(beyond, far_gap, select(below, tail.first / tail.probability, first + beta));
  return {first, first * gap};
}

/// The innovation of a branch s = +-1 with P(s = 1 | z) = Phi(z), z ~ N(mean, var): the exact
/// moments of the posterior (Rasmussen & Williams, 2006, section 3.9), with
/// S = 1 + var spread, beta = s mean / sqrt(S), r = phi(beta) / Phi(beta):
///
///   delta_mean = s r / sqrt(S),   delta_var = -r (r + beta) / S
///
/// A branch of 0 is no observation: both deltas are 0.
template <class T>
TAGIX_HD TAGIX_INLINE Innovation<T> probit_innovation(T mean, T var, T branch, T spread) {
  const T precision = 1 / (1 + var * spread);
  const T scale = sqrt(precision);
  const ProbitSlopes<T> slopes = probit_slopes(branch * mean * scale);
  const auto observed = branch != broadcast<T>(0);
  return {select(observed, branch * slopes.first * scale, broadcast<T>(0)),
          select(observed, -slopes.second * precision, broadcast<T>(0))};
}

/// P(s = 1) of a branch with z ~ N(mean, var): Phi(mean / sqrt(1 + var)); P(s = -1) by the mean's
/// other sign.
template <class T>
TAGIX_HD TAGIX_INLINE T probit_probability(T mean, T var) {
  return normal_cdf(mean / sqrt(1 + var));
}

/// The probabilities of both branches of a node, left (s = -1) and right, from one tail.
template <class T>
struct BranchProbabilities {
  T left;
  T right;
};

template <class T>
TAGIX_HD TAGIX_INLINE BranchProbabilities<T> branch_probabilities(T mean, T var) {
  const T one = broadcast<T>(1);
  const T beta = mean / sqrt(1 + var);
  const T tail = upper_tail(abs(beta), one, one).probability;
  const auto below = beta < broadcast<T>(0);
  return {select(below, one - tail, tail), select(below, tail, one - tail)};
}

/// The probability of a class, worked out in T: the product of those of the branches on its path.
/// `mean` and `var` are a row of outputs.
template <class T>
TAGIX_HD TAGIX_INLINE T tree_probability(const float* mean, const float* var,
                                         std::int64_t n_classes, std::int64_t label) {
  T probability = 1;
  for (std::int64_t node = n_classes + label; node > 1; node >>= 1) {
    const std::int64_t output = (node >> 1) - 1;
    const T sign = node % 2 == 1 ? T(1) : T(-1);
    probability *=
        probit_probability(sign * static_cast<T>(mean[output]), static_cast<T>(var[output]));
  }
  return probability;
}

// Remax: with M_i = max(z_i, 0) of mean m_i and variance s_i, and their sum of mean m and variance
// s, class i has the share A_i = M_i / sum M_j. Where M_i and the sum are taken for log-normal
// variables, as in Goulet's Remax, with a = s_i / m_i^2, b = s / m^2, c = Cov(M_i, sum) / (m_i m) =
// s_i / (m_i m), all that is needed of A_i is rational:
//
//   E A_i = (m_i / m) (1 + b) / (1 + c)
//   E A_i^2 = (E A_i)^2 (1 + a) (1 + b) / (1 + c)^2
//   Cov(M_i, A_i) = m_i E A_i ((1 + a) / (1 + c) - 1)
//   J_i = Cov(z_i, A_i) / Var z_i = (d E M_i / d E z_i) Cov(M_i, A_i) / s_i
//       = E f' (1 + b) / (1 + c)^2 (1 - m_i / m) / m

/// The least sum of rectified outputs, where all of them are off.
constexpr float least_remax_total = 1e-6f;
/// What every share gets before they are made to sum to 1, so that no class is impossible.
constexpr float least_remax_share = 1e-6f;

/// Moments of a share and its Jacobian.
template <class T>
struct RemaxShare {
  T mean;
  T var;
  T jacobian;
};

/// The moments of M_i.
template <class T>
TAGIX_HD TAGIX_INLINE ActivationMoments<T> remax_unit(T mean, T var) {
  return ReLU{}.exact(mean, var);
}

/// The share of a unit in a sum of that mean, at least `least_remax_total`, and variance.
template <class T>
TAGIX_HD TAGIX_INLINE RemaxShare<T> remax_share(const ActivationMoments<T>& unit, T total_mean,
                                                T total_var) {
  using S = scalar_of_t<T>;
  const T inverse = 1 / total_mean;
  const T sum = 1 + total_var * inverse * inverse;                               // 1 + b
  const T both = 1 + unit.var / (unit.mean + broadcast<T>(S(1e-30))) * inverse;  // 1 + c
  const T level = sum * inverse / both;
  const T square = (unit.mean * unit.mean + unit.var) * sum / (both * both);
  return {unit.mean * level, max(level * level * (square - unit.mean * unit.mean), broadcast<T>(0)),
          max(unit.jacobian * level / both * (1 - unit.mean * inverse), broadcast<T>(0))};
}

/// The innovation of an output whose share is observed as 1 (the class) or 0, with noise:
///
///   S = Var A spread + noise_var,   delta_mean = J (y - E A) / S,   delta_var = -J^2 / S
template <class T>
TAGIX_HD TAGIX_INLINE Innovation<T> remax_innovation(const RemaxShare<T>& share, T observed,
                                                     T noise_var, T spread) {
  return through_jacobian(innovation(share.mean, share.var, observed, noise_var, spread),
                          share.jacobian);
}

/// What the shares of a row have in common.
struct RemaxTotals {
  float mean;  ///< of the sum of the rectified outputs, at least `least_remax_total`
  float var;
};

/// The totals of a row of n outputs.
TAGIX_HD TAGIX_INLINE RemaxTotals remax_totals(const float* mean, const float* var,
                                               std::int64_t n) {
  RemaxTotals totals{0, 0};
  for (std::int64_t i = 0; i < n; ++i) {
    const ActivationMoments<float> unit = remax_unit(mean[i], var[i]);
    totals.mean += unit.mean;
    totals.var += unit.var;
  }
  totals.mean = max(totals.mean, least_remax_total);
  return totals;
}

/// The expected share of an output, plus the least one: in proportion to the class's probability.
TAGIX_HD TAGIX_INLINE float remax_weight(float mean, float var, RemaxTotals totals) {
  return remax_share(remax_unit(mean, var), totals.mean, totals.var).mean + least_remax_share;
}

/// The probability of a class: its expected share, of the sum of all.
TAGIX_HD TAGIX_INLINE double remax_probability(const float* mean, const float* var,
                                               std::int64_t n_classes, std::int64_t label) {
  const RemaxTotals totals = remax_totals(mean, var, n_classes);
  double sum = 0;
  for (std::int64_t i = 0; i < n_classes; ++i) {
    sum += static_cast<double>(remax_weight(mean[i], var[i], totals));
  }
  return static_cast<double>(remax_weight(mean[label], var[label], totals)) / sum;
}

/// What a network of classes had expected of a row, to be recorded for its label.
struct RecordedClass {
  double probability;    ///< p of the label
  double squared_error;  ///< (1 - p)^2
  double var;            ///< p (1 - p)
  double chi_square;  ///< (1/p - 1) / (n_classes - 1): 1 on average where probabilities are right
  double log_likelihood;  ///< log p
};

/// The probability is at least 1e-30, so that no label is infinitely unlikely.
TAGIX_HD TAGIX_INLINE RecordedClass recorded_class(const ClassHead& head, const float* mean,
                                                   const float* var, std::int64_t label) {
  double p = head.link == ClassLink::tree
                 ? tree_probability<double>(mean, var, head.n_classes, label)
                 : remax_probability(mean, var, head.n_classes, label);
  p = p > 1e-30 ? p : 1e-30;
  return {p, (1 - p) * (1 - p), p * (1 - p), (1 / p - 1) / static_cast<double>(head.n_classes - 1),
          __builtin_log(p)};
}

}  // namespace tagix::math
