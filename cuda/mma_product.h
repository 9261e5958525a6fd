#pragma once

#include <algorithm>
#include <type_traits>

#include "async_copy.h"
#include "core/precision.h"
#include "mma.h"
#include "product_tiles.h"

// The products of product_tiles.h on tensor cores, whose factors are rounded to tf32 or bfloat16.
//
// What is to be as good as float32 takes three products of tf32 (Ootomo & Yokota, International
// Journal of High Performance Computing Applications 36, 2022): with x = high + low, both rounded,
//
//   a b  =  a_low b_high + a_high b_low + a_high b_high  +  error,   |error| <= 2^-21 |a b|
//
// of which low is off by at most 2^-23 of x on either side, and a_low b_low, left out, is at most
// 2^-22 of the product. Tensor cores truncate the sums that they keep, always towards zero: those
// of 16 in depth are added to others in float32, and start again from 0. Of factors that are
// rounded to bfloat16 they go on: what truncation adds, some 2^-24 of the sum for each 16 in depth,
// stays far below the 2^-8 of the rounding.
//
// Squares and second moments are worked out in float32, and rounded as factors then. A factor
// beyond float32's largest tf32 gives NaN, where multiply_tile gives infinity or a last finite
// number.

namespace tagix::cuda {

/// The sizes of a block's tile and of a warp's part of it, and what factors are rounded to.
template <int rows_, int columns_, int warp_rows_, int warp_columns_, Precision precision_>
struct MmaTile {
  static constexpr int rows = rows_, columns = columns_, depth = 16;
  static constexpr int warp_rows = warp_rows_, warp_columns = warp_columns_;
  static constexpr int threads = rows / warp_rows * (columns / warp_columns) * warp_size;
  static constexpr Precision precision = precision_;
  static constexpr int n_slices = 3;  // of the depth in shared memory: one in use, two on their way
  static constexpr int result_stride = columns + 8;  // of what is finished: fewer bank conflicts
  static_assert(warp_rows % 16 == 0 && warp_columns % 8 == 0);
};

template <Precision precision>
using WideMmaTile = MmaTile<64, 64, 32, 16, precision>;
template <Precision precision>
using NarrowMmaTile = MmaTile<32, 32, 16, 16, precision>;

/// Where an element of one plane of a factor's slice lies in shared memory, and which elements a
/// lane takes. Of each 8 in depth a lane takes 2 member and its successor (as both factors do so,
/// the order does not matter), and of `parts` times 8 rows one in each part.
///
/// Depth contiguous: 8 in depth of one row, then the next row. 16 lanes that read two floats each
/// are 4 groups of 8 banks. Those that write 16 in depth of two rows would meet in the same banks,
/// so the second 8 in depth have neighbouring pairs of rows exchanged.
/// Rows contiguous: lines of rows, padded by 4. Lanes that read four (two) floats each are 4
/// members, 8 banks apart, times 2 (4) groups.
template <int size, Contiguous contiguous, int depth = 16>
struct MmaPlane {
  static constexpr int line = size + 4;
  static constexpr int floats = contiguous == Contiguous::depth ? depth * size : depth * line;

  __device__ static __forceinline__ int at(int row, int k) {
    return contiguous == Contiguous::depth ? (k / 8 * size + (row ^ (2 * (k / 8)))) * 8 + k % 8
                                           : k * line + row;
  }

  /// Row (or column) `i` of a group, of a warp's.
  template <int parts>
  __device__ static __forceinline__ int row_of(int group, int i) {
    return contiguous == Contiguous::depth ? 8 * i + group : parts * group + i;
  }

  /// Reads a lane's elements of an 8 in depth, of the warp's rows from `first` on.
  template <int parts>
  __device__ static __forceinline__ void read(const float* plane, int first, int eight,
                                              float (&values)[parts][2]) {
    const int lane = static_cast<int>(threadIdx.x) % warp_size;
    const int group = lane / 4, k = 8 * eight + lane % 4 * 2;
    if constexpr (contiguous == Contiguous::depth) {
#pragma unroll
      for (int i = 0; i < parts; ++i) {
        const float2 pair =
            *reinterpret_cast<const float2*>(plane + at(first + row_of<parts>(group, i), k));
        values[i][0] = pair.x;
        values[i][1] = pair.y;
      }
    } else {
      static_assert(parts == 2 || parts == 4);
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const float* source = plane + at(first + row_of<parts>(group, 0), k + e);
        if constexpr (parts == 4) {
          const float4 four = *reinterpret_cast<const float4*>(source);
          values[0][e] = four.x;
          values[1][e] = four.y;
          values[2][e] = four.z;
          values[3][e] = four.w;
        } else {
          const float2 two = *reinterpret_cast<const float2*>(source);
          values[0][e] = two.x;
          values[1][e] = two.y;
        }
      }
    }
  }
};

