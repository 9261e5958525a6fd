#pragma once

#include <algorithm>

#include "core/moments.h"
#include "device.h"
#include "math/affine.h"

// The matrix products of means and variances, in one kernel body: a block works out a tile of rows
// x columns, whose factors pass through shared memory in slices of the depth while the next slice
// is on its way from global memory. Sums are float32 and in the order of the depth.

namespace tagix::cuda {

/// What is summed over the depth, of factors a (rows x depth) and b (depth x columns):
///   both     mean = a.mean b.mean,  var = a.var (b.mean^2 + b.var) + a.mean^2 b.var
///   known    mean = a.mean b.mean,  var = a.mean^2 b.var          (a is known exactly)
///   squared  mean = a.mean b.mean,  var = a.var b.mean^2          (a is an innovation)
///   outer    mean = a.mean b.mean,  var = a.var b.mean^2, and the sums of a along the depth
///   means    mean = a.mean b.mean,  var = 0                       (both are known exactly)
enum class Terms { both, known, squared, outer, means };

/// Whether the variances of a, and of b, are read.
constexpr bool reads_a_var(Terms terms) { return terms != Terms::known && terms != Terms::means; }
constexpr bool reads_b_var(Terms terms) { return terms == Terms::both || terms == Terms::known; }

/// A factor: element (i, k) of rows or columns i and depth k lies at i * stride + k, or, where rows
/// (columns) are contiguous, at k * stride + i.
struct Factor {
  const float* mean;
  const float* var;
  Index stride;
};

enum class Contiguous { depth, rows };

/// The sizes of a block's tile, of a thread's part of it, and how the block's threads share it.
///
/// A thread's rows (columns) come in groups of up to four neighbours, which it reads as one vector;
/// the groups of neighbouring threads are neighbours, so that a warp reads without bank conflicts.
template <int rows_, int columns_, int thread_rows_, int thread_columns_>
struct Tile {
  static constexpr int rows = rows_, columns = columns_, depth = 16;
  static constexpr int thread_rows = thread_rows_, thread_columns = thread_columns_;
  static constexpr int threads = rows / thread_rows * (columns / thread_columns);
  static constexpr int padding = 4;  // of a row of shared memory: fewer bank conflicts on writing

  static constexpr int row_stride = rows + padding, column_stride = columns + padding;
  static constexpr int a_size = depth * row_stride, b_size = depth * column_stride;
  static constexpr int slice_size = 2 * a_size + 2 * b_size;
  static constexpr int shared_floats = std::max(2 * slice_size, 2 * rows * columns);
};

using WideTile = Tile<64, 64, 8, 4>;
using NarrowTile = Tile<32, 32, 4, 4>;
using ThinTile = Tile<64, 8, 4, 1>;

/// The position of element i of a thread's part along a dimension of `size` that `n_threads` share.
template <int size, int part>
__device__ __forceinline__ int position_in_tile(int thread, int i) {
  constexpr int group = part < 4 ? part : 4, n_groups = part / group;
  return i / group * (size / n_groups) + thread * group + i % group;
}

/// Reads a thread's part of a row of shared memory.
template <int size, int part>
__device__ __forceinline__ void read_part(const float* row, int thread, float (&values)[part]) {
  constexpr int group = part < 4 ? part : 4;
#pragma unroll
  for (int i = 0; i < part; i += group) {
    const float* source = row + position_in_tile<size, part>(thread, i);
    if constexpr (group == 4) {
      const float4 four = *reinterpret_cast<const float4*>(source);
      values[i] = four.x;
      values[i + 1] = four.y;
      values[i + 2] = four.z;
      values[i + 3] = four.w;
    } else {
#pragma unroll
      for (int k = 0; k < group; ++k) values[i + k] = source[k];
    }
  }
}

/// A block's share of one factor on its way from global to shared memory: `size` rows (or columns)
/// from `first` on, of `count` in all. Neighbouring threads take neighbours in memory, and a
/// thread's own elements lie at equal distances.
template <class TileSizes, int size, int stride, Contiguous contiguous, bool has_var>
struct Stage {
  static constexpr int depth = TileSizes::depth, threads = TileSizes::threads;
  static constexpr int n_contiguous = contiguous == Contiguous::depth ? depth : size;
  static constexpr int row_step = contiguous == Contiguous::depth ? threads / depth : 0;
  static constexpr int depth_step = contiguous == Contiguous::depth ? 0 : threads / size;
  static constexpr int per_thread = size * depth / threads;
  static_assert(threads % n_contiguous == 0 && size * depth % threads == 0);

