#pragma once

// Matrix products in register tiles, for kernels.cpp. A tile is n_rows rows times one panel of
// n_vectors vectors; it adds up float32 sums in registers over cells of factors.

#include "cpu/formats.h"
#include "cpu/kernels.h"
#include "cpu/simd.h"
#include "math/affine.h"

namespace tagix::cpu {
namespace {

constexpr int tile_rows = TAGIX_TILE_ROWS;
constexpr PanelLayout panel_layout{TAGIX_LANES};

/// Calls body(vector type, vectors a row) for the panel of `width` columns.
template <class Body>
TAGIX_INLINE void with_panel(Index width, Body&& body) {
  if (width == 2 * TAGIX_LANES) {
    body(Vector{}, Constant<2>{});
  } else if (width == TAGIX_LANES) {
    body(Vector{}, Constant<1>{});
  } else {
    body(ThinVector{}, Constant<1>{});
  }
}

/// Calls body(first column, used columns, vector type, vectors a row) for the panels of `columns`.
template <class Body>
TAGIX_INLINE void for_each_panel(Index columns, Body&& body) {
  for (Index first = 0; first < columns;) {
    const Index width = panel_layout.width(columns - first);
    const Index used = columns - first < width ? columns - first : width;
    with_panel(width, [&](auto vector, auto n_vectors)
                          TAGIX_LAMBDA_INLINE { body(first, used, vector, n_vectors); });
    first += width;
  }
}

constexpr int smaller_tile(int rows) {
  int power = 1;
  while (2 * power < rows) power *= 2;
  return power;
}

/// Calls body(first row, Constant<number of rows>) for the register tiles of `rows` rows: full
/// ones, then what is left by powers of two.
template <int n_rows = tile_rows, class Body>
TAGIX_INLINE void for_each_tile(Index rows, Body&& body, Index first = 0) {
  for (; first + n_rows <= rows; first += n_rows) body(first, Constant<n_rows>{});
  if constexpr (n_rows > 1) {
    if (first < rows) for_each_tile<smaller_tile(n_rows)>(rows, static_cast<Body&&>(body), first);
  }
}

/// The first `used` of lanes<V> floats that lie `stride` apart, and zeros.
template <class V>
TAGIX_INLINE V gather(const float* source, Index stride, Index used) {
  float values[lanes<V>];
  for (Index i = 0; i < lanes<V>; ++i) values[i] = i < used ? source[i * stride] : 0.0f;
  return load<V>(values);
}

/// Calls body(k, Constant<count>, weights at k, weights at k + 1) over the depth, by twos; count is
/// 1 where there is no k + 1. Where each column is contiguous and the vector full, squares of the
/// matrix are transposed in registers.
template <class V, class Body>
TAGIX_INLINE void for_each_depth_pair(const WeightPlaneView& weight, Index depth, Index used,
                                      Body&& body) {
  constexpr Index n = lanes<V>;
  Index k = 0;
  if (used == n && weight.depth_stride == 1) {
    for (; k + n <= depth; k += n) {
      V columns[n];
      unroll<n>([&](auto i) TAGIX_LAMBDA_INLINE {
        columns[i.value] = load<V>(weight.values + i.value * weight.column_stride + k);
      });
      transpose(columns);
      unroll<n / 2>([&](auto half) TAGIX_LAMBDA_INLINE {
        constexpr int i = 2 * half.value;
        body(k + i, Constant<2>{}, columns[i], columns[i + 1]);
      });
    }
  }
  const auto at = [&](Index depth_index) TAGIX_LAMBDA_INLINE {
    const float* const start = weight.values + depth_index * weight.depth_stride;
    if (used == n && weight.column_stride == 1) return load<V>(start);
    return gather<V>(start, weight.column_stride, used);
  };
  for (; k + 2 <= depth; k += 2) body(k, Constant<2>{}, at(k), at(k + 1));
  if (k < depth) body(k, Constant<1>{}, at(k), V{});
}

/// Whether a panel, of which `used` columns are there, is one of dot products: so few columns that
/// vectors run along the depth, which is a whole number of them. It holds, after the bias, each
/// column by itself.
TAGIX_INLINE constexpr bool is_dot_panel(Index width, Index used, Index cells) {
  return width < TAGIX_LANES && used <= 2 && cells % TAGIX_LANES == 0;
}

/// Packs a panel of dot products, of which `used` columns are there. The others are not read.
template <class Format>
TAGIX_INLINE void pack_dots(const WeightPlaneView& weight, Index depth, Index used, float* target) {
  constexpr Index n = lanes<Vector>, n_vectors = Format::factors_per_cell;
  const Index cells = Format::cells(depth);
  for (Index column = 0; column < used; ++column) {
    const WeightPlaneView own = weight.from_column(column);
    for (Index cell = 0; cell < cells; cell += n) {
      Vector factors[n_vectors];
      for (Index i = 0; i < n_vectors; ++i) {
        const Index k = cell * n_vectors + i * n;
        const Index left = depth - k < 0 ? 0 : depth - k < n ? depth - k : n;
        factors[i] = gather<Vector>(own.values + k * own.depth_stride, own.depth_stride, left);
        if (weight.squared) factors[i] *= factors[i];
      }
      store(Format::cells_of(factors), target + column * cells + cell);
    }
  }
}

/// Packs `used` columns, at most a vector of them. The cells are `width` floats apart.
template <class Format, class V>
TAGIX_INLINE void pack_columns(const WeightPlaneView& weight, Index depth, Index used, Index width,
                               float* target) {
  for_each_depth_pair<V>(weight, depth, used,
                         [&](Index k, auto count, V a, V b) TAGIX_LAMBDA_INLINE {
                           if (weight.squared) {
                             a *= a;
                             b *= b;
                           }
                           Format::template write_pair<count.value>(a, b, k, width, target);
                         });
}

/// Kernels::pack_weight in one format.
template <class Format>
TAGIX_INLINE void pack_panels(const WeightPlaneView& weight, Index depth, Index columns,
                              const float* bias, float* packed) {
  const Index panel_cells = Format::cells(depth);
  const auto pack = [&](Index first, Index used, auto vector, auto n_vectors) TAGIX_LAMBDA_INLINE {
    using V = decltype(vector);
    constexpr Index n = lanes<V>, width = n_vectors.value * n;
    for (Index i = 0; i < width; ++i) {
      packed[i] = i < used && bias != nullptr ? bias[first + i] : 0.0f;
    }
    packed += width;
    if (is_dot_panel(width, used, panel_cells)) {
      pack_dots<Format>(weight.from_column(first), depth, used, packed);
      packed += panel_cells * width;
      return;
    }
    unroll<n_vectors.value>([&](auto c) TAGIX_LAMBDA_INLINE {
      const Index left = used - c.value * n;
      pack_columns<Format, V>(weight.from_column(first + c.value * n), depth,
                              left < 0   ? 0
                              : left < n ? left
                                         : n,
                              width, packed + c.value * n);
    });
    packed += panel_cells * width;
  };
  for_each_panel(columns, pack);
}

/// Copies, or adds, the first `used` columns of `rows` rows of `width` floats to a matrix. A tile
/// whose panel is not full goes through it: a tile that knew of such panels would leave its sums in
/// memory.
TAGIX_INLINE void take_used(const float* source, Index rows, Index width, Index used, bool add,
                            float* target, Index stride) {
  for (Index row = 0; row < rows; ++row, source += width, target += stride) {
    for (Index i = 0; i < used; ++i) target[i] = add ? target[i] + source[i] : source[i];
  }
}

/// sums[r][c] += rows r of the `left` cells times vectors c of the `right` cells, at one position
/// of what is summed over. Rows are `row_stride` cells apart.
template <class Format, class V, int n_rows, int n_vectors>
TAGIX_INLINE void accumulate(V (&sums)[n_rows][n_vectors], const float* left, Index row_stride,
                             const float* right) {
  V values[n_vectors];
  unroll<n_vectors>(
      [&](auto c) TAGIX_LAMBDA_INLINE { values[c.value] = load<V>(right + c.value * lanes<V>); });
  unroll<n_rows>([&](auto r) TAGIX_LAMBDA_INLINE {
    const V factor = broadcast<V>(left[r.value * row_stride]);
    unroll<n_vectors>([&](auto c) TAGIX_LAMBDA_INLINE {
      V& sum = sums[r.value][c.value];
      sum = Format::multiply_add(sum, factor, values[c.value]);
    });
  });
}

/// Writes the sums of a tile, or adds what is there and then writes.
template <class V, int n_rows, int n_vectors>
TAGIX_INLINE void write_sums(V (&sums)[n_rows][n_vectors], bool add, float* target, Index stride) {
  unroll<n_rows>([&](auto r) TAGIX_LAMBDA_INLINE {
    unroll<n_vectors>([&](auto c) TAGIX_LAMBDA_INLINE {
      float* part = target + r.value * stride + c.value * lanes<V>;
      V& sum = sums[r.value][c.value];
      if (add) sum += load<V>(part);
      store(sum, part);
    });
  });
}

/// One register tile of product_rows, over `cells` cells of depth.
template <class Format, class V, int n_vectors, int n_rows, int n_terms>
TAGIX_TILE void product_tile(ProductTerm first, ProductTerm second, Index stride, Index cells,
                             const float* bias, float* output, float* of_first,
                             Index output_stride) {
  constexpr int width = n_vectors * lanes<V>;
  V sums[n_rows][n_vectors];
  unroll<n_rows>([&](auto r) TAGIX_LAMBDA_INLINE {
    unroll<n_vectors>([&](auto c) TAGIX_LAMBDA_INLINE {
      sums[r.value][c.value] = load<V>(bias + c.value * lanes<V>);
    });
  });
  const auto add = [&](ProductTerm term) TAGIX_LAMBDA_INLINE {
    const Index length = term.segments.count == 1 ? cells : term.segments.cells;
    for (Index segment = 0; segment < term.segments.count; ++segment) {
      for (Index k = 0; k < length; ++k, term.packed += width) {
        accumulate<Format>(sums, term.factors + k, stride, term.packed);
      }
      term.factors += term.segments.stride;
    }
  };
  add(first);
  if constexpr (n_terms == 2) {
    if (of_first != nullptr) write_sums(sums, /*add=*/false, of_first, output_stride);
    add(second);
  }
  write_sums(sums, /*add=*/false, output, output_stride);
}

/// n_rows rows of a panel of dot products, n_columns of its 4: their sums side by side, row by row.
template <class Format, int n_rows, int n_columns>
TAGIX_INLINE Vector dot_tile(ProductTerm term, const Index (&offsets)[n_rows], Index cells) {
  Vector sums[n_rows][n_columns]{};
  for (Index cell = 0; cell < cells; cell += lanes<Vector>) {
    unroll<n_columns>([&](auto c) TAGIX_LAMBDA_INLINE {
      const Vector weight = load<Vector>(term.packed + c.value * cells + cell);
      unroll<n_rows>([&](auto r) TAGIX_LAMBDA_INLINE {
        Vector& sum = sums[r.value][c.value];
        sum =
            Format::multiply_add(sum, load<Vector>(term.factors + offsets[r.value] + cell), weight);
      });
    });
  }
  Vector all[lanes<Vector>]{};
  unroll<n_rows>([&](auto r) TAGIX_LAMBDA_INLINE {
    unroll<n_columns>(
        [&](auto c) TAGIX_LAMBDA_INLINE { all[4 * r.value + c.value] = sums[r.value][c.value]; });
  });
  return element_sums(all);
}

/// The rows of a panel of dot products, as many at a time as give a vector of sums. The columns
/// past n_columns are written as 0 if the output is padded.
template <class Format, int n_columns, int n_terms>
void dot_rows(ProductTerm first, ProductTerm second, Index stride, Index rows, Index cells,
              const float* bias, const ProductSums& output) {
  constexpr int n_rows = lanes<Vector> / 4;
  for (Index row = 0; row < rows; row += n_rows) {
    Index offsets[n_rows];
    // The last row once more in place of those that are not there.
    for (Index r = 0; r < n_rows; ++r) offsets[r] = (row + r < rows ? row + r : rows - 1) * stride;
    const auto write = [&](auto sum, float* plane) TAGIX_LAMBDA_INLINE {
      for (Index r = 0; r < n_rows && row + r < rows; ++r) {
        float* target = plane + (row + r) * output.stride;
        for (Index c = 0; c < n_columns; ++c) target[c] = sum(4 * r + c, c);
        for (Index c = n_columns; output.padded && c < 4; ++c) target[c] = 0;
      }
    };
    const Vector totals = dot_tile<Format, n_rows, n_columns>(first, offsets, cells);
    const auto of_first = [&](Index i, Index c) { return totals[i] + bias[c]; };
    if constexpr (n_terms == 1) {
      write(of_first, output.sums);
    } else {
      if (output.of_first != nullptr) write(of_first, output.of_first);
      const Vector more = dot_tile<Format, n_rows, n_columns>(second, offsets, cells);
      write([&](Index i, Index c) { return of_first(i, c) + more[i]; }, output.sums);
    }
  }
}

/// What a product without a bias starts from.
alignas(64) constexpr float no_bias[2 * TAGIX_LANES] = {};

/// Kernels::product_rows in one format.
template <class Format, int n_terms>
TAGIX_INLINE void product_panels(ProductTerm first, ProductTerm second, Index stride, Index rows,
                                 Index cells, Index columns, bool with_bias,
                                 const ProductSums& output) {
  const auto multiply = [&](Index column, Index used, auto vector,
                            auto n_vectors) TAGIX_LAMBDA_INLINE {
    using V = decltype(vector);
    constexpr Index width = n_vectors.value * lanes<V>;
    const float* const bias = with_bias ? first.packed : no_bias;
    const ProductSums here{output.sums + column, output.stride, output.padded,
                           output.of_first == nullptr ? nullptr : output.of_first + column};
    // Behind the bias, which only the first has a use for.
    const ProductTerm own{first.factors, first.packed + width, first.segments},
        other{second.factors, second.packed + width, second.segments};
    first.packed += width * (1 + cells);
    if constexpr (n_terms == 2) second.packed += width * (1 + cells);
    if constexpr (width < TAGIX_LANES) {
      if (is_dot_panel(width, used, cells)) {
        const auto dots = used == 1 ? dot_rows<Format, 1, n_terms> : dot_rows<Format, 2, n_terms>;
        dots(own, other, stride, rows, cells, bias, here);
        return;
      }
    }
    const bool full = output.padded || used == width;
    for_each_tile(rows, [&](Index row, auto n_rows) TAGIX_LAMBDA_INLINE {
      constexpr Index n = n_rows.value;
      const ProductTerm one{own.factors + row * stride, own.packed, own.segments};
      ProductTerm two;
      if constexpr (n_terms == 2) {
        two = {other.factors + row * stride, other.packed, other.segments};
      }
      const auto tile = product_tile<Format, V, n_vectors.value, n, n_terms>;
      float* const sums = here.sums + row * output.stride;
      float* const of_first =
          here.of_first == nullptr ? nullptr : here.of_first + row * output.stride;
      if (full) {
        tile(one, two, stride, cells, bias, sums, of_first, output.stride);
        return;
      }
      float rest[n * width], rest_of_first[n * width];
      tile(one, two, stride, cells, bias, rest, of_first == nullptr ? nullptr : rest_of_first,
           width);
      take_used(rest, n, width, used, false, sums, output.stride);
      if (n_terms == 2 && of_first != nullptr) {
        take_used(rest_of_first, n, width, used, false, of_first, output.stride);
      }
    });
  };
  for_each_panel(columns, multiply);
}

/// One register tile of outer_product, over `cells` cells of samples in each block.
template <class Format, class V, int n_vectors, int n_rows>
TAGIX_TILE void outer_tile(const SampleFactor& left, const SampleFactor& right, Index cells,
                           bool add, float* target, Index target_stride) {
  V sums[n_rows][n_vectors]{};
  for (Index block = 0; block < left.n_blocks; ++block) {
    const float* one = left.cells + block * left.block_stride;
    const float* other = right.cells + block * right.block_stride;
    for (Index b = 0; b < cells; ++b, one += left.stride, other += right.stride) {
      accumulate<Format>(sums, one, 1, other);
    }
  }
  write_sums(sums, add, target, target_stride);
}

/// Kernels::outer_product in one format.
template <class Format>
TAGIX_INLINE void outer_panels(const SampleFactor& left, const SampleFactor& right, Index cells,
                               bool add, float* sum, Index sum_stride) {
  const auto multiply = [&](Index column, Index used, auto vector,
                            auto n_vectors) TAGIX_LAMBDA_INLINE {
    using V = decltype(vector);
    constexpr Index width = n_vectors.value * lanes<V>;
    const bool full = used == width;
    for_each_tile(left.columns, [&](Index row, auto n_rows) TAGIX_LAMBDA_INLINE {
      float rest[n_rows.value * width];
      float* target = sum + row * sum_stride + column;
      SampleFactor rows = left, columns = right;
      rows.cells += row;
      columns.cells += column;
      outer_tile<Format, V, n_vectors.value, n_rows.value>(
          rows, columns, cells, full && add, full ? target : rest, full ? sum_stride : width);
      if (!full) take_used(rest, n_rows.value, width, used, add, target, sum_stride);
    });
  };
  for_each_panel(right.columns, multiply);
}

}  // namespace
}  // namespace tagix::cpu
