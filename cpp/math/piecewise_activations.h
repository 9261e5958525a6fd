#pragma once

#include "math/activation_moments.h"
#include "math/normal.h"
#include "math/scalar.h"
#include "math/target.h"

// Activations that are linear between kinks, whose moments are those of normal tails
// (math/activations.h says what a struct has).

namespace tagix::math {

/// f(z) = z.
struct Identity {
  template <class T>
  TAGIX_HD TAGIX_INLINE T value(T z) const {
    return z;
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE T derivative(T) const {
    return broadcast<T>(1);
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE T second_derivative(T) const {
    return broadcast<T>(0);
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationMoments<T> exact(T mean, T var) const {
    return {mean, var, broadcast<T>(1)};
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationSlopes<T> exact_slopes(T, T, const ActivationMoments<T>&) const {
    const T zero = broadcast<T>(0), one = broadcast<T>(1);
    return {one, zero, zero, one};
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE T jacobian_by_log_sd(T, T) const {
    return broadcast<T>(0);
  }
};

namespace detail {

/// 0 in place of a positive number that T holds only as a denormal.
template <class T>
TAGIX_HD TAGIX_INLINE T without_denormals(T x) {
  const auto smallest_normal =
      scalar_of_t<T>(is_double<T> ? 2.2250738585072014e-308 : 1.17549435e-38);
  return select(x < smallest_normal, broadcast<T>(0), x);
}

/// The slopes of the moments of f(z) = z for z > 0 and s z else. With alpha = mean / sd, phi the
/// standard normal density at alpha and J = E f', from f(0) = 0, E f f' = (1 + s) E f - s mean and
/// E f'^2 = (1 + s) J - s:
///
///   d E f / d mean = J,                              d E f / d var = (1 - s) phi / (2 sd)
///   d Var f / d mean = 2 (E f (1 + s - J) - s mean),
///   d Var f / d var = (1 + s) J - s - 2 E f d E f / d var
///
/// Relative error as that of J, but that d Var f / d mean is known to the rounding of J times E f.
template <class T>
TAGIX_HD TAGIX_INLINE ActivationSlopes<T> kink_slopes(scalar_of_t<T> s, T mean, T var,
                                                      const ActivationMoments<T>& f) {
  using S = scalar_of_t<T>;
  const T per_sd = inverse_or_zero(sqrt(var));
  const T mean_by_var = S(0.5) * (1 - s) * per_sd * normal_density(mean * per_sd);
  return {f.jacobian, mean_by_var, 2 * (f.mean * (1 + s - f.jacobian) - s * mean),
          (1 + s) * f.jacobian - s - 2 * f.mean * mean_by_var};
}

}  // namespace detail

/// f(z) = max(z, 0).
struct ReLU {
  template <class T>
  TAGIX_HD TAGIX_INLINE T value(T z) const {
    return max(z, broadcast<T>(0));
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE T derivative(T z) const {
    return select(z > 0, broadcast<T>(1), broadcast<T>(0));
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE T second_derivative(T) const {
    return broadcast<T>(0);
  }

  /// With alpha = mean / sd, phi and Phi the standard normal density and distribution,
  ///
  ///   E f = mean Phi + sd phi,  E f^2 = (mean^2 + var) Phi + mean sd phi,  E f' = Phi   at alpha
  ///
  /// which cancel for alpha < 0 and are computed from the tail of z beyond 0 (`upper_tail`)
  /// instead. For mean < 0 that tail is f(z) itself; for mean >= 0, f(z) = z + (-z)+ and
  ///
  ///   E f = mean + E (-z)+,  Var f = var (1 - 2 Phi(-alpha)) + Var (-z)+,  E f' = 1 - Phi(-alpha).
  ///
  /// Relative error in float 9e-6 at |alpha| = 12, 2e-6 for |alpha| < 4. Below alpha = -12.5, and
  /// where T would be denormal, the result is 0.
  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationMoments<T> exact(T mean, T var) const {
    const T zero = broadcast<T>(0), one = broadcast<T>(1);
    const T sd = sqrt(var);
    const UpperTail<T> tail = upper_tail(abs(mean), sd, var);
    const auto below = mean < 0;
    const T inside = one - tail.probability;
    return {detail::without_denormals(select(below, zero, mean) + sd * tail.first),
            detail::without_denormals(var *
                                      (select(below, zero, inside - tail.probability) + tail.var)),
            select(below, tail.probability, inside)};
  }

  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationSlopes<T> exact_slopes(T mean, T var,
                                                         const ActivationMoments<T>& f) const {
    return detail::kink_slopes(scalar_of_t<T>(0), mean, var, f);
  }

  /// -alpha phi(alpha).
  template <class T>
  TAGIX_HD TAGIX_INLINE T jacobian_by_log_sd(T mean, T var) const {
    const T alpha = mean * inverse_or_zero(sqrt(var));
    return -alpha * normal_density(alpha);
  }
};

/// f(z) = z for z > 0, negative_slope z else.
struct LeakyReLU {
  float negative_slope;

  template <class T>
  TAGIX_HD TAGIX_INLINE T value(T z) const {
    return select(z > 0, z, scalar_of_t<T>(negative_slope) * z);
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE T derivative(T z) const {
    return select(z > 0, broadcast<T>(1), broadcast<T>(scalar_of_t<T>(negative_slope)));
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE T second_derivative(T) const {
    return broadcast<T>(0);
  }

  /// From f(z) = s z + (1 - s) r with r = max(z, 0) and Cov(z, r) = var Phi:
  ///
  ///   E f = s mean + (1 - s) E r,  E f' = s + (1 - s) Phi
  ///   Var f = s^2 var + (1 - s)^2 Var r + 2 s (1 - s) var Phi
  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationMoments<T> exact(T mean, T var) const {
    return from_relu(mean, var, ReLU{}.exact(mean, var));
  }

  /// `exact` by the moments of r.
  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationMoments<T> from_relu(T mean, T var,
                                                       const ActivationMoments<T>& relu) const {
    using S = scalar_of_t<T>;
    const S s = S(negative_slope), rest = 1 - s;
    return {s * mean + rest * relu.mean,
            var * (s * s + 2 * s * rest * relu.jacobian) + rest * rest * relu.var,
            s + rest * relu.jacobian};
  }

  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationSlopes<T> exact_slopes(T mean, T var,
                                                         const ActivationMoments<T>& f) const {
    return detail::kink_slopes(scalar_of_t<T>(negative_slope), mean, var, f);
  }

  template <class T>
  TAGIX_HD TAGIX_INLINE T jacobian_by_log_sd(T mean, T var) const {
    return (1 - scalar_of_t<T>(negative_slope)) * ReLU{}.jacobian_by_log_sd(mean, var);
  }
};

/// f(z) = min(max(z, -1), 1).
struct Hardtanh {
  template <class T>
  TAGIX_HD TAGIX_INLINE T value(T z) const {
    return clamp(z, broadcast<T>(-1), broadcast<T>(1));
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE T derivative(T z) const {
    return select(abs(z) < 1, broadcast<T>(1), broadcast<T>(0));
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE T second_derivative(T) const {
    return broadcast<T>(0);
  }

  /// Odd in the mean, so let m = |mean|. Q, T1 and T2 are the probability, E (excess) and
  /// E (excess)^2 of the tail of z beyond -1 (`low`), and of that beyond 1 as seen from the mean
  /// (`high`). Three ways, each where it does not cancel:
  ///
  ///   m < 1:    f = z + (excess below -1) - (excess above 1), about m:
  ///             E f = m + T1(low) - T1(high)
  ///             Var f = var - T2(low) - T2(high) - 2 (1 + m) T1(low) - 2 (1 - m) T1(high)
  ///                     - (E f - m)^2
  ///   m >= 1:   g = 1 - f = (1 - z)+ - (-1 - z)+:
  ///             E g = T1(high) - T1(low),  E g^2 = T2(high) - T2(low) - 4 T1(low)
  ///   sd > 8:   (100 in double) those differences are of the size of var, though |f| <= 1. The
  ///             density p between -1 and 1 is now so flat that its cubic through p(+-1) and
  ///             p'(+-1) = -(z - m) p / var is within .05 / sd^5 of it:
  ///             E f = P(z > 1) - Q(low) + integral of z p
  ///             E g^2 = 4 Q(low) + integral of (1 - z)^2 p
  ///
  /// Error in float at most 2e-6 in the mean, 3e-5 in the variance and in the Jacobian relative to
  /// max(value, 1e-2); largest at sd = 8, at most 1e-6 for sd < 1.
  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationMoments<T> exact(T mean, T var) const {
    using S = scalar_of_t<T>;
    const T m = abs(mean);
    const T sd = sqrt(var);
    const T to_low = 1 + m, to_high = 1 - m;
    const UpperTail<T> low = upper_tail(to_low, sd, var);
    const UpperTail<T> high = upper_tail(abs(to_high), sd, var);
    const auto inner = m < 1;
    const auto wide = sd > S(detail::is_double<T> ? 100 : 8);

    const T shift = sd * (low.first - high.first);  // E f - m, or -E g
    const T inner_square =
        var * (1 - low.second - high.second) - 2 * sd * (to_low * low.first + to_high * high.first);
    const T outer_square = var * (high.second - low.second) - 4 * sd * low.first;
    const T near_mean = select(inner, m, broadcast<T>(1)) + shift;
    const T near_var = select(inner, inner_square, outer_square) - shift * shift;
    const T near_jacobian = select(inner, 1 - high.probability, high.probability) - low.probability;

    // With w = (1 - z) / 2 from 0 to 1: p at the two ends, and its derivatives by w.
    const T per_sd = 1 / max(sd, broadcast<T>(1));
    const T p0 = high.density * per_sd, p1 = low.density * per_sd;
    const T d0 = 2 * to_high * per_sd * per_sd * p0, d1 = -2 * to_low * per_sd * per_sd * p1;
    const T above = select(inner, high.probability, 1 - high.probability);
    const T wide_mean = above - low.probability + S(2. / 5) * (p0 - p1) + S(1. / 30) * (d0 + d1);
    const T wide_square = 4 * low.probability + S(8. / 15) * p0 + S(32. / 15) * p1 +
                          S(2. / 15) * d0 - S(4. / 15) * d1;
    const T wide_gap = 1 - wide_mean;
    const T wide_jacobian = p0 + p1 + S(1. / 6) * (d0 - d1);

    return {copysign(select(wide, wide_mean, near_mean), mean),
            max(select(wide, wide_square - wide_gap * wide_gap, near_var), broadcast<T>(0)),
            select(wide, wide_jacobian, near_jacobian)};
  }

  /// With p the density of z, from f'' = delta(z + 1) - delta(z - 1) and
  /// E[f f'] = mean E f' + var (p(-1) - p(1)):
  ///
  ///   d E f / d var = (p(-1) - p(1)) / 2
  ///   d Var f / d mean = 2 ((mean - E f) E f' + var (p(-1) - p(1)))
  ///   d Var f / d var = E f' - (1 + E f) p(-1) - (1 - E f) p(1)
  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationSlopes<T> exact_slopes(T mean, T var,
                                                         const ActivationMoments<T>& f) const {
    using S = scalar_of_t<T>;
    const T per_sd = inverse_or_zero(sqrt(var));
    const T low = per_sd * normal_density((1 + mean) * per_sd);
    const T high = per_sd * normal_density((1 - mean) * per_sd);
    const T difference = low - high;
    return {f.jacobian, S(0.5) * difference, 2 * ((mean - f.mean) * f.jacobian + var * difference),
            f.jacobian - (1 + f.mean) * low - (1 - f.mean) * high};
  }

  /// With a = -(1 + mean) / sd and b = (1 - mean) / sd: E f' = Phi(b) - Phi(a), so
  ///
  ///   a phi(a) - b phi(b).
  template <class T>
  TAGIX_HD TAGIX_INLINE T jacobian_by_log_sd(T mean, T var) const {
    const T per_sd = inverse_or_zero(sqrt(var));
    const T a = -(1 + mean) * per_sd, b = (1 - mean) * per_sd;
    return a * normal_density(a) - b * normal_density(b);
  }
};

}  // namespace tagix::math
