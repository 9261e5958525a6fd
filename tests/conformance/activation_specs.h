#pragma once

#include <vector>

#include "math/activations.h"

namespace tagix::conformance {

/// Every activation in both forms of its moments.
inline std::vector<math::ActivationSpec> activation_specs() {
  std::vector<math::ActivationSpec> specs;
  for (int kind = 0; kind < math::n_activation_kinds; ++kind) {
    for (math::MomentsForm form : {math::MomentsForm::exact, math::MomentsForm::first_order}) {
      specs.push_back({static_cast<math::ActivationKind>(kind), form, 0.2f});
    }
  }
  return specs;
}

/// What is added to the magnitudes of the moments of an activation, in units of the standard
/// deviation of its input, its variance and 1: a normal tail may count as 0 beyond 8 standard
/// deviations, where it is 6e-16. `largest_error` is that of Expected.
inline double ignored_tail(const math::ActivationSpec& spec, double largest_error) {
  using enum math::ActivationKind;
  const bool has_tail = spec.kind == relu || spec.kind == leaky_relu;
  if (!has_tail || spec.form != math::MomentsForm::exact) return 0;
  return 1e-15 / (largest_error * 0x1p-24);
}

}  // namespace tagix::conformance
