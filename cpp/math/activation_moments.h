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
  TAGIX_HD TAGIX_INLINE ActivationSlopes<T> slopes(T mean, T var) const {
    return activation.exact_slopes(mean, var);
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
  TAGIX_HD TAGIX_INLINE ActivationSlopes<T> slopes(T mean, T var) const {
    return first_order_slopes(activation.derivative(mean), activation.second_derivative(mean), var);
  }
};

}  // namespace tagix::math