  const float* mean_source;
  const float* var_source;
  Index step;        // between a thread's elements
  Index slice_step;  // to the same element of the next slice
  Index rows_left;   // from this thread's first row on
  int row, k;        // of its first element, within the slice
  float mean[per_thread];
  float var[has_var ? per_thread : 1];

  __device__ __forceinline__ Stage(const Factor& factor, Index first, Index count, Index start) {
    const int thread = static_cast<int>(threadIdx.x);
    row = contiguous == Contiguous::depth ? thread / depth : thread % size;
    k = contiguous == Contiguous::depth ? thread % depth : thread / size;
    const Index at = contiguous == Contiguous::depth ? (first + row) * factor.stride + start + k
                                                     : (start + k) * factor.stride + first + row;
    mean_source = factor.mean + at;
    if constexpr (has_var) var_source = factor.var + at;
    step = (contiguous == Contiguous::depth ? row_step : depth_step) * factor.stride;
    slice_step = contiguous == Contiguous::depth ? depth : depth * factor.stride;
    rows_left = count - first - row;
  }

  /// Reads the next slice, of which `depth_left` elements along the depth exist; what lies outside
  /// is 0.
  __device__ __forceinline__ void load(Index depth_left) {
#pragma unroll
    for (int i = 0; i < per_thread; ++i) {
      const bool inside = i * row_step < rows_left && k + i * depth_step < depth_left;
      mean[i] = inside ? mean_source[i * step] : 0.0f;
      if constexpr (has_var) var[i] = inside ? var_source[i * step] : 0.0f;
    }
    mean_source += slice_step;
    if constexpr (has_var) var_source += slice_step;
  }

  __device__ __forceinline__ void store(float* mean_slice, float* var_slice) const {
#pragma unroll
    for (int i = 0; i < per_thread; ++i) {
      const int at = (k + i * depth_step) * stride + row + i * row_step;
      mean_slice[at] = mean[i];
      if constexpr (has_var) var_slice[at] = var[i];
    }
  }
};

/// What a block has to multiply: rows x columns of the whole product, and the part of the depth
/// that it sums over.
struct ProductShape {
  Index rows, columns;
  Index depth_begin, depth_end;
};

/// With Terms::outer, the sums of a's rows along the depth: a tile of the first column makes them,
/// one thread for each row.
template <Terms terms, class TileSizes>
struct DepthSums {
  static constexpr bool exist = terms == Terms::outer;
  static_assert(!exist || TileSizes::threads >= TileSizes::rows);

  int row = 0;
  bool is_summed = false;
  float mean = 0, var = 0;

  __device__ __forceinline__ explicit DepthSums(Index first_column) {
    if constexpr (exist) {
      row = static_cast<int>(threadIdx.x);
      is_summed = first_column == 0 && row < TileSizes::rows;
    }
  }

  /// Adds a slice, of whose planes element (row, k) lies at `at(row, k)`.
  template <class At>
  __device__ __forceinline__ void add(const float* a_mean, const float* a_var, const At& at) {
    if constexpr (exist) {
      for (int k = 0; is_summed && k < TileSizes::depth; ++k) {
        mean += a_mean[at(row, k)];
        var += a_var[at(row, k)];
      }
    }
  }

  template <class Finish>
  __device__ __forceinline__ void finish_rows(Index first_row, Index rows,
                                              const Finish& finish) const {
    if constexpr (exist) {
      if (is_summed && first_row + row < rows) finish.sums(first_row + row, mean, var);
    }
  }
};

/// The last part of a tile: the threads have left its sums in shared memory, in rows of
/// `row_stride`, so that neighbours in a row are finished by neighbouring threads, and the code of
/// `finish` stands in a kernel once.
template <class TileSizes, int row_stride, class Finish>
__device__ __forceinline__ void finish_tile(const float* mean, const float* var,
                                            const ProductShape& shape, Index first_row,
                                            Index first_column, const Finish& finish) {
  using T = TileSizes;
  __syncthreads();
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < T::rows * T::columns; i += T::threads) {
    const Index row = first_row + i / T::columns, column = first_column + i % T::columns;
    const int at = i / T::columns * row_stride + i % T::columns;
    if (row < shape.rows && column < shape.columns) finish(row, column, mean[at], var[at]);
  }
}

/// A thread's sums, of both planes.
template <class TileSizes>
struct ThreadSums {
  using T = TileSizes;
  static constexpr int column_threads = T::columns / T::thread_columns;

  int thread_row = static_cast<int>(threadIdx.x) / column_threads;
  int thread_column = static_cast<int>(threadIdx.x) % column_threads;
  float mean[T::thread_rows][T::thread_columns] = {};
  float var[T::thread_rows][T::thread_columns] = {};

