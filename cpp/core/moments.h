#pragma once

#include <type_traits>

#include "core/host.h"
#include "core/index.h"

namespace tagix {

/// Some columns of a matrix of Gaussians (BasicMomentsView): rows x cols, the rows `stride` values
/// apart.
template <class Pointer>
struct BasicColumnsView {
  Pointer mean = nullptr;
  Pointer var = nullptr;
  Index rows = 0;
  Index cols = 0;
  Index stride = 0;

  /// A view that may be written serves as one that may not.
  template <class Other>
    requires(!std::is_same_v<Other, Pointer> && std::is_convertible_v<Pointer, Other>)
  constexpr operator BasicColumnsView<Other>() const {
    return {mean, var, rows, cols, stride};
  }
};

/// A view of independent Gaussians: a rows x cols plane of means and one of variances, each
/// row-major and dense. It serves activations, parameters and innovations alike (an innovation
/// keeps delta_mean in `mean` and delta_var in `var`), in the memory that pointers of this type are
/// to: a backend's, or the host's.
///
/// In an input, `var == nullptr` says that every value is known exactly.
template <class Pointer>
struct BasicMomentsView {
  Pointer mean = nullptr;
  Pointer var = nullptr;
  Index rows = 0;
  Index cols = 0;

  constexpr Index size() const { return rows * cols; }

  /// The Gaussians from `offset` on, in row-major order, as a view of the given shape.
  constexpr BasicMomentsView slice(Index offset, Index slice_rows, Index slice_cols) const {
    return {mean + offset, var == nullptr ? var : var + offset, slice_rows, slice_cols};
  }

  /// `count` columns from `first` on.
  constexpr BasicColumnsView<Pointer> columns(Index first, Index count) const {
    return {mean + first, var == nullptr ? var : var + first, rows, count, cols};
  }

  /// A view that may be written serves as one that may not.
  template <class Other>
    requires(!std::is_same_v<Other, Pointer> && std::is_convertible_v<Pointer, Other>)
  constexpr operator BasicMomentsView<Other>() const {
    return {mean, var, rows, cols};
  }
};

using MomentsView = BasicMomentsView<float*>;
using ConstMomentsView = BasicMomentsView<const float*>;
using ColumnsView = BasicColumnsView<float*>;
using ConstColumnsView = BasicColumnsView<const float*>;
/// Moments as they come from a user.
using HostMoments = BasicMomentsView<HostPointer<const float>>;

}  // namespace tagix
