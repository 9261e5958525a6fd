#pragma once

#include <algorithm>

#include "core/index.h"
#include "cpu/threads.h"

namespace tagix::cpu {

constexpr Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

/// Elements of an elementwise operation that a thread takes at a time: their planes fit the
/// first-level cache twice.
constexpr Index elementwise_piece = 8192;

/// A rough cost of an elementwise operation, which decides whether other threads are woken.
constexpr double element_ns = 0.5;

/// The same of a multiply-add in a matrix product.
constexpr double multiply_add_ns = 0.02;

/// Calls body(first, count) over pieces of `size` elements, on several threads where that pays.
template <class Body>
void for_pieces(Index size, Index piece, double nanoseconds_each, Body&& body) {
  parallel_for(ceil_div(size, piece), static_cast<double>(size) * nanoseconds_each,
               [&](Index chunk) {
                 const Index first = chunk * piece;
                 body(first, std::min(piece, size - first));
               });
}

/// Calls body(first, count) for the pieces of an elementwise operation.
template <class Body>
void for_element_pieces(Index size, Body&& body) {
  for_pieces(size, elementwise_piece, element_ns, body);
}

/// Rows of a product that a thread takes at a time: whole register tiles at every level.
constexpr Index product_piece = 96;

/// Calls body(first, count) for pieces of the rows of a product, each of which takes as many
/// multiply-adds.
template <class Body>
void for_product_pieces(Index rows, double multiply_adds, Body&& body) {
  for_pieces(rows, product_piece, multiply_adds * multiply_add_ns, body);
}

/// A plane from element `first` on; null for a plane that is not there.
inline const float* plane_from(const float* plane, Index first) {
  return plane == nullptr ? nullptr : plane + first;
}

/// Calls op(i) for every element.
template <class Op>
void for_elements(Index size, const Op& op, double nanoseconds_each = element_ns) {
  for_pieces(size, elementwise_piece, nanoseconds_each, [&op](Index first, Index count) {
    // A copy that nothing else points to: no element that is written can change it.
    const Op each = op;
    for (Index i = first; i < first + count; ++i) each(i);
  });
}

/// Calls body(row) for rows that each take so many nanoseconds.
template <class Body>
void for_rows(Index n_rows, double nanoseconds_each, Body&& body) {
  for_pieces(n_rows, 512, nanoseconds_each, [&](Index first, Index count) {
    for (Index row = first; row < first + count; ++row) body(row);
  });
}

}  // namespace tagix::cpu
