#pragma once

#include "math/scalar.h"
#include "math/target.h"

// What passing z ~ N(mean, var) through a function f gives, and the two ways of working it out:
// exactly, or to first order about the mean.

namespace tagix::math {

/// Moments of f(z) for z ~ N(mean, var).
template <class T>
struct ActivationMoments {
  T mean;      ///< E f(z)
  T var;       ///< Var f(z)
  T jacobian;  ///< Cov(z, f(z)) / var = E f'(z)
};

/// How the moments of f(z) follow those of z: their derivatives by (mean, var).
template <class T>
struct ActivationSlopes {
  T mean_by_mean;  ///< d E f / d mean = E f'
  T mean_by_var;   ///< d E f / d var = E f'' / 2
  T var_by_mean;   ///< d Var f / d mean = 2 Cov(f, f')
  T var_by_var;    ///< d Var f / d var = E f'^2 + Cov(f, f'')
};

/// Elementwise mask ? a : b, where `mask` is a comparison of Ts.
template <class Mask, class T>
TAGIX_HD TAGIX_INLINE ActivationMoments<T> select(Mask mask, const ActivationMoments<T>& a,
                                                  const ActivationMoments<T>& b) {
  return {select(mask, a.mean, b.mean), select(mask, a.var, b.var),
          select(mask, a.jacobian, b.jacobian)};
}
template <class Mask, class T>
TAGIX_HD TAGIX_INLINE ActivationSlopes<T> select(Mask mask, const ActivationSlopes<T>& a,
                                                 const ActivationSlopes<T>& b) {
  return {select(mask, a.mean_by_mean, b.mean_by_mean), select(mask, a.mean_by_var, b.mean_by_var),
          select(mask, a.var_by_mean, b.var_by_mean), select(mask, a.var_by_var, b.var_by_var)};
}

/// The slopes of the moments of z + f(z), mean + E f and var + Var f + 2 var J with J = E f', from
/// those of f(z) and d J / d log sd = 2 var d J / d var. As d J / d mean = 2 d E f / d var, they
/// are
///
///   1 + J,   d E f / d var,   d Var f / d mean + 4 var d E f / d var,
///   1 + d Var f / d var + 2 J + d J / d log sd
template <class T>
TAGIX_HD TAGIX_INLINE ActivationSlopes<T> residual_slopes(const ActivationSlopes<T>& f,
                                                          T jacobian_by_log_sd, T var) {
  return {1 + f.mean_by_mean, f.mean_by_var, f.var_by_mean + 4 * var * f.mean_by_var,
          1 + f.var_by_var + 2 * f.mean_by_mean + jacobian_by_log_sd};
}

/// (mean, var) -> exact moments of F.
template <class F>
struct ExactMoments {
  F activation;

  template <class T>
  TAGIX_HD TAGIX_INLINE T value(T z) const {
    return activation.value(z);
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationMoments<T> operator()(T mean, T var) const {
    return activation.exact(mean, var);
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationSlopes<T> slopes(T mean, T var,
                                                   const ActivationMoments<T>& f) const {
    return activation.exact_slopes(mean, var, f);
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationSlopes<T> slopes(T mean, T var) const {
    return slopes(mean, var, activation.exact(mean, var));
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationSlopes<T> slopes_of_residual(T mean, T var) const {
    return residual_slopes(slopes(mean, var), activation.jacobian_by_log_sd(mean, var), var);
  }
};

/// First-order moments from f(mean) and f'(mean): mean f, var f'^2 var, Jacobian f'.
template <class T>
TAGIX_HD TAGIX_INLINE ActivationMoments<T> first_order_moments(T value, T slope, T var) {
  return {value, slope * slope * var, slope};
}

/// Their slopes, with f' and f'' at the mean: f', 0, 2 f' f'' var and f'^2.
template <class T>
TAGIX_HD TAGIX_INLINE ActivationSlopes<T> first_order_slopes(T slope, T second_derivative, T var) {
  return {slope, broadcast<T>(0), 2 * slope * second_derivative * var, slope * slope};
}

/// (mean, var) -> first-order moments of F.
template <class F>
struct FirstOrderMoments {
  F activation;

  template <class T>
  TAGIX_HD TAGIX_INLINE T value(T z) const {
    return activation.value(z);
  }

  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationMoments<T> operator()(T mean, T var) const {
    return first_order_moments(activation.value(mean), activation.derivative(mean), var);
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationSlopes<T> slopes(T mean, T var,
                                                   const ActivationMoments<T>& f) const {
    return first_order_slopes(f.jacobian, activation.second_derivative(mean), var);
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationSlopes<T> slopes(T mean, T var) const {
    return slopes(mean, var, (*this)(mean, var));
  }
  /// z + f(z) has the slope 1 + f'.
  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationSlopes<T> slopes_of_residual(T mean, T var) const {
    return first_order_slopes(1 + activation.derivative(mean), activation.second_derivative(mean),
                              var);
  }
};

}  // namespace tagix::math
