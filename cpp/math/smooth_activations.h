#pragma once

#include "math/activation_moments.h"
#include "math/normal.h"
#include "math/quadrature.h"
#include "math/scalar.h"
#include "math/target.h"

// Activations with derivatives everywhere: their moments have a closed form where they are built of
// exp and the normal distribution, and come by quadrature else (math/activations.h says what a
// struct has).

namespace tagix::math {

/// Moments and slopes of an activation from its value and its derivative.
template <class Activation>
struct ByQuadrature {
  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationMoments<T> exact(T mean, T var) const {
    return quadrature_moments(activation(), mean, var);
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationSlopes<T> exact_slopes(T mean, T var,
                                                         const ActivationMoments<T>&) const {
    return quadrature_slopes(activation(), mean, var);
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE T jacobian_by_log_sd(T mean, T var) const {
    return quadrature_jacobian_by_log_sd(activation(), mean, var);
  }

 private:
  TAGIX_HD TAGIX_INLINE const Activation& activation() const {
    return static_cast<const Activation&>(*this);
  }
};

/// f(z) = 1 / (1 + exp(-z)).
struct Sigmoid : ByQuadrature<Sigmoid> {
  template <class T>
  TAGIX_HD TAGIX_INLINE T value(T z) const {
    return sigmoid(z);
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE T derivative(T z) const {
    return sigmoid_derivative(z);
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE T second_derivative(T z) const {
    return -sigmoid_derivative(z) * tanh(scalar_of_t<T>(0.5) * z);
  }
};

/// f(z) = tanh(z).
struct Tanh : ByQuadrature<Tanh> {
  template <class T>
  TAGIX_HD TAGIX_INLINE T value(T z) const {
    return tanh(z);
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE T derivative(T z) const {
    return tanh_derivative(z);
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE T second_derivative(T z) const {
    return -2 * tanh(z) * tanh_derivative(z);
  }
};

/// f(z) = log(1 + exp(z)).
struct Softplus : ByQuadrature<Softplus> {
  template <class T>
  TAGIX_HD TAGIX_INLINE T value(T z) const {
    return softplus(z);
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE T derivative(T z) const {
    return sigmoid(z);
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE T second_derivative(T z) const {
    return sigmoid_derivative(z);
  }
};

/// f(z) = z sigmoid(z).
struct SiLU : ByQuadrature<SiLU> {
  template <class T>
  TAGIX_HD TAGIX_INLINE T value(T z) const {
    return z * sigmoid(z);
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE T derivative(T z) const {
    return sigmoid(z) + z * sigmoid_derivative(z);
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE T second_derivative(T z) const {
    return sigmoid_derivative(z) * (2 - z * tanh(scalar_of_t<T>(0.5) * z));
  }
};

/// f(z) = z Phi(z).
struct GELU : ByQuadrature<GELU> {
  template <class T>
  TAGIX_HD TAGIX_INLINE T value(T z) const {
    return z * normal_cdf(z);
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE T derivative(T z) const {
    return normal_cdf(z) + z * normal_density(z);
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE T second_derivative(T z) const {
    return normal_density(z) * (2 - z * z);
  }

  /// With k = sqrt(1 + var), h = mean / k:
  ///
  ///   E f = mean Phi(h) + var phi(h) / k,   E f' = Phi(h) + mean phi(h) / k^3
  ///
  /// and the variance, which has no closed form in elementary functions, by quadrature.
  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationMoments<T> exact(T mean, T var) const {
    const T per_k = scalar_of_t<T>(1) / sqrt(1 + var);
    const T h = mean * per_k;
    const T density = normal_density(h) * per_k, probability = normal_cdf(h);
    return {mean * probability + var * density, quadrature_moments(*this, mean, var).var,
            probability + mean * per_k * per_k * density};
  }

  /// E f' as above and
  ///
  ///   d E f / d var = (d E f' / d mean) / 2 = phi(h) (1 + (1 - h^2) / k^2) / (2 k);
  ///
  /// those of the variance by quadrature.
  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationSlopes<T> exact_slopes(T mean, T var,
                                                         const ActivationMoments<T>& f) const {
    using S = scalar_of_t<T>;
    const T per_k = scalar_of_t<T>(1) / sqrt(1 + var);
    const T h = mean * per_k;
    const T density = normal_density(h) * per_k;
    ActivationSlopes<T> slopes = quadrature_slopes(*this, mean, var);
    slopes.mean_by_mean = f.jacobian;
    slopes.mean_by_var = S(0.5) * density * (1 + per_k * per_k * (1 - h * h));
    return slopes;
  }
};

/// f(z) = exp(z), log-normal.
struct Exp {
  template <class T>
  TAGIX_HD TAGIX_INLINE T value(T z) const {
    return exp(z);
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE T derivative(T z) const {
    return exp(z);
  }
  template <class T>
  TAGIX_HD TAGIX_INLINE T second_derivative(T z) const {
    return exp(z);
  }

  /// E f = E f' = exp(mean + var / 2),  Var f = exp(2 (mean + var)) (1 - exp(-var)): no factor
  /// overflows before the variance does.
  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationMoments<T> exact(T mean, T var) const {
    using S = scalar_of_t<T>;
    const T f_mean = exp(mean + S(0.5) * var);
    const T f_var = select(var > 0, -expm1(-var) * exp(S(2) * (mean + var)), T{});
    return {f_mean, f_var, f_mean};
  }

  /// E f / 2 and 2 Var f, and d Var f / d var = Var f + exp(2 (mean + var)).
  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationSlopes<T> exact_slopes(T mean, T var,
                                                         const ActivationMoments<T>& f) const {
    using S = scalar_of_t<T>;
    return {f.mean, S(0.5) * f.mean, 2 * f.var, f.var + exp(S(2) * (mean + var))};
  }

  /// E f' = E f.
  template <class T>
  TAGIX_HD TAGIX_INLINE T jacobian_by_log_sd(T mean, T var) const {
    return var * exp(mean + scalar_of_t<T>(0.5) * var);
  }
};

}  // namespace tagix::math
