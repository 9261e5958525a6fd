#pragma once

#include <type_traits>

#include "core/index.h"

namespace tagix {

/// Views of the slopes of an activation's moments (math::ActivationSlopes), one array for each.
template <class Pointer>
struct BasicSlopesView {
  Pointer mean_by_mean = nullptr;
  Pointer mean_by_var = nullptr;
  Pointer var_by_mean = nullptr;
  Pointer var_by_var = nullptr;

  /// The four planes of `size` slopes that lie one after the other.
  static constexpr BasicSlopesView planes(Pointer first, Index size) {
    return {first, first + size, first + 2 * size, first + 3 * size};
  }

  /// The slopes from `offset` on.
  constexpr BasicSlopesView from(Index offset) const {
    return {mean_by_mean + offset, mean_by_var + offset, var_by_mean + offset, var_by_var + offset};
  }

  /// A view that may be written serves as one that may not.
  template <class Other>
    requires(!std::is_same_v<Other, Pointer> && std::is_convertible_v<Pointer, Other>)
  constexpr operator BasicSlopesView<Other>() const {
    return {mean_by_mean, mean_by_var, var_by_mean, var_by_var};
  }
};

using SlopesView = BasicSlopesView<float*>;
using ConstSlopesView = BasicSlopesView<const float*>;

}  // namespace tagix
