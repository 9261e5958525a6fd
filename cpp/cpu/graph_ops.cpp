#include "cpu/graph_ops.h"

#include <algorithm>

#include "cpu/pieces.h"
#include "ops/gather.h"
#include "ops/largest.h"
#include "ops/mix.h"
#include "ops/product.h"
#include "ops/residual_activation.h"

namespace tagix::cpu {
namespace {

/// Calls body(first, rows) for pieces of a matrix, of which a row takes so many nanoseconds.
template <class Body>
void for_row_pieces(Index rows, Index cols, double nanoseconds_each, Body&& body) {
  const Index piece = std::max<Index>(1, elementwise_piece / std::max<Index>(1, cols));
  for_pieces(rows, piece, nanoseconds_each, body);
}

/// Calls body(from, to, size) for pieces of rows of columns: offsets into either matrix. Rows that
/// lie one after the other in both are taken as one.
template <class Body>
void for_runs(const ConstColumnsView& from, const ColumnsView& to, Body&& body) {
  if (from.stride == from.cols && to.stride == to.cols) {
    for_pieces(to.rows * to.cols, elementwise_piece, element_ns,
               [&body](Index first, Index count) { body(first, first, count); });
    return;
  }
  for_row_pieces(to.rows, to.cols, element_ns * static_cast<double>(to.cols),
                 [&](Index first, Index count) {
                   for (Index row = first; row < first + count; ++row) {
                     body(row * from.stride, row * to.stride, to.cols);
                   }
                 });
}

}  // namespace

void copy_columns(ConstColumnsView values, ColumnsView target) {
  for_runs(values, target, [&](Index from, Index to, Index size) {
    std::copy_n(values.mean + from, size, target.mean + to);
    if (target.var == nullptr) return;
    if (values.var == nullptr) {
      std::fill_n(target.var + to, size, 0.0f);
    } else {
      std::copy_n(values.var + from, size, target.var + to);
    }
  });
}

void add_columns(ConstColumnsView values, ColumnsView sum) {
  const auto add = [](const float* from, Index size, float* to) {
    for (Index i = 0; i < size; ++i) to[i] += from[i];
  };
  for_runs(values, sum, [&](Index from, Index to, Index size) {
    add(values.mean + from, size, sum.mean + to);
    if (sum.var != nullptr && values.var != nullptr) add(values.var + from, size, sum.var + to);
  });
}

void clear_columns(ColumnsView target) {
  for_runs(target, target, [&](Index, Index to, Index size) {
    std::fill_n(target.mean + to, size, 0.0f);
    if (target.var != nullptr) std::fill_n(target.var + to, size, 0.0f);
  });
}

void mix(ConstMomentsView input, const TapsView& taps, bool add, MomentsView output) {
  constexpr double tap_ns = 0.2;
  const ops::Mix op{input, taps, add, output};
  const Index cols = output.cols;
  const double n_taps = 1 + static_cast<double>(taps.inputs) / static_cast<double>(taps.results);
  // A tap at a time, over the channels, which lie side by side.
  for_row_pieces(output.rows, cols, n_taps * static_cast<double>(cols) * tap_ns,
                 [&](Index first, Index count) {
                   for (Index row = first; row < first + count; ++row) op.sum_row(row);
                 });
}

void gather(const float* input, Index channels, const PositionsView& positions, Index first_row,
            Index rows, float* output) {
  const ops::Gather op{input, channels, positions, first_row, output};
  constexpr double copy_ns = 0.1;
  for_row_pieces(rows, op.cols(), static_cast<double>(op.cols()) * copy_ns,
                 [&](Index first, Index count) {
                   for (Index row = first; row < first + count; ++row) op.gather_row(row);
                 });
}

void largest(ConstMomentsView input, const PositionsView& windows, MomentsView output,
             float* choice) {
  for_elements(output.size(), ops::Largest{input, windows, output, choice});
}

void largest_backward(ConstMomentsView delta, const float* choice, Index n_choices,
                      const PositionsView& readers, bool add, MomentsView below) {
  for_elements(below.size(), ops::LargestBackward{delta, choice, n_choices, readers, add, below});
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
