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

}  // namespace tagix::conformance
