#pragma once

#include "math/activation_moments.h"
#include "math/scalar.h"
#include "math/target.h"

namespace tagix::math {

/// E g(X) = sum_k weight[k] g(node[k]) for X standard normal. S is float or double.
template <class S, int size>
struct QuadratureRule {
  static constexpr int n_nodes = size;
  S node[size];
  S weight[size];
};

constexpr int n_quadrature_nodes = 30;

/// The rule for any variance, exact for polynomials of degree 5.
///
/// A trapezoid rule with spacing that grows into the tails (tools/fit_quadrature.py derives it).
/// For sigmoid, tanh, softplus, SiLU and GELU with z ~ N(mean, sd^2), |mean| <= 12, the largest
/// error of mean, var and Jacobian, relative to max(1, |value|), beside Gauss-Hermite of as many
/// nodes:
///
///     sd                1e-3 to 4      6        8        12
///     tanh              9e-5           2e-3     7e-3     2e-2     (Gauss-Hermite 5e-2 at 4)
///     SiLU, GELU        6e-5           3e-4     1e-3     9e-3     (Gauss-Hermite 2e-2)
///     softplus          6e-5           1e-4     2e-4     2e-4     (Gauss-Hermite 3e-4)
///     sigmoid           2e-6           3e-6     2e-5     5e-4     (Gauss-Hermite 7e-4)
template <class S>
TAGIX_HD constexpr QuadratureRule<S, n_quadrature_nodes> quadrature_rule() {
  return {{S(-4.070236432485), S(-3.494766916587), S(-3.088224334329), S(-2.7481584767),
           S(-2.44584407204),  S(-2.16825794019),  S(-1.908148539556), S(-1.66095560505),
           S(-1.423561682055), S(-1.193696718208), S(-0.969620151237), S(-0.749935914007),
           S(-0.533476783496), S(-0.319227123465), S(-0.106267600867), S(0.106267600867),
           S(0.319227123465),  S(0.533476783496),  S(0.749935914007),  S(0.969620151237),
           S(1.193696718208),  S(1.423561682055),  S(1.66095560505),   S(1.908148539556),
           S(2.16825794019),   S(2.44584407204),   S(2.7481584767),    S(3.088224334329),
           S(3.494766916587),  S(4.070236432485)},
          {S(7.8915597e-05),  S(0.000407972505), S(0.00123999001),  S(0.002908041661),
           S(0.005779010559), S(0.010185855946), S(0.01634694831),  S(0.024288601557),
           S(0.03378885761),  S(0.044358248796), S(0.055266993107), S(0.065619073286),
           S(0.074463834245), S(0.080927303186), S(0.084340353625), S(0.084340353625),
           S(0.080927303186), S(0.074463834245), S(0.065619073286), S(0.055266993107),
           S(0.044358248796), S(0.03378885761),  S(0.024288601557), S(0.01634694831),
           S(0.010185855946), S(0.005779010559), S(0.002908041661), S(0.00123999001),
           S(0.000407972505), S(7.8915597e-05)}};
}

/// Gauss-Hermite, exact for polynomials of degree 23: the rule for variances up to `narrow_var`,
/// which each activation states. There the errors of its moments and of their slopes are 1e-5 at
/// most, in the measure above, and they fall fast below it.
template <class S>
TAGIX_HD constexpr QuadratureRule<S, 12> narrow_quadrature_rule() {
  return {
      {S(-5.500901704467748), S(-4.271825847932282), S(-3.223709828770098), S(-2.259464451000799),
       S(-1.340375197151617), S(-0.444403001944139), S(0.444403001944139), S(1.340375197151617),
       S(2.259464451000799), S(3.223709828770098), S(4.271825847932282), S(5.500901704467748)},
      {S(1.49992717e-07), S(4.8371849226e-05), S(0.002203380687533), S(0.029116687912364),
       S(0.14696704804533), S(0.32166436151283), S(0.32166436151283), S(0.14696704804533),
       S(0.029116687912364), S(0.002203380687533), S(4.8371849226e-05), S(1.49992717e-07)}};
}

// The rule in float, for callers who evaluate a function themselves.
constexpr auto float_quadrature_rule = quadrature_rule<float>();
static constexpr const auto& quadrature_nodes = float_quadrature_rule.node;
static constexpr const auto& quadrature_weights = float_quadrature_rule.weight;

/// Where f is evaluated for a node: mean + sd node.
template <class T>
TAGIX_HD TAGIX_INLINE T quadrature_point(T mean, T sd, scalar_of_t<T> node) {
  return mean + node * sd;
}

/// Moments from the values and derivatives of f at the points of quadrature_point, added one
/// by one:
///
///   E f = sum w f,   Var f = sum w (f - c)^2 - (sum w (f - c))^2,   E f' = sum w f'
///
/// The pivot c is f at the mean (or at node n_quadrature_nodes / 2, next to it), the median of f(z)
/// if f is monotone. Mean and median are within a standard deviation of each other, so the
/// subtraction costs one bit and no second pass is needed.
template <class T>
class QuadratureSums {
 public:
  TAGIX_HD TAGIX_INLINE explicit QuadratureSums(T pivot)
      : pivot_(pivot),
        first_(broadcast<T>(0)),
        second_(broadcast<T>(0)),
        jacobian_(broadcast<T>(0)) {}

  TAGIX_HD TAGIX_INLINE void add(scalar_of_t<T> weight, T value, T derivative) {
    const T deviation = value - pivot_;
    first_ = first_ + weight * deviation;
    second_ = second_ + weight * deviation * deviation;
    jacobian_ = jacobian_ + weight * derivative;
  }

