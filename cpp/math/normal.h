#pragma once

#include "math/scalar.h"
#include "math/target.h"

namespace tagix::math {

/// Standard deviations beyond which a normal tail counts as exactly 0: P(X > 12.5) = 3.7e-36.
constexpr float tail_cutoff = 12.5f;

namespace detail {

// (a + 4)^2 L1(a) / sqrt(2 pi) and (a + 4)^3 L2(a) / sqrt(2 pi) as polynomials in
// t = (a - 4) / (a + 4) for 0 <= a <= 12.6, made by tools/fit_normal_tails.py. Relative errors:
// 2.1e-7 and 3.7e-7 evaluated in float, 1e-14 in double.
template <class T>
TAGIX_HD TAGIX_INLINE T scaled_first_tail(T t) {
  if constexpr (is_double<T>) {
    return polynomial(
        t, 1.3631817723876476, -1.9900680854282438, 1.7209777761041938, -9.876737313980295e-1,
        3.3968381937419534e-1, -2.4362979736478156e-2, -3.577357781977602e-2, 1.1979794572460881e-2,
        3.279977921661501e-3, -2.2918653843237336e-3, -4.077465602548272e-4, 4.1302405987782796e-4,
        8.686539837502478e-5, -7.330585665450129e-5, -2.5672539344061038e-5, 9.881159211294855e-6,
        7.0220511817252575e-6, 8.94446189586595e-7, -1.2346096616564542e-7);
  } else {
    return polynomial(t, 1.363182f, -1.9900677f, 1.7209616f, -9.8768085e-1f, 3.3991858e-1f,
                      -2.4237977e-2f, -3.6883526e-2f, 1.0991467e-2f, 4.9021225e-3f);
  }
}

template <class T>
TAGIX_HD TAGIX_INLINE T scaled_second_tail(T t) {
  if constexpr (is_double<T>) {
    return polynomial(
        t, 4.71643163020356, -9.412159808495508, 9.846932298606905, -6.297103934193543,
        2.1599178151054788, 4.4100598530534316e-2, -3.7004719095998606e-1, 8.157848450193333e-2,
        5.3426708245149626e-2, -2.1134271787965942e-2, -9.437780760955755e-3, 4.331720901030269e-3,
        2.1777829258287414e-3, -7.475143159248825e-4, -5.821997019325605e-4, 5.031586013688057e-5,
        1.331850607454834e-4, 3.979986824070742e-5, 3.1421437253475826e-6);
  } else {
    return polynomial(t, 4.7164316f, -9.412149f, 9.846893f, -6.297439f, 2.1606362f, 4.7329754e-2f,
                      -3.734258e-1f, 6.834939e-2f, 5.5556446e-2f);
  }
}

}  // namespace detail

/// The part of N(0, var) above a threshold d = a sd >= 0. With X standard normal and phi its
/// density:
template <class T>
struct UpperTail {
  T density;      ///< phi(a)
  T probability;  ///< P(X > a)
  T first;        ///< E (X - a)+
  T second;       ///< E (X - a)+^2
  T var;          ///< Var (X - a)+ = second - first^2
};

/// Moments of the upper tail of N(0, var) above `distance` >= 0; sd = sqrt(var). Relative error in
/// float at most 1e-5 to a = 12 and 2e-6 to a = 4, all of the excess being the rounding of
/// exp(-a^2 / 2); exactly 0 beyond `tail_cutoff`.
///
/// With R the Mills ratio, L1 = 1 - a R and L2 = (1 + a^2) R - a (see tools/fit_normal_tails.py):
///
///   first = phi L1,   second = phi L2,   probability = phi R,   R = L2 + a L1
///
/// L1 and L2 are never written as differences, which cancel; a L1 = (1 / u - 4) L1 takes one that
/// does not, as L1 is u^2 times a polynomial. a itself is not needed: a^2 / 2 is
/// distance^2 / (2 var), with two roundings where (distance / sd)^2 has four, and the polynomials
/// take t = 1 - 8 u with u = 1 / (a + 4).
template <class T>
TAGIX_HD TAGIX_INLINE UpperTail<T> upper_tail(T distance, T sd, T var) {
  using S = scalar_of_t<T>;
  // Keeps 0 / 0 out: with var = 0 there is no tail. Added, since comparing takes longer.
  const T tiny = broadcast<T>(S(detail::is_double<T> ? 1e-300 : 1.2e-38));
  const T exponent = distance * distance / (2 * var + tiny);
  const T u = sd / (distance + 4 * sd + tiny);
  const T t = 1 - 8 * u;

  const T decay =
      select(exponent > S(tail_cutoff * tail_cutoff / 2), broadcast<T>(0), exp_in_range(-exponent));
  const T scaled = u * detail::scaled_first_tail(t);
  const T first = u * scaled;
  const T second = u * u * (u * detail::scaled_second_tail(t));

  UpperTail<T> tail;
  tail.density = decay * S(0.39894228040143267794);
  tail.probability = decay * ((second + scaled) - 4 * first);
  tail.first = decay * first;
  tail.second = decay * second;
  // decay outside the bracket: its square would be denormal.
  tail.var = decay * (second - decay * (first * first));
  return tail;
}

/// log N(x; mean, var) = -(log(2 pi var) + (x - mean)^2 / var) / 2.
TAGIX_HD TAGIX_INLINE double normal_log_density(double x, double mean, double var) {
  constexpr double two_pi = 6.283185307179586477;
  const double error = x - mean;
  return -0.5 * (__builtin_log(two_pi * var) + error * error / var);
}

/// phi(x), the standard normal density.
template <class T>
TAGIX_HD TAGIX_INLINE T normal_density(T x) {
  using S = scalar_of_t<T>;
  return S(0.39894228040143267794) * exp(S(-0.5) * x * x);
}

/// Phi(x), the standard normal distribution function: accurate relative to itself in the lower
/// tail (errors of `upper_tail`), 0 below -12.5.
template <class T>
TAGIX_HD TAGIX_INLINE T normal_cdf(T x) {
  const T one = broadcast<T>(1);
  const T tail = upper_tail(abs(x), one, one).probability;
  return select(x < 0, tail, 1 - tail);
}

/// log Phi(x), finite wherever x^2 is. With a = |x|, it is log(1 - P(X > a)) above 0, log P(X > a)
/// below, and beyond 12 the asymptotic series
///
///   log P(X > a) = -a^2 / 2 - log(a sqrt(2 pi)) + log(1 - 1/a^2 + 3/a^4 - 15/a^6)
template <class T>
TAGIX_HD TAGIX_INLINE T log_normal_cdf(T x) {
  using S = scalar_of_t<T>;
  const T one = broadcast<T>(1), far = broadcast<T>(S(12));
  const T a = abs(x);
  const T tail = upper_tail(min(a, far), one, one).probability;
  const T beyond = max(a, far), square = 1 / (beyond * beyond);
  const T series = log1p(-square * (1 - square * (3 - 15 * square)));
  const T far_tail = series - beyond * beyond / 2 - log(beyond * S(2.50662827463100050242));
  return select(x < broadcast<T>(0), select(a > far, far_tail, log(tail)), log1p(-tail));
}

}  // namespace tagix::math