/// A block's share of one factor on its way to shared memory: `size` rows (or columns) from `first`
/// on, of `count` in all.
template <class T, int size, Contiguous contiguous, bool has_var>
struct MmaStage {
  using Plane = MmaPlane<size, contiguous>;
  static constexpr int floats = (has_var ? 2 : 1) * Plane::floats;

  const float* mean;
  const float* var;
  Index stride;
  int n_rows;     // that exist
  bool in_fours;  // whether four neighbours can be copied at a time

  __device__ __forceinline__ MmaStage(const Factor& factor, Index first, Index count)
      : stride(factor.stride), n_rows(static_cast<int>(min(count - first, Index{size}))) {
    const Index offset = first * (contiguous == Contiguous::depth ? factor.stride : 1);
    mean = factor.mean + offset;
    var = has_var ? factor.var + offset : nullptr;
    const auto aligned = [](const float* plane) {
      return reinterpret_cast<unsigned long long>(plane) % sizeof(float4) == 0;
    };
    in_fours = stride % 4 == 0 && aligned(mean) && (!has_var || aligned(var));
  }

  /// Begins to copy the slice from `start` on, of which `n_left` in depth exist; what lies outside
  /// is 0. `start` is a multiple of 4 where the depth is contiguous.
  __device__ __forceinline__ void copy(AsyncCopies& copies, float* slice, Index start,
                                       Index n_left) const {
    const int n_depth = static_cast<int>(min(n_left, Index{T::depth}));
    if (in_fours) {
      copy_by<4>(copies, slice, start, n_depth);
    } else {
      copy_by<1>(copies, slice, start, n_depth);
    }
  }

  /// Neighbouring threads take neighbours in memory.
  template <int width>
  __device__ __forceinline__ void copy_by(AsyncCopies& copies, float* slice, Index start,
                                          int n_depth) const {
    constexpr bool by_depth = contiguous == Contiguous::depth;
    constexpr int per_line = (by_depth ? T::depth : size) / width;
    constexpr int line_step = T::threads / per_line;
    constexpr int per_thread = size * T::depth / (width * T::threads);
    static_assert(T::threads % per_line == 0 && size * T::depth % (width * T::threads) == 0);
    const int along = static_cast<int>(threadIdx.x) % per_line * width;
    const int line = static_cast<int>(threadIdx.x) / per_line;
    const int n_along = max(0, min(width, (by_depth ? n_depth : n_rows) - along));
    const int n_lines = by_depth ? n_rows : n_depth;
    const Index first = by_depth ? line * stride + start + along : (start + line) * stride + along;
#pragma unroll
    for (int i = 0; i < per_thread; ++i) {
      const int at_line = line + i * line_step;
      const int to = by_depth ? Plane::at(at_line, along) : Plane::at(along, at_line);
      const Index from = first + i * line_step * stride;
      const int count = at_line < n_lines ? n_along : 0;
      copies.copy<width>(slice + to, mean + from, count);
      if constexpr (has_var) copies.copy<width>(slice + Plane::floats + to, var + from, count);
    }
  }
};

/// Sums of one plane of a warp's results, in parts of 16 rows x 8 columns. The columns go in pairs
/// of parts, so that the factors of only two are kept in registers.
template <int row_parts, int column_parts>
struct MmaSums {
  static constexpr int pairs = column_parts / 2;
  static_assert(column_parts % 2 == 0);
  float parts[pairs][row_parts][2][4] = {};

  /// Element 2 h + e of a part.
  __device__ __forceinline__ float operator()(int i, int j, int element) const {
    return parts[j / 2][i][j % 2][element];
  }

  __device__ __forceinline__ void operator+=(const MmaSums& other) {
#pragma unroll
    for (int pair = 0; pair < pairs; ++pair) {
#pragma unroll
      for (int i = 0; i < row_parts; ++i) {
#pragma unroll
        for (int r = 0; r < 8; ++r)
          parts[pair][i][r / 4][r % 4] += other.parts[pair][i][r / 4][r % 4];
      }
    }
  }

  /// Adds the products of 8 in depth, as good as float32. The small terms come first.
  __device__ __forceinline__ void add(const float (&a)[2 * row_parts][2],
                                      const float (&b)[column_parts][2]) {
    const auto split = [](float x, unsigned& high, unsigned& low) {
      high = to_tf32(x);
      low = to_tf32(x - __uint_as_float(high));
    };
    unsigned a_high[row_parts][4], a_low[row_parts][4];
#pragma unroll
    for (int i = 0; i < 2 * row_parts; ++i) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        split(a[i][e], a_high[i / 2][i % 2 + 2 * e], a_low[i / 2][i % 2 + 2 * e]);
      }
    }
