#pragma once

#include "math/activation_moments.h"
#include "math/piecewise_activations.h"
#include "math/smooth_activations.h"
#include "math/target.h"

namespace tagix::math {

// The activations f that a network may have, and their moments under z ~ N(mean, var), over T:
// double, float, or a GCC vector of floats. Each is a struct with value(z) = f(z), derivative(z) =
// f'(z), second_derivative(z) = f''(z), exact(mean, var), the moments in closed form or by
// quadrature, exact_slopes(mean, var, f), their derivatives by mean and var, for which the moments
// f = exact(mean, var) are at hand, and jacobian_by_log_sd(mean, var) = 2 var d E f' / d var. A new
// one is such a struct, in math/piecewise_activations.h or math/smooth_activations.h, a value of
// ActivationKind, and a line in visit_activation and in activation_name.

enum class ActivationKind {
  identity,
  relu,
  leaky_relu,
  hardtanh,
  sigmoid,
  tanh,
  softplus,
  silu,
  gelu,
  exp,
};

constexpr int n_activation_kinds = 10;

enum class MomentsForm {
  exact,        ///< E f, Var f and E f'
  first_order,  ///< f(mean), f'(mean)^2 var and f'(mean)
};

struct ActivationSpec {
  ActivationKind kind;
  MomentsForm form;
  float negative_slope = 0.01f;  ///< of LeakyReLU, for z < 0
};

constexpr const char* activation_name(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::identity:
      return "Identity";
    case ActivationKind::relu:
      return "ReLU";
    case ActivationKind::leaky_relu:
      return "LeakyReLU";
    case ActivationKind::hardtanh:
      return "Hardtanh";
    case ActivationKind::sigmoid:
      return "Sigmoid";
    case ActivationKind::tanh:
      return "Tanh";
    case ActivationKind::softplus:
      return "Softplus";
    case ActivationKind::silu:
      return "SiLU";
    case ActivationKind::gelu:
      return "GELU";
    case ActivationKind::exp:
      return "Exp";
  }
  return "";
}

/// Whether the exact and the first-order moments differ.
constexpr bool has_both_forms(ActivationKind kind) { return kind != ActivationKind::identity; }

namespace detail {

TAGIX_ANY_CALLABLE
template <class F, class Visitor>
TAGIX_HD TAGIX_INLINE decltype(auto) visit_form(MomentsForm form, const F& activation,
                                                Visitor&& visitor) {
  if (form == MomentsForm::first_order) return visitor(FirstOrderMoments<F>{activation});
  return visitor(ExactMoments<F>{activation});
}

}  // namespace detail

/// Calls visitor(function) with the moments that `spec` names: function(T mean, T var) returns
/// ActivationMoments<T> for any T, function.slopes(mean, var) ActivationSlopes<T>, as does
/// slopes(mean, var, moments) by what function(mean, var) has given; slopes_of_residual(mean, var)
/// are those of z + f(z), and function.value(T z) is f(z). The visitor returns one type whatever
/// the function; put the loop over elements inside it.
TAGIX_ANY_CALLABLE
template <class Visitor>
TAGIX_HD TAGIX_INLINE decltype(auto) visit_activation(const ActivationSpec& spec,
                                                      Visitor&& visitor) {
  switch (spec.kind) {
    case ActivationKind::relu:
      return detail::visit_form(spec.form, ReLU{}, visitor);
    case ActivationKind::leaky_relu:
      return detail::visit_form(spec.form, LeakyReLU{spec.negative_slope}, visitor);
    case ActivationKind::hardtanh:
      return detail::visit_form(spec.form, Hardtanh{}, visitor);
    case ActivationKind::sigmoid:
      return detail::visit_form(spec.form, Sigmoid{}, visitor);
    case ActivationKind::tanh:
      return detail::visit_form(spec.form, Tanh{}, visitor);
    case ActivationKind::softplus:
      return detail::visit_form(spec.form, Softplus{}, visitor);
    case ActivationKind::silu:
      return detail::visit_form(spec.form, SiLU{}, visitor);
    case ActivationKind::gelu:
      return detail::visit_form(spec.form, GELU{}, visitor);
    case ActivationKind::exp:
      return detail::visit_form(spec.form, Exp{}, visitor);
    case ActivationKind::identity:
      break;
  }
  return visitor(ExactMoments<Identity>{});
}

}  // namespace tagix::math
