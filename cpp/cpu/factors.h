#pragma once

// Elementwise passes that turn planes into the factors of products, for kernels.cpp.

#include "cpu/formats.h"
#include "cpu/kernels.h"
#include "cpu/products.h"
#include "cpu/simd.h"
#include "math/inference.h"

namespace tagix::cpu {
namespace {

/// Writes a vector of two rows (the second not there if has_next is false), of which `columns` are
/// there at most, to cells unless they are null: `by_row` and `by_sample` point to where the first
/// row goes, and store_part writes what there is of a vector.
template <class Format, class StorePart>
TAGIX_INLINE void write_part_cells(Vector value, Vector next, bool has_next, Index columns,
                                   float* by_row, Index by_row_stride, float* by_sample,
                                   const StorePart& store_part) {
  const Vector rounded = Format::round(value, has_next ? next : Vector{});
  if (by_row != nullptr && columns >= lanes<Vector>) {
    Format::store_low(rounded, by_row);
    if (has_next) Format::store_high(rounded, by_row + by_row_stride);
  } else if (by_row != nullptr) {
    Format::store_low(rounded, Format::cells(columns), by_row);
    if (has_next) Format::store_high(rounded, Format::cells(columns), by_row + by_row_stride);
  }
  if (by_sample != nullptr) store_part(Format::interleave(rounded), by_sample);
}

/// Kernels::pack_factors in one format: rows one by one, or two by two where they share cells.
template <class Format>
TAGIX_INLINE void pack_cells(bool squared, const float* values, Index stride, Index rows,
                             Index cols, const FactorCells& by_row, const FactorCells& by_sample) {
  constexpr Index step = Format::factors_per_cell;
  for (Index row = 0; row < rows; row += step) {
    const float* source = values + row * stride;
    const bool has_next = row + 1 < rows;
    float* row_cells = by_row.cells == nullptr ? nullptr : by_row.cells + row * by_row.stride;
    float* sample_cells =
        by_sample.cells == nullptr ? nullptr : by_sample.cells + row / step * by_sample.stride;
    for_each_vector(cols, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
      Vector value = load_part(source + i);
      if (squared) value *= value;
      if constexpr (step == 1) {
        if (row_cells != nullptr) store_part(value, row_cells + i);
        if (sample_cells != nullptr) store_part(value, sample_cells + i);
      } else {
        Vector next{};
        if (has_next) next = load_part(source + stride + i);
        if (squared) next *= next;
        write_part_cells<Format>(value, next, has_next, cols - i,
                                 row_cells == nullptr ? nullptr : row_cells + i / 2, by_row.stride,
                                 sample_cells == nullptr ? nullptr : sample_cells + i, store_part);
      }
    });
  }
}

/// Calls body(V type, offset) for the vectors of `columns` columns of a padded plane.
template <class Body>
TAGIX_INLINE void for_each_column_vector(Index columns, Body&& body) {
  for_each_panel(columns, [&](Index first, Index, auto vector, auto n_vectors) TAGIX_LAMBDA_INLINE {
    unroll<n_vectors.value>([&](auto c) TAGIX_LAMBDA_INLINE {
      body(vector, first + c.value * lanes<decltype(vector)>);
    });
  });
}

/// Writes the values of two rows (the second not there if has_next is false) of a padded plane to
/// cells, unless they are null. `by_row` and `by_sample` point to where the first row goes.
template <class Format, class V>
TAGIX_INLINE void write_cells(V value, V next, bool has_next, float* by_row, Index by_row_stride,
                              float* by_sample) {
  const V rounded = Format::round(value, next);
  if (by_row != nullptr) {
    Format::store_low(rounded, by_row);
    if (has_next) Format::store_high(rounded, by_row + by_row_stride);
  }
  if (by_sample != nullptr) store(Format::interleave(rounded), by_sample);
}

/// Kernels::pack_inputs with variances in bfloat16.
template <class MeanFormat, class VarFormat>
TAGIX_INLINE void pack_input_planes(const float* mean, const float* var, Index stride, Index rows,
                                    Index cols, const InputFactors& factors) {
  for_each_column_vector(cols, [&](auto vector, Index column) TAGIX_LAMBDA_INLINE {
    using V = decltype(vector);
    const auto at = [](float* cells, Index offset)
                        TAGIX_LAMBDA_INLINE { return cells == nullptr ? nullptr : cells + offset; };
    for (Index row = 0; row < rows; row += 2) {
      const bool has_next = row + 1 < rows;
      const Index position = row * stride + column, by_row_stride = stride / 2;
      const Index by_row = row * by_row_stride + column / 2;
      const Index by_sample = row / 2 * stride + column;
      const V means = load<V>(mean + position);
      const V next_means = has_next ? load<V>(mean + position + stride) : V{};
      if constexpr (MeanFormat::factors_per_cell == 2) {
        write_cells<MeanFormat>(means, next_means, has_next, at(factors.mean_by_row, by_row),
                                by_row_stride, at(factors.mean_by_sample, by_sample));
      }
      V vars{}, next_vars{};
      if (var != nullptr) {
        vars = load<V>(var + position);
        if (has_next) next_vars = load<V>(var + position + stride);
        write_cells<VarFormat>(vars, next_vars, has_next, at(factors.var_by_row, by_row),
                               by_row_stride, nullptr);
      }
      write_cells<VarFormat>(means * means + vars, next_means * next_means + next_vars, has_next,
                             at(factors.moment_by_row, by_row), by_row_stride, nullptr);
    }
    // In a loop of its own: where squares are wanted, too, moments would be rounded in another way.
    for (Index row = 0; row < rows && factors.square_by_sample != nullptr; row += 2) {
      const Index position = row * stride + column;
      const V means = load<V>(mean + position);
      const V next_means = row + 1 < rows ? load<V>(mean + position + stride) : V{};
      write_cells<VarFormat>(means * means, next_means * next_means, false, nullptr, 0,
                             factors.square_by_sample + row / 2 * stride + column);
    }
  });
}

/// Kernels::pack_deltas in two formats.
template <class MeanFormat, class VarFormat>
TAGIX_INLINE void pack_delta_planes(const float* jacobian, Index rows, Index cols, float* mean,
                                    float* var, Index stride, const DeltaFactors& factors) {
  for_each_column_vector(cols, [&](auto vector, Index column) TAGIX_LAMBDA_INLINE {
    using V = decltype(vector);
    using Deltas = math::Innovation<V>;
    const auto scaled = [&](Index row) TAGIX_LAMBDA_INLINE {
      const Index position = row * stride + column;
      const Deltas deltas{load<V>(mean + position), load<V>(var + position)};
      if (jacobian == nullptr) return deltas;
      return math::through_jacobian(deltas, load<V>(jacobian + position));
    };
    const auto write = [&](auto format, V value, V next, bool has_next, Index row, float* plane,
                           float* by_row, float* by_sample) TAGIX_LAMBDA_INLINE {
      using F = decltype(format);
      if constexpr (F::factors_per_cell == 1) {
        if (jacobian == nullptr) return;
        store(value, plane + row * stride + column);
        if (has_next) store(next, plane + (row + 1) * stride + column);
      } else {
        const Index by_row_stride = stride / 2;
        write_cells<F>(value, next, has_next,
                       by_row == nullptr ? nullptr : by_row + row * by_row_stride + column / 2,
                       by_row_stride, by_sample + row / 2 * stride + column);
      }
    };
    Deltas sums{}, next_sums{};
    for (Index row = 0; row < rows; row += 2) {
      const bool has_next = row + 1 < rows;
      const Deltas deltas = scaled(row), next = has_next ? scaled(row + 1) : Deltas{};
      sums = {sums.delta_mean + deltas.delta_mean, sums.delta_var + deltas.delta_var};
      next_sums = {next_sums.delta_mean + next.delta_mean, next_sums.delta_var + next.delta_var};
      write(MeanFormat{}, deltas.delta_mean, next.delta_mean, has_next, row, mean,
            factors.mean_by_row, factors.mean_by_sample);
      write(VarFormat{}, deltas.delta_var, next.delta_var, has_next, row, var, factors.var_by_row,
            factors.var_by_sample);
    }
    if (factors.mean_sum == nullptr) return;
    const Index left = cols - column;
    const Index used = left < 0 ? 0 : left < lanes<V> ? left : lanes<V>;
    const auto write_sum = [&](V sum, float* target) TAGIX_LAMBDA_INLINE {
      float values[lanes<V>];
      store(sum, values);
      take_used(values, 1, lanes<V>, used, factors.add, target, 0);
    };
    write_sum(sums.delta_mean + next_sums.delta_mean, factors.mean_sum + column);
    write_sum(sums.delta_var + next_sums.delta_var, factors.var_sum + column);
  });
}

}  // namespace
}  // namespace tagix::cpu