#pragma unroll
    for (int pair = 0; pair < pairs; ++pair) {
      unsigned b_high[2][2], b_low[2][2];
#pragma unroll
      for (int j = 0; j < 2; ++j) {
#pragma unroll
        for (int e = 0; e < 2; ++e) split(b[2 * pair + j][e], b_high[j][e], b_low[j][e]);
      }
      mma<MmaTf32>(parts[pair], a_low, b_high);
      mma<MmaTf32>(parts[pair], a_high, b_low);
      mma<MmaTf32>(parts[pair], a_high, b_high);
    }
  }
};

/// The factors of products of 16 in depth, rounded to bfloat16.
template <int row_parts, int column_parts>
struct RoundedFactors {
  unsigned a[row_parts][4], b[column_parts / 2][2][2];

  /// Takes an 8 in depth.
  __device__ __forceinline__ void set(int eight, const float (&a_values)[2 * row_parts][2],
                                      const float (&b_values)[column_parts][2]) {
#pragma unroll
    for (int i = 0; i < 2 * row_parts; ++i) {
      a[i / 2][i % 2 + 2 * eight] = to_bf16x2(a_values[i][0], a_values[i][1]);
    }
#pragma unroll
    for (int j = 0; j < column_parts; ++j) {
      b[j / 2][j % 2][eight] = to_bf16x2(b_values[j][0], b_values[j][1]);
    }
  }

  __device__ __forceinline__ void add_to(MmaSums<row_parts, column_parts>& sums) const {
#pragma unroll
    for (int pair = 0; pair < column_parts / 2; ++pair) mma<MmaBf16>(sums.parts[pair], a, b[pair]);
  }
};

/// Floats of shared memory that multiply_tile_mma takes.
template <Terms terms, class T, Contiguous a_contiguous, Contiguous b_contiguous>
constexpr int mma_shared_floats() {
  constexpr bool a_has_var = reads_a_var(terms);
  constexpr bool b_has_var = reads_b_var(terms);
  constexpr int slice = MmaStage<T, T::rows, a_contiguous, a_has_var>::floats +
                        MmaStage<T, T::columns, b_contiguous, b_has_var>::floats;
  return std::max(T::n_slices * slice, 2 * T::rows * T::result_stride);
}

/// The products of a slice, 16 in depth, of one plane of factors: worked out as well as float32 can
/// be, or of factors that are rounded to bfloat16.
template <class Sums, int a_parts, int b_parts, bool exact>
struct SliceProducts {
  std::conditional_t<exact, Sums, RoundedFactors<a_parts / 2, b_parts>> parts;

  /// Takes an 8 in depth.
  __device__ __forceinline__ void add(int eight, const float (&a)[a_parts][2],
                                      const float (&b)[b_parts][2]) {
    if constexpr (exact) {
      parts.add(a, b);
    } else {
      parts.set(eight, a, b);
    }
  }

  __device__ __forceinline__ void add_to(Sums& sums) const {
    if constexpr (exact) {
      sums += parts;
    } else {
      parts.add_to(sums);
    }
  }
};

/// A warp's sums, of both planes.
template <class T>
struct WarpSums {
  static constexpr int a_parts = T::warp_rows / 8, b_parts = T::warp_columns / 8;
  static constexpr bool exact_mean = T::precision != Precision::bfloat16;
  static constexpr bool exact_var = T::precision == Precision::float32;
  using Sums = MmaSums<T::warp_rows / 16, T::warp_columns / 8>;
  Sums mean, var;

  /// Adds the products of a slice, whose planes in shared memory begin at `a` and `b`.
  template <Terms terms, class APlane, class BPlane>
  __device__ __forceinline__ void add(const float* a, const float* b, int first_row,
                                      int first_column) {
    constexpr bool a_has_var = reads_a_var(terms);
    constexpr bool b_has_var = reads_b_var(terms);
    SliceProducts<Sums, a_parts, b_parts, exact_mean> of_mean;
    // Exact products of both terms of the variance have one sum.
    SliceProducts<Sums, a_parts, b_parts, exact_var> of_var;
    SliceProducts<Sums, a_parts, b_parts, false> of_square;
#pragma unroll
    for (int eight = 0; eight < 2; ++eight) {
      float a_mean[a_parts][2], b_mean[b_parts][2], b_var[b_parts][2];
      APlane::template read<a_parts>(a, first_row, eight, a_mean);
      BPlane::template read<b_parts>(b, first_column, eight, b_mean);
      of_mean.add(eight, a_mean, b_mean);
      if constexpr (b_has_var) {
        BPlane::template read<b_parts>(b + BPlane::floats, first_column, eight, b_var);
      }
      if constexpr (a_has_var) {
        float a_var[a_parts][2], b_second[b_parts][2];
        APlane::template read<a_parts>(a + APlane::floats, first_row, eight, a_var);
        second_moments<terms>(b_mean, b_var, b_second);
        of_var.add(eight, a_var, b_second);
      }
      if constexpr (b_has_var) {
        float square[a_parts][2];
        second_moments<Terms::squared>(a_mean, a_mean, square);
        if constexpr (exact_var) {
          of_var.add(eight, square, b_var);
        } else {
          of_square.add(eight, square, b_var);
        }
      }
    }
    of_mean.add_to(mean);
    if constexpr (a_has_var || (exact_var && b_has_var)) of_var.add_to(var);
    if constexpr (!exact_var && b_has_var) of_square.add_to(var);
  }

