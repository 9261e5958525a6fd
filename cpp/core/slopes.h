#pragma once

#include <type_traits>

#include "core/index.h"

namespace tagix {

/// Views of the slopes of an activation's moments (math::ActivationSlopes), one array for each.
template <class Scalar>
struct BasicSlopesView {
  Scalar* mean_by_mean = nullptr;
  Scalar* mean_by_var = nullptr;
  Scalar* var_by_mean = nullptr;
  Scalar* var_by_var = nullptr;

  /// The four planes of `size` slopes that lie one after the other.
  static constexpr BasicSlopesView planes(Scalar* first, Index size) {
    return {first, first + size, first + 2 * size, first + 3 * size};
  }

  /// The slopes from `offset` on.
  constexpr BasicSlopesView from(Index offset) const {
    return {mean_by_mean + offset, mean_by_var + offset, var_by_mean + offset, var_by_var + offset};
  }

  /// A view that may be written serves as one that may not.
  template <class Other>
    requires(!std::is_const_v<Scalar> && std::is_same_v<Other, const Scalar>)
  constexpr operator BasicSlopesView<Other>() const {
    return {mean_by_mean, mean_by_var, var_by_mean, var_by_var};
  }
};

using SlopesView = BasicSlopesView<float>;
using ConstSlopesView = BasicSlopesView<const float>;

}  // namespace tagix