  /// Adds the products of a slice.
  template <Terms terms>
  __device__ __forceinline__ void add(const float* slice) {
    constexpr bool a_has_var = reads_a_var(terms);
    constexpr bool b_has_var = reads_b_var(terms);
    const float* const a_mean = slice;
    const float* const a_var = a_mean + T::a_size;
    const float* const b_mean = a_mean + 2 * T::a_size;
    const float* const b_var = b_mean + T::b_size;
#pragma unroll 4
    for (int k = 0; k < T::depth; ++k) {
      float am[T::thread_rows], av[T::thread_rows], bm[T::thread_columns], bv[T::thread_columns];
      read_part<T::rows>(a_mean + k * T::row_stride, thread_row, am);
      if constexpr (a_has_var) read_part<T::rows>(a_var + k * T::row_stride, thread_row, av);
      read_part<T::columns>(b_mean + k * T::column_stride, thread_column, bm);
      if constexpr (b_has_var) {
        read_part<T::columns>(b_var + k * T::column_stride, thread_column, bv);
      }
      float b_second[T::thread_columns];
#pragma unroll
      for (int j = 0; j < T::thread_columns; ++j) {
        b_second[j] = terms == Terms::both ? math::second_moment(bm[j], bv[j]) : bm[j] * bm[j];
      }
#pragma unroll
      for (int i = 0; i < T::thread_rows; ++i) {
        const float square = am[i] * am[i];
#pragma unroll
        for (int j = 0; j < T::thread_columns; ++j) {
          mean[i][j] += am[i] * bm[j];
          if constexpr (a_has_var) var[i][j] += av[i] * b_second[j];
          if constexpr (b_has_var) var[i][j] += square * bv[j];
        }
      }
    }
  }

  __device__ __forceinline__ void store(float* mean_tile, float* var_tile) const {
#pragma unroll
    for (int i = 0; i < T::thread_rows; ++i) {
#pragma unroll
      for (int j = 0; j < T::thread_columns; ++j) {
        const int at = position_in_tile<T::rows, T::thread_rows>(thread_row, i) * T::columns +
                       position_in_tile<T::columns, T::thread_columns>(thread_column, j);
        mean_tile[at] = mean[i][j];
        var_tile[at] = var[i][j];
      }
    }
  }
};

/// The tile of a product that starts at (first_row, first_column), by all threads of a block.
/// `finish(row, column, mean, var)` takes every element of it that lies inside the product, each by
/// one thread; with Terms::outer, a tile of the first column also calls
/// finish.sums(row, sum of a.mean, sum of a.var).
template <Terms terms, class TileSizes, Contiguous a_contiguous, Contiguous b_contiguous,
          class Finish>
__device__ __forceinline__ void multiply_tile(const Factor& a, const Factor& b,
                                              const ProductShape& shape, Index first_row,
                                              Index first_column, const Finish& finish) {
  using T = TileSizes;
  constexpr bool a_has_var = reads_a_var(terms);
  constexpr bool b_has_var = reads_b_var(terms);
  float* const shared = shared_memory();
  ThreadSums<T> sums;
  DepthSums<terms, T> depth_sums(first_column);

  Stage<T, T::rows, T::row_stride, a_contiguous, a_has_var> a_stage(a, first_row, shape.rows,
                                                                    shape.depth_begin);
  Stage<T, T::columns, T::column_stride, b_contiguous, b_has_var> b_stage(
      b, first_column, shape.columns, shape.depth_begin);
  const auto load = [&](Index start) {
    a_stage.load(shape.depth_end - start);
    b_stage.load(shape.depth_end - start);
  };
  const auto store = [&](float* slice) {
    a_stage.store(slice, slice + T::a_size);
    b_stage.store(slice + 2 * T::a_size, slice + 2 * T::a_size + T::b_size);
  };

  load(shape.depth_begin);
  store(shared);
  __syncthreads();
  int current = 0;
  for (Index start = shape.depth_begin; start < shape.depth_end; start += T::depth) {
    const bool more = start + T::depth < shape.depth_end;
    if (more) load(start + T::depth);
    const float* const slice = shared + current * T::slice_size;
    sums.template add<terms>(slice);
    depth_sums.add(slice, slice + T::a_size,
                   [](int row, int k) { return k * T::row_stride + row; });
    current = 1 - current;
    // The other slice was read in the last round, which all threads have left.
    if (more) store(shared + current * T::slice_size);
    __syncthreads();
  }
  depth_sums.finish_rows(first_row, shape.rows, finish);

  float* const mean_tile = shared;
  float* const var_tile = shared + T::rows * T::columns;
  sums.store(mean_tile, var_tile);
  finish_tile<T, T::columns>(mean_tile, var_tile, shape, first_row, first_column, finish);
}

}  // namespace tagix::cuda