  /// second = mean^2, and var besides with Terms::both.
  template <Terms terms, int parts>
  __device__ static __forceinline__ void second_moments(const float (&mean)[parts][2],
                                                        const float (&var)[parts][2],
                                                        float (&second)[parts][2]) {
#pragma unroll
    for (int i = 0; i < parts; ++i) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        second[i][e] = terms == Terms::both ? math::second_moment(mean[i][e], var[i][e])
                                            : mean[i][e] * mean[i][e];
      }
    }
  }

  /// Writes the warp's part of the tile, in rows of T::result_stride.
  template <class APlane, class BPlane>
  __device__ __forceinline__ void store(float* mean_tile, float* var_tile, int first_row,
                                        int first_column) const {
    const int lane = static_cast<int>(threadIdx.x) % warp_size;
    const int group = lane / 4, member = lane % 4;
#pragma unroll
    for (int i = 0; i < a_parts; ++i) {
#pragma unroll
      for (int j = 0; j < b_parts; ++j) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const int row = first_row + APlane::template row_of<a_parts>(group, i);
          const int column = first_column + BPlane::template row_of<b_parts>(2 * member + e, j);
          const int at = row * T::result_stride + column;
          mean_tile[at] = mean(i / 2, j, 2 * (i % 2) + e);
          var_tile[at] = var(i / 2, j, 2 * (i % 2) + e);
        }
      }
    }
  }
};

/// As multiply_tile, on tensor cores.
template <Terms terms, class T, Contiguous a_contiguous, Contiguous b_contiguous, class Finish>
__device__ __forceinline__ void multiply_tile_mma(const Factor& a, const Factor& b,
                                                  const ProductShape& shape, Index first_row,
                                                  Index first_column, const Finish& finish) {
  using AStage = MmaStage<T, T::rows, a_contiguous, reads_a_var(terms)>;
  using BStage = MmaStage<T, T::columns, b_contiguous, reads_b_var(terms)>;
  using APlane = typename AStage::Plane;
  using BPlane = typename BStage::Plane;
  constexpr int slice_size = AStage::floats + BStage::floats;
  constexpr int warps_across = T::columns / T::warp_columns;
  float* const shared = shared_memory();
  const int warp = static_cast<int>(threadIdx.x) / warp_size;
  const int warp_row = warp / warps_across * T::warp_rows;
  const int warp_column = warp % warps_across * T::warp_columns;
  WarpSums<T> sums;
  DepthSums<terms, T> depth_sums(first_column);

  const AStage a_stage(a, first_row, shape.rows);
  const BStage b_stage(b, first_column, shape.columns);
  AsyncCopies copies;
  const auto copy = [&](int to, Index start) {
    if (start < shape.depth_end) {
      float* const slice = shared + to * slice_size;
      a_stage.copy(copies, slice, start, shape.depth_end - start);
      b_stage.copy(copies, slice + AStage::floats, start, shape.depth_end - start);
    }
    copies.end_group();
  };

  static_assert(T::n_slices == 3);
  copy(0, shape.depth_begin);
  copy(1, shape.depth_begin + T::depth);
  int current = 0;
  for (Index start = shape.depth_begin; start < shape.depth_end; start += T::depth) {
    copies.template wait<1>();
    // From here on this slice is there for all, and no thread reads the one before it any more.
    __syncthreads();
    copy(current == 0 ? 2 : current - 1, start + 2 * T::depth);
    const float* const slice = shared + current * slice_size;
    sums.template add<terms, APlane, BPlane>(slice, slice + AStage::floats, warp_row, warp_column);
    depth_sums.add(slice, slice + APlane::floats, APlane::at);
    current = current == 2 ? 0 : current + 1;
  }
  depth_sums.finish_rows(first_row, shape.rows, finish);

  copies.template wait<0>();
  __syncthreads();
  float* const mean_tile = shared;
  float* const var_tile = shared + T::rows * T::result_stride;
  sums.template store<APlane, BPlane>(mean_tile, var_tile, warp_row, warp_column);
  finish_tile<T, T::result_stride>(mean_tile, var_tile, shape, first_row, first_column, finish);
}

}  // namespace tagix::cuda
