#include "cpu/graph_ops.h"

#include <algorithm>

#include "cpu/pieces.h"
#include "ops/columns.h"
#include "ops/mix.h"
#include "ops/product.h"
#include "ops/residual_activation.h"

namespace tagix::cpu {
namespace {

/// Calls op(i) for every element.
template <class Op>
void for_elements(Index size, const Op& op) {
  for_pieces(size, elementwise_piece, element_ns, [&op](Index first, Index count) {
    for (Index i = first; i < first + count; ++i) op(i);
  });
}

/// Calls op(row, col) for every element of a matrix, each of which takes so many nanoseconds.
template <class Op>
void for_cells(Index rows, Index cols, double nanoseconds_each, const Op& op) {
  if (rows == 1) {
    for_pieces(cols, elementwise_piece, nanoseconds_each, [&op](Index first, Index count) {
      for (Index col = first; col < first + count; ++col) op(0, col);
    });
    return;
  }
  const Index piece = std::max<Index>(1, elementwise_piece / std::max<Index>(1, cols));
  for_pieces(rows, piece, nanoseconds_each * static_cast<double>(cols),
             [&op, cols](Index first, Index count) {
               for (Index row = first; row < first + count; ++row) {
                 for (Index col = 0; col < cols; ++col) op(row, col);
               }
             });
}

/// Whole rows that lie one after the other are one long row.
template <class View>
bool is_dense(const View& view) {
  return view.stride == view.cols;
}
template <class View>
View as_one_row(View view) {
  return {view.mean, view.var, 1, view.rows * view.cols, view.rows * view.cols};
}

}  // namespace

void copy_columns(ConstColumnsView values, ColumnsView target) {
  if (is_dense(values) && is_dense(target)) {
    values = as_one_row(values);
    target = as_one_row(target);
  }
  for_cells(target.rows, target.cols, element_ns, ops::CopyColumns{values, target});
}

void add_columns(ConstColumnsView values, ColumnsView sum) {
  if (is_dense(values) && is_dense(sum)) {
    values = as_one_row(values);
    sum = as_one_row(sum);
  }
  for_cells(sum.rows, sum.cols, element_ns, ops::AddColumns{values, sum});
}

void clear_columns(ColumnsView target) {
  if (is_dense(target)) target = as_one_row(target);
  for_cells(target.rows, target.cols, element_ns, ops::ClearColumns{target});
}

void mix(ConstMomentsView input, const TapsView& taps, bool add, MomentsView output) {
  constexpr double tap_ns = 1;
  const double taps_each =
      static_cast<double>(taps.inputs + taps.results) / static_cast<double>(taps.results);
  for_cells(output.rows, output.cols, taps_each * tap_ns, ops::Mix{input, taps, add, output});
}

void product(ConstMomentsView a, ConstMomentsView b, MomentsView output) {
  for_elements(output.size(), ops::Product{a, b, output});
}

void product_slopes(ConstMomentsView a, ConstMomentsView b, SlopesView slopes) {
  for_elements(a.size(), ops::ProductSlopes{a, b, slopes});
}

void scale_deltas_to(const float* jacobian, ConstMomentsView delta, bool add, MomentsView below) {
  for_elements(below.size(), ops::ScaleDeltasTo{jacobian, delta, add, below});
}

void residual_activation(ConstMomentsView input, MomentsView output, float* jacobian) {
  for_elements(output.size(), ops::ResidualActivation{input, output, jacobian});
}

}  // namespace tagix::cpu
