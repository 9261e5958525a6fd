#pragma once

#include "math/activation_moments.h"
#include "math/logistic_moments.h"
#include "math/normal.h"
#include "math/quadrature.h"
#include "math/scalar.h"
#include "math/target.h"

// Activations with derivatives everywhere: their moments have a closed form where they are built of
// exp and the normal distribution, are those of a mixture of normals where they are built of the
// sigmoid, and come by quadrature else (math/activations.h says what a struct has).

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
  static constexpr float narrow_var = 1.2f;

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
  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationMoments<T> exact(T mean, T var) const {
    return sigmoid_moments(mean, var);
  }
};

/// f(z) = tanh(z).
struct Tanh : ByQuadrature<Tanh> {
  static constexpr float narrow_var = 0.18f;

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
  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationMoments<T> exact(T mean, T var) const {
    return tanh_moments(mean, var);
  }
};

/// f(z) = log(1 + exp(z)).
struct Softplus : ByQuadrature<Softplus> {
  static constexpr float narrow_var = 1.5f;

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
  static constexpr float narrow_var = 0.85f;

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
  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationMoments<T> exact(T mean, T var) const {
    return silu_moments(mean, var);
  }
};

/// f(z) = z Phi(z).
struct GELU : ByQuadrature<GELU> {
  static constexpr float narrow_var = 0.5f;

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

  /// With k = sqrt(1 + var), h = mean / k, b = 1 / sqrt(1 + 2 var), P = Phi(h), C = Phi(h b) and
  /// p = phi(h) / k = E phi(z):
  ///
  ///   E f = mean P + var p,   E f' = P + mean p / k^2
  ///   Var f = mean^2 D + var (P^2 + D) + 2 mean var p (2 C - P) + var^2 (S - p^2)
  ///   D = Var Phi(z) = (1 / pi) integral from b to 1 of exp(-h^2 (1 + x^2) / 2) / (1 + x^2) dx
  ///   S = d^2 E Phi(z)^2 / d mean^2 = 2 p (b phi(h b) - h C) / k
  ///
  /// from Stein's lemma for z^2 Phi(z)^2 and E Phi(z)^2 = P - 2 T(h, b) with Owen's T, of which
  /// P (1 - P) = 2 T(h, 1) (Owen, Tables for computing bivariate normal probabilities, 1956). The
  /// integral is taken by Gauss-Legendre with 5 nodes. Error relative to max(1, |value|) 3e-6 for
  /// |mean| <= 12, whatever the variance.
  template <class T>
  TAGIX_HD TAGIX_INLINE ActivationMoments<T> exact(T mean, T var) const {
    using S = scalar_of_t<T>;
    constexpr S node[] = {S(0.04691007703066800), S(0.2307653449471585), S(0.5),
                          S(0.7692346550528415), S(0.9530899229693319)};
    constexpr S weight[] = {S(0.1184634425280945), S(0.2393143352496832), S(0.2844444444444444),
                            S(0.2393143352496832), S(0.1184634425280945)};
    const T per_k = inverse_sqrt(1 + var), b = inverse_sqrt(1 + 2 * var);
    const T h = mean * per_k;
    const T density = normal_density(h) * per_k, probability = normal_cdf(h);
    const T conditional = normal_cdf(h * b);
    const T exponent = max(S(-0.5) * h * h, broadcast<T>(S(-43)));  // exp of twice it is in range
    const T gap = 2 * var * b * b * reciprocal(1 + b);              // 1 - b
    T sum = broadcast<T>(0);
    TAGIX_UNROLL(5)
    for (int i = 0; i < 5; ++i) {
      const T x = b + gap * node[i];
      const T square = 1 + x * x;
      sum = sum + weight[i] * exp_in_range(exponent * square) * reciprocal(square);
    }
    const T excess = S(0.31830988618379067) * gap * sum;  // D
    const T second = 2 * density * per_k * (b * normal_density(h * b) - h * conditional);
    const T f_var = mean * mean * excess + var * (probability * probability + excess) +
                    2 * mean * var * density * (2 * conditional - probability) +
                    var * var * (second - density * density);
    return {mean * probability + var * density, max(f_var, broadcast<T>(0)),
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
