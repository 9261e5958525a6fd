#pragma once

#include <cstdint>

#include "math/inference.h"
#include "math/normal.h"
#include "math/piecewise_activations.h"
#include "math/scalar.h"
#include "math/target.h"

namespace tagix::math {

/// How the outputs of a network give the probabilities of classes.
enum class ClassLink {
  none,         ///< the targets are numbers
  tree,         ///< hierarchical softmax: a branch of a binary tree for each output
  remax,        ///< a rectified output for each class, over the sum of all
  softmax,      ///< the exponential of an output for each class, over the sum of all
  one_vs_rest,  ///< for each class a regression of 1 where it is the label, and else 0
};

/// What a network of classes says of its one target, a class from 0 to n_classes - 1.
struct ClassHead {
  ClassLink link = ClassLink::none;
  std::int64_t n_classes = 0;
  float noise_var = 0;  ///< remax: of shares as they are observed, beside that of a label;
                        ///< one_vs_rest: of the numbers 1 and 0 that stand for a label
  float link_var = 0;   ///< one_vs_rest: what counts beside the variance of an output
  float sharpness = 1;  ///< one_vs_rest: the power that probits are raised to

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

/// The derivatives of log Phi at beta and at -beta: with r(x) = phi(x) / Phi(x), r(beta) and
/// r(-beta), which stay finite where Phi does not.
template <class T>
struct ProbitSlopes {
  T right;  ///< r(beta)
  T left;   ///< r(-beta)
};

/// With a = |beta| and the upper tail of a normal variable X (math/normal.h), r(a) is
/// phi(a) / (1 - P(X > a)) and r(-a) is phi(a) / P(X > a); beyond the tail's cutoff the latter is
/// a + 1/a - 2/a^3 + 10/a^5 - 74/a^7, to a relative error of 2e-6 in what it has beyond a.
template <class T>
TAGIX_HD TAGIX_INLINE ProbitSlopes<T> probit_slopes(T beta) {
  const T one = broadcast<T>(1);
  const T a = abs(beta);
  const T far = broadcast<T>(static_cast<scalar_of_t<T>>(12));
  const UpperTail<T> tail = upper_tail(min(a, far), one, one);
  const T inverse = 1 / max(a, one), square = inverse * inverse;
  const T far_gap = inverse * (1 - square * (2 - square * (10 - 74 * square)));
  const T likely = tail.density / (one - tail.probability);
  const T unlikely = select(a > far, a + far_gap, tail.density / tail.probability);
  const auto below = beta < broadcast<T>(0);
  return {select(below, unlikely, likely), select(below, likely, unlikely)};
}

/// How much of an innovation is left in a batch. An observation that brings the information I of a
/// quantity of variance var is one with a noise variance of 1/I - var; with room for the other rows
/// of the batch (`spread`, as in `innovation`) its variance is var spread + 1/I - var, which takes
/// the innovation times 1 / (1 + I var (spread - 1)).
template <class T>
TAGIX_HD TAGIX_INLINE T share_in_batch(T information, T var, T spread) {
  return 1 / (1 + information * var * (spread - 1));
}

/// The innovation of a branch s = +-1 with P(s = 1 | z) = Phi(z), z ~ N(mean, var). With
/// beta = mean / sqrt(1 + var) and r(x) = phi(x) / Phi(x), the mean is that of the exact posterior
/// (Rasmussen & Williams, 2006, section 3.9), and the information is the one expected before the
/// branch is seen:
///
///   delta_mean = s r(s beta) / sqrt(1 + var) / D,   delta_var = -I / D
///   I = r(beta) r(-beta) / (1 + var),               D = 1 + I var (spread - 1)
///
/// Neither I nor D depends on the branch, so that innovations are 0 on average exactly where
/// P(s = 1) = Phi(beta) is right, in batches of any size. A branch of 0 is not an observation: both
/// deltas are 0.
template <class T>
TAGIX_HD TAGIX_INLINE Innovation<T> probit_innovation(T mean, T var, T branch, T spread) {
  const T zero = broadcast<T>(0);
  const T precision = 1 / (1 + var);
  const T scale = sqrt(precision);
  const T beta = mean * scale;
  const ProbitSlopes<T> slopes = probit_slopes(beta);
  const T information = slopes.right * slopes.left * precision;
  const T share = share_in_batch(information, var, spread);
  const T score = select(branch > zero, slopes.right, -slopes.left) * scale;
  const auto observed = branch != zero;
  return {select(observed, score * share, zero), select(observed, -information * share, zero)};
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

/// What the shares of a row have in common.
struct RemaxTotals {
  float mean;  ///< of the sum of the rectified outputs, at least `least_remax_total`
  float var;
};

/// The innovation of an output whose share is observed as 1 (the class) or 0. Given the share A, a
/// label is 1 with probability A, so that its variance is E A (1 - E A), of which Var A is the
/// share's own; `noise_var` is added, and `spread` makes room for the other rows of a batch. E A,
/// of a log-normal variable, counts as 1 where it is more:
///
///   S = E A (1 - E A) + Var A (spread - 1) + noise_var
///   delta_mean = J (y - E A) / S,   delta_var = -J^2 / S
///
/// Shares say nothing of the scale of the outputs, and where all are off none of them learns. So
/// the sum of the rectified outputs is observed besides, as c = n / sqrt(2 pi), what n outputs of
/// N(0, 1) have on average, with a noise variance of c^2:
///
///   S = Var sum spread + c^2,   delta_mean += E f' (c - E sum) / S,   delta_var -= (E f')^2 / S
template <class T>
TAGIX_HD TAGIX_INLINE Innovation<T> remax_innovation(const ActivationMoments<T>& unit,
                                                     const RemaxTotals& totals, std::int64_t n,
                                                     T observed, T noise_var, T spread) {
  using S = scalar_of_t<T>;
  const RemaxShare<T> share =
      remax_share(unit, broadcast<T>(S(totals.mean)), broadcast<T>(S(totals.var)));
  const T mean = min(share.mean, broadcast<T>(1));
  const T label_var = mean * (1 - mean) + share.var * (spread - 1) + noise_var;
  const Innovation<T> of_label = through_jacobian(
      Innovation<T>{(observed - mean) / label_var, -1 / label_var}, share.jacobian);
  const T scale = broadcast<T>(static_cast<S>(n) * S(0.39894228040143267794));
  const Innovation<T> of_scale =
      through_jacobian(innovation(broadcast<T>(S(totals.mean)), broadcast<T>(S(totals.var)), scale,
                                  scale * scale, spread),
                       unit.jacobian);
  return {of_label.delta_mean + of_scale.delta_mean, of_label.delta_var + of_scale.delta_var};
}

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

// Softmax: class i has the share exp(z_i) / sum exp(z_j). With p the softmax of the means, log p_i
// differs from a constant by z_i and by the logarithm of the sum of the other classes, whose
// variances add up to
//
//   t_i = var_i + sum_{j != i} q_j^2 var_j,   q_j = p_j / (1 - p_i)
//
// and the probabilities are those of a softmax whose logarithms are flattened as far as that
// (MacKay's approximation of the expectation of a sigmoid, which it is for two classes):
//
//   P_i = p_i^k_i / sum_j p_j^k_j,   k_i = 1 / sqrt(1 + pi/8 t_i)
//
// They do not change where all means move by the same, and tend to 1/n as variances grow. All is
// worked out from the output with the greatest mean, the top, so that nothing cancels:
// e_i = exp(mean_i - mean_next), where next is the greatest mean but the top's.

/// What the outputs of a row other than the top have in common.
struct SoftmaxSums {
  float weight;  ///< sum of e_i
  float var;     ///< sum of e_i^2 var_i
};

/// What the outputs of a row have in common.
struct SoftmaxTotals {
  std::int64_t top;  ///< the first output with the greatest mean
  float top_mean;
  float top_var;
  float next_mean;      ///< the greatest mean of the other outputs
  float gap;            ///< exp(next_mean - top_mean)
  float others;         ///< sum of exp(mean_i - top_mean) over the other outputs
  float others_var;     ///< sum of exp(mean_i - top_mean)^2 var_i over them
  float log_total;      ///< log(1 + others)
  float var_of_others;  ///< of the logarithm of the sum of all but the top
};

TAGIX_HD TAGIX_INLINE SoftmaxTotals softmax_totals(std::int64_t top, float top_mean, float top_var,
                                                   float next_mean, SoftmaxSums sums) {
  const float gap = exp(next_mean - top_mean);
  const float others = gap * sums.weight;
  return {top,
          top_mean,
          top_var,
          next_mean,
          gap,
          others,
          gap * gap * sums.var,
          log1p(others),
          sums.var / (sums.weight * sums.weight)};
}

/// How the probability of a class follows its output.
template <class T>
struct SoftmaxTerm {
  T slope;   ///< k_i
  T weight;  ///< p_i^k_i
};

namespace detail {

template <class T>
TAGIX_HD TAGIX_INLINE SoftmaxTerm<T> softmax_term_of(T log_share, T var) {
  const T slope = 1 / sqrt(1 + static_cast<scalar_of_t<T>>(0.39269908169872414) * var);
  return {slope, exp(slope * log_share)};
}

}  // namespace detail

/// Of an output other than the top.
template <class T>
TAGIX_HD TAGIX_INLINE SoftmaxTerm<T> softmax_term(const SoftmaxTotals& totals, T mean, T var) {
  const T e = totals.gap * exp(mean - totals.next_mean);
  const T inverse = 1 / ((1 + totals.others) - e);
  const T others_var = totals.top_var + max(totals.others_var - e * e * var, broadcast<T>(0));
  return detail::softmax_term_of<T>((mean - totals.top_mean) - totals.log_total,
                                    var + others_var * (inverse * inverse));
}

/// Of the top.
TAGIX_HD TAGIX_INLINE SoftmaxTerm<float> softmax_top_term(const SoftmaxTotals& totals) {
  return detail::softmax_term_of(-totals.log_total, totals.top_var + totals.var_of_others);
}

/// The innovation of an output with P the probability of its class, Q = 1 - P and k from
/// `SoftmaxTerm`; y is 1 for the label, 0 for the others. The Jacobian of P by the output is k P Q,
/// and P Q the variance of y, so that
///
///   delta_mean = k (y - P) / D,   delta_var = -I / D,   I = k^2 P Q,   D = 1 + I var (spread - 1)
template <class T>
TAGIX_HD TAGIX_INLINE Innovation<T> softmax_innovation(T slope, T probability, T other_probability,
                                                       T error, T var, T spread) {
  const T information = slope * slope * probability * other_probability;
  const T share = share_in_batch(information, var, spread);
  return {slope * error * share, -information * share};
}

/// The totals of a row of n >= 2 outputs.
TAGIX_HD TAGIX_INLINE SoftmaxTotals softmax_totals(const float* mean, const float* var,
                                                   std::int64_t n) {
  std::int64_t top = 0;
  for (std::int64_t i = 1; i < n; ++i) top = mean[i] > mean[top] ? i : top;
  float next = mean[top == 0 ? 1 : 0];
  for (std::int64_t i = 0; i < n; ++i) next = i != top && mean[i] > next ? mean[i] : next;
  SoftmaxSums sums{0, 0};
  for (std::int64_t i = 0; i < n; ++i) {
    if (i == top) continue;
    const float e = exp(mean[i] - next);
    sums.weight += e;
    sums.var += e * e * var[i];
  }
  return softmax_totals(top, mean[top], var[top], next, sums);
}

/// What p_i^k_i is for an output of a row.
TAGIX_HD TAGIX_INLINE float softmax_weight(const SoftmaxTotals& totals, const float* mean,
                                           const float* var, std::int64_t output) {
  return output == totals.top ? softmax_top_term(totals).weight
                              : softmax_term(totals, mean[output], var[output]).weight;
}

/// The probability of a class.
TAGIX_HD TAGIX_INLINE double softmax_probability(const float* mean, const float* var,
                                                 std::int64_t n_classes, std::int64_t label) {
  const SoftmaxTotals totals = softmax_totals(mean, var, n_classes);
  double sum = 0;
  for (std::int64_t i = 0; i < n_classes; ++i) {
    sum += static_cast<double>(softmax_weight(totals, mean, var, i));
  }
  return static_cast<double>(softmax_weight(totals, mean, var, label)) / sum;
}

// One against the rest: output i is a regression of y_i, which is 1 where class i is the label and
// else 0, observed with the noise variance `noise_var`: innovations are those of numbers. A class
// is as probable as it is that its output, with `link_var` beside its variance, exceeds 1/2, to the
// power of `sharpness`:
//
//   P_i = w_i / sum_j w_j,   log w_i = sharpness log Phi((mean_i - 1/2) / sqrt(var_i + link_var))

/// The innovation of an output whose class is the label or is not.
template <class T>
TAGIX_HD TAGIX_INLINE Innovation<T> one_vs_rest_innovation(const ClassHead& head, T mean, T var,
                                                           T is_label, T spread) {
  return innovation(mean, var, is_label, broadcast<T>(head.noise_var), spread);
}

/// log w_i.
template <class T>
TAGIX_HD TAGIX_INLINE T one_vs_rest_log_weight(const ClassHead& head, T mean, T var) {
  const T beta = (mean - static_cast<T>(0.5)) / sqrt(var + static_cast<T>(head.link_var));
  return static_cast<T>(head.sharpness) * log_normal_cdf(beta);
}

/// The probability of a class.
TAGIX_HD TAGIX_INLINE double one_vs_rest_probability(const ClassHead& head, const float* mean,
                                                     const float* var, std::int64_t label) {
  const auto log_weight = [&](std::int64_t i) {
    return one_vs_rest_log_weight<double>(head, mean[i], var[i]);
  };
  const double of_label = log_weight(label);
  double sum = 0;
  for (std::int64_t i = 0; i < head.n_classes; ++i) sum += __builtin_exp(log_weight(i) - of_label);
  return 1 / sum;
}

/// What a network of classes had expected of a row, to be recorded for its label.
struct RecordedClass {
  double probability;    ///< p of the label
  double squared_error;  ///< (1 - p)^2
  double var;            ///< p (1 - p)
  double chi_square;  ///< (1/p - 1) / (n_classes - 1): 1 on average where probabilities are right
  double log_likelihood;  ///< log p
};

/// The probability of a label by the outputs of a row.
TAGIX_HD TAGIX_INLINE double class_probability(const ClassHead& head, const float* mean,
                                               const float* var, std::int64_t label) {
  switch (head.link) {
    case ClassLink::tree:
      return tree_probability<double>(mean, var, head.n_classes, label);
    case ClassLink::softmax:
      return softmax_probability(mean, var, head.n_classes, label);
    case ClassLink::one_vs_rest:
      return one_vs_rest_probability(head, mean, var, label);
    default:
      return remax_probability(mean, var, head.n_classes, label);
  }
}

/// What is recorded of a label of that probability, which counts as 1e-30 or more, so that no label
/// is infinitely unlikely.
TAGIX_HD TAGIX_INLINE RecordedClass recorded_class(const ClassHead& head, double probability) {
  const double p = probability > 1e-30 ? probability : 1e-30;
  return {p, (1 - p) * (1 - p), p * (1 - p), (1 / p - 1) / static_cast<double>(head.n_classes - 1),
          __builtin_log(p)};
}

TAGIX_HD TAGIX_INLINE RecordedClass recorded_class(const ClassHead& head, const float* mean,
                                                   const float* var, std::int64_t label) {
  return recorded_class(head, class_probability(head, mean, var, label));
}

}  // namespace tagix::math
