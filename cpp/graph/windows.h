#pragma once

#include <functional>
#include <optional>

#include "graph/rules.h"

namespace tagix::graph {

/// An affine map of windows, a convolution, in a pass. Where the backend has products of the
/// windows of images (Backend::image_products), they do it, but for adjoints. Else it is the
/// operations of affine maps on tiles of gathered rows. So a device needs one operation for all
/// convolutions, and memory for a tile in place of one for all windows. What goes down is the same
/// map of innovations, which are gathered by the transposed table and multiplied with the weight by
/// taps:
///
///   up     z[p] = sum_t W_t a[position(p, t)] + b
///   down   delta_a[q] = sum_t W_t^T delta_z[p(q, t)]
///
/// where p(q, t) is the result whose tap t reads the position q.
class WindowedAffine {
 public:
  /// Of a node that is an affine map with taps.
  WindowedAffine(const Pass& pass, Value node);

  /// Backend::affine_forward, affine_means and affine_backward.
  void forward(const std::optional<Epilogue>& epilogue, MomentsView output) const;
  void means(float* output) const;
  void backward(ConstMomentsView delta, const float* jacobian, MomentsView below) const;

  /// learn_affine; `add` of the first tile.
  void learn(ConstMomentsView delta, bool add,
             const std::function<void(const AffinePass&)>& take) const;

  /// Backend::affine_adjoint.
  void adjoint(Index n_outputs, ConstMomentsView adjoint, MomentsView below) const;
  /// Backend::affine_spread; with `by_var` alone, of an input without means and no bias.
  void spread(bool by_var, float* spread) const;
  /// Backend::add_weight_adjoint for the weight.
  void add_weight_adjoint(Index n_outputs, ConstMomentsView adjoint, ColumnsView sums) const;

 private:
  /// Calls body(first, rows) for tiles of `rows` rows of so many columns.
  template <class Body>
  void for_tiles(Index rows, Index columns, const Body& body) const;
  /// Rows of windows of the input, or of innovations by the transposed table; of a view without
  /// means or variances, without them.
  ConstMomentsView gathered(ConstMomentsView values, const TapTable& taps, Index first,
                            Index rows) const;
  /// The weight as (taps x outputs) x channels, or with the last tap first.
  ConstMomentsView weight_by_taps(bool reversed = false) const;

  /// The products of these windows, unless the backend has none that give so many channels.
  const ImageProducts* products(const std::optional<ImageWindows>& windows, Index outputs) const;

  const Pass& pass_;
  const Affine& op_;
  std::optional<ImageWindows> up_;    // what results read
  std::optional<ImageWindows> down_;  // what innovations of the input read
  ConstMomentsView input_;
  ConstMomentsView weight_;
  ConstMomentsView bias_;
  Index positions_;  // of the result
};

}  // namespace tagix::graph