  TAGIX_HD TAGIX_INLINE ActivationMoments<T> moments() const {
    return {pivot_ + first_, max(second_ - first_ * first_, broadcast<T>(0)), jacobian_};
  }

 private:
  T pivot_, first_, second_, jacobian_;
};

/// The slopes of the moments that QuadratureSums gives, from the same values and derivatives. With
/// z = mean + sd u, d z / d mean = 1 and d z / d var = u / (2 sd):
///
///   d E f / d mean = E f',                      d E f / d var = E[f' u] / (2 sd)
///   d Var f / d mean = 2 E[(f - E f) f'],       d Var f / d var = E[(f - E f) f' u] / sd
///
/// The slopes by var lose digits as sd falls, by about 1e-7 |f'| / sd in float. What they are
/// multiplied by on the way does not let that count: var >= 0 everywhere, so |d var| <= 2 sd |d
/// sd|, and sd cancels. At sd = 0, where d var = 0, the first is taken as 0 and the second as f'^2.
template <class T>
class QuadratureSlopes {
 public:
  TAGIX_HD TAGIX_INLINE QuadratureSlopes(T pivot, T sd)
      : pivot_(pivot),
        sd_(sd),
        deviation_(broadcast<T>(0)),
        slope_(broadcast<T>(0)),
        slope_node_(broadcast<T>(0)),
        product_(broadcast<T>(0)),
        product_node_(broadcast<T>(0)) {}

  TAGIX_HD TAGIX_INLINE void add(scalar_of_t<T> weight, scalar_of_t<T> node, T value,
                                 T derivative) {
    const T deviation = weight * (value - pivot_);
    const T slope = weight * derivative;
    deviation_ = deviation_ + deviation;
    slope_ = slope_ + slope;
    slope_node_ = slope_node_ + node * slope;
    product_ = product_ + deviation * derivative;
    product_node_ = product_node_ + node * deviation * derivative;
  }

  TAGIX_HD TAGIX_INLINE ActivationSlopes<T> slopes() const {
    using S = scalar_of_t<T>;
    const T per_sd = inverse_or_zero(sd_);
    const T var_by_var = per_sd * (product_node_ - deviation_ * slope_node_);
    return {slope_, S(0.5) * per_sd * slope_node_, 2 * (product_ - deviation_ * slope_),
            select(sd_ > 0, var_by_var, slope_ * slope_)};
  }

 private:
  T pivot_, sd_, deviation_, slope_, slope_node_, product_, product_node_;
};

/// 2 var d E f' / d var = E[f' (u^2 - 1)] from the derivatives at those points, added one by one.
template <class T>
class QuadratureJacobianSlope {
 public:
  TAGIX_HD TAGIX_INLINE void add(scalar_of_t<T> weight, scalar_of_t<T> node, T derivative) {
    sum_ = sum_ + weight * (node * node - 1) * derivative;
  }
  TAGIX_HD TAGIX_INLINE T by_log_sd() const { return sum_; }

 private:
  T sum_ = broadcast<T>(0);
};

/// from(rule), element by element with the narrow rule where var <= narrow_var, else with that for
/// any variance. A vector whose elements agree costs one of the two.
template <class T, class From>
TAGIX_HD TAGIX_INLINE auto by_variance(T var, scalar_of_t<T> narrow_var, const From& from) {
  using S = scalar_of_t<T>;
  const auto is_wide = var > narrow_var;
  if (!any(is_wide)) return from(narrow_quadrature_rule<S>());
  const auto wide = from(quadrature_rule<S>());
  if (!any(var <= narrow_var)) return wide;
  return select(is_wide, wide, from(narrow_quadrature_rule<S>()));
}

/// Moments of f(z), z ~ N(mean, var), by quadrature: f has value(z), derivative(z) and the constant
/// narrow_var.
template <class F, class T>
TAGIX_HD TAGIX_INLINE ActivationMoments<T> quadrature_moments(const F& f, T mean, T var) {
  const T sd = sqrt(var);
  return by_variance(var, F::narrow_var, [&](const auto& rule) TAGIX_INLINE_LAMBDA {
    QuadratureSums<T> sums(f.value(mean));
    TAGIX_UNROLL(12)
    for (int k = 0; k < rule.n_nodes; ++k) {
      const T z = quadrature_point(mean, sd, rule.node[k]);
      sums.add(rule.weight[k], f.value(z), f.derivative(z));
    }
    return sums.moments();
  });
}

/// The slopes of those moments.
template <class F, class T>
TAGIX_HD TAGIX_INLINE ActivationSlopes<T> quadrature_slopes(const F& f, T mean, T var) {
  const T sd = sqrt(var);
  return by_variance(var, F::narrow_var, [&](const auto& rule) TAGIX_INLINE_LAMBDA {
    QuadratureSlopes<T> sums(f.value(mean), sd);
    for (int k = 0; k < rule.n_nodes; ++k) {
      const T z = quadrature_point(mean, sd, rule.node[k]);
      sums.add(rule.weight[k], rule.node[k], f.value(z), f.derivative(z));
    }
    return sums.slopes();
  });
}

/// 2 var d E f' / d var, by the same rule.
template <class F, class T>
TAGIX_HD TAGIX_INLINE T quadrature_jacobian_by_log_sd(const F& f, T mean, T var) {
  const T sd = sqrt(var);
  return by_variance(var, F::narrow_var, [&](const auto& rule) TAGIX_INLINE_LAMBDA {
    QuadratureJacobianSlope<T> sum;
    for (int k = 0; k < rule.n_nodes; ++k) {
      const T z = quadrature_point(mean, sd, rule.node[k]);
      sum.add(rule.weight[k], rule.node[k], f.derivative(z));
    }
    return sum.by_log_sd();
  });
}

}  // namespace tagix::math
