#pragma once

#include "math/activation_moments.h"
#include "math/scalar.h"
#include "math/target.h"

namespace tagix::math {

constexpr int n_logistic_normals = 7;

/// sigmoid(z) = sum_k weight[k] Phi(z / sqrt(var[k])) for all z, with an error of 2.2e-8 and one of
/// 5.6e-8 in the derivative: the logistic distribution as a mixture of normals (Monahan and
/// Stefanski, 1992), made by tools/fit_logistic_mixture.py. S is float or double.
template <class S>
struct LogisticMixture {
  S var[n_logistic_normals];
  S weight[n_logistic_normals];
};

template <class S>
TAGIX_HD constexpr LogisticMixture<S> logistic_mixture() {
  return {{S(0.5873010199), S(1.007997956), S(1.701330397), S(2.892696171), S(4.971126328),
           S(8.604194249), S(15.22189432)},
          {S(0.006622218925), S(0.08613764322), S(0.2666049074), S(0.3463812405), S(0.2252304429),
           S(0.06448298594), S(0.004540561132)}};
}

/// E sigmoid(z) and the expectations of its derivatives under z ~ N(mean, var).
template <class T>
struct LogisticMoments {
  T lower;        ///< the smaller one of E sigmoid and 1 - E sigmoid
  T expected[6];  ///< E sigmoid^(n)(z), n = 0 ... 5
};

/// As Phi(z / s) has the expectation Phi(a) with a = mean / sqrt(s^2 + var), those of the mixture
/// are, with r = 1 / sqrt(s^2 + var) and Hermite's polynomials He,
///
///   E sigmoid = sum p Phi(a),   E sigmoid^(n) = (-1)^(n-1) sum p r^n He_{n-1}(a) phi(a)
///
/// and Phi(-|a|) = phi(a) (c_1 t + ... + c_6 t^6) with t = 1 / (1 + 0.275 |a|) to 5e-9 (the form of
/// Abramowitz and Stegun, 26.2.17). Absolute errors: 2e-7, whatever the variance.
template <class T>
TAGIX_HD TAGIX_INLINE LogisticMoments<T> logistic_moments(T mean, T var) {
  using S = scalar_of_t<T>;
  constexpr LogisticMixture<S> mixture = logistic_mixture<S>();
  const T zero = broadcast<T>(0), distance = abs(mean);
  LogisticMoments<T> moments{zero, {zero, zero, zero, zero, zero, zero}};
  TAGIX_UNROLL(7)
  for (int k = 0; k < n_logistic_normals; ++k) {
    const T r = inverse_sqrt(mixture.var[k] + var);
    const T a = distance * r, square = a * a;
    // Beyond 12 standard deviations the density counts as that at 12.
    const T density = S(0.39894228040143267794) * mixture.weight[k] *
                      exp_in_range(max(S(-0.5) * square, broadcast<T>(S(-72))));
    const T t = reciprocal(1 + S(0.275) * a);
    moments.lower =
        moments.lower + density * t *
                            polynomial(t, S(0.2953041063), S(0.1055572379), S(0.8370454941),
                                       S(-0.8296789978), S(1.132993649), S(-0.2879073402));
    // Those of even order are odd in the mean, and get their sign below.
    const T first = density * r, second = first * r, third = second * r, fourth = third * r;
    moments.expected[1] = moments.expected[1] + first;
    moments.expected[2] = moments.expected[2] - second * a;
    moments.expected[3] = moments.expected[3] + third * (square - 1);
    moments.expected[4] = moments.expected[4] - fourth * a * (square - 3);
    moments.expected[5] = moments.expected[5] + fourth * r * (square * (square - 6) + 3);
  }
  const auto below = mean < 0;
  moments.expected[0] = select(below, moments.lower, 1 - moments.lower);
  moments.expected[2] = select(below, -moments.expected[2], moments.expected[2]);
  moments.expected[4] = select(below, -moments.expected[4], moments.expected[4]);
  return moments;
}

namespace detail {

/// The variance of f(z) from c_n = E f^(n)(z), n = 1 ... 4, for a variance of z that is small:
/// sum_n var^n c_n^2 / n!, of terms that are all positive.
template <class T>
TAGIX_HD TAGIX_INLINE T variance_series(T var, T c1, T c2, T c3, T c4) {
  using S = scalar_of_t<T>;
  return var *
         (c1 * c1 +
          S(1. / 2) * var * (c2 * c2 + S(1. / 3) * var * (c3 * c3 + S(1. / 4) * var * (c4 * c4))));
}

/// The variance up to which `variance_series` is taken of functions of the sigmoid: there both it
/// and the closed form have errors of at most 1e-5.
constexpr float largest_series_var = 0.3f;

/// Var sigmoid(z). As sigmoid^2 = sigmoid - sigmoid', it is E sigmoid (1 - E sigmoid) - E sigmoid'.
template <class T>
TAGIX_HD TAGIX_INLINE T sigmoid_var(const LogisticMoments<T>& moments, T var) {
  using S = scalar_of_t<T>;
  const T* const d = moments.expected;
  const T closed = moments.lower * (1 - moments.lower) - d[1];
  // Its terms are positive, so the series is a lower bound. In the tails, where the closed form
  // cancels, it is the better one.
  const T series = variance_series(var, d[1], d[2], d[3], d[4]);
  return select(var < S(largest_series_var), series, max(closed, series));
}

}  // namespace detail

/// Moments of sigmoid(z). Error 4e-7 in the mean and the Jacobian, 1e-6 in the variance, and of
/// that at most 1e-4 of itself for |mean| < 4.
template <class T>
TAGIX_HD TAGIX_INLINE ActivationMoments<T> sigmoid_moments(T mean, T var) {
  const LogisticMoments<T> moments = logistic_moments(mean, var);
  return {moments.expected[0], detail::sigmoid_var(moments, var), moments.expected[1]};
}

/// Moments of tanh(z) = 2 sigmoid(2 z) - 1; four times the errors.
template <class T>
TAGIX_HD TAGIX_INLINE ActivationMoments<T> tanh_moments(T mean, T var) {
  const T var_of_double = 4 * var;
  const LogisticMoments<T> moments = logistic_moments(2 * mean, var_of_double);
  return {copysign(1 - 2 * moments.lower, mean), 4 * detail::sigmoid_var(moments, var_of_double),
          4 * moments.expected[1]};
}

/// Moments of f(z) = z sigmoid(z). With d_n = E sigmoid^(n), by Stein's lemma,
///
///   E f = mean d_0 + var d_1,   E f^(n) = n d_{n-1} + mean d_n + var d_{n+1}
///   Var f = mean^2 (d_0 (1 - d_0) - d_1) + var (d_0 - d_1)
///           + 2 mean var (d_1 - d_2 - d_0 d_1) + var^2 (d_2 - d_3 - d_1^2)
///
/// the last from f^2 = z^2 (sigmoid - sigmoid'). Error relative to max(1, |value|) 3e-6 in the mean
/// and the Jacobian, 2e-5 in the variance for |mean| <= 12.
template <class T>
TAGIX_HD TAGIX_INLINE ActivationMoments<T> silu_moments(T mean, T var) {
  using S = scalar_of_t<T>;
  const LogisticMoments<T> moments = logistic_moments(mean, var);
  const T* const d = moments.expected;
  const auto slope = [&](int n) { return S(n) * d[n - 1] + mean * d[n] + var * d[n + 1]; };
  const T closed = mean * mean * (moments.lower * (1 - moments.lower) - d[1]) +
                   var * (d[0] - d[1]) + 2 * mean * var * (d[1] - d[2] - d[0] * d[1]) +
                   var * var * (d[2] - d[3] - d[1] * d[1]);
  const T series = detail::variance_series(var, slope(1), slope(2), slope(3), slope(4));
  return {mean * d[0] + var * d[1],
          select(var < S(detail::largest_series_var), series, max(closed, series)), slope(1)};
}

}  // namespace tagix::math
