#pragma once

#include <cstddef>
#include <type_traits>

#include "launch.h"
#include "mma_product.h"
#include "product_tiles.h"

// One product of an affine map by tiles of any kind: by multiply-adds, or on tensor cores.

namespace tagix::cuda {

/// Tiles on tensor cores have a precision.
template <class T>
concept OnTensorCores = requires { T::precision; };

static_assert(WideTile::rows == WideMmaTile<Precision::float32>::rows &&
              WideTile::columns == WideMmaTile<Precision::float32>::columns);

/// The wide tiles of a product.
inline Index wide_tiles(Index rows, Index columns) {
  return ceil_div(rows, WideTile::rows) * ceil_div(columns, WideTile::columns);
}

/// Calls queue(Tile{}) with the tile of tensor cores for a precision.
template <class Queue>
void with_mma_tile(Precision precision, bool wide, const Queue& queue) {
  const auto with_precision = [&](auto constant) {
    constexpr Precision of = decltype(constant)::value;
    if (wide) {
      queue(WideMmaTile<of>{});
    } else {
      queue(NarrowMmaTile<of>{});
    }
  };
  using enum Precision;
  switch (precision) {
    case float32:
      return with_precision(std::integral_constant<Precision, float32>{});
    case mixed:
      return with_precision(std::integral_constant<Precision, mixed>{});
    case bfloat16:
      return with_precision(std::integral_constant<Precision, bfloat16>{});
  }
}

/// Blocks for which a multiprocessor must have the registers. Unless it is told that one is enough,
/// ptxas spills those of some kernels on tensor cores to make room for a second one.
template <class TileSizes>
constexpr int least_blocks = OnTensorCores<TileSizes> ? 1 : 0;

/// One product by tiles of one kind.
template <Terms terms, class TileSizes, Contiguous a_contiguous, Contiguous b_contiguous>
struct TiledProduct {
  static constexpr std::size_t shared_bytes() {
    if constexpr (OnTensorCores<TileSizes>) {
      return mma_shared_floats<terms, TileSizes, a_contiguous, b_contiguous>() * sizeof(float);
    } else {
      return TileSizes::shared_floats * sizeof(float);
    }
  }

  /// Works out the block's tile.
  template <class Finish>
  __device__ static __forceinline__ void multiply(const Factor& a, const Factor& b,
                                                  const ProductShape& shape, Index first_row,
                                                  Index first_column, const Finish& finish) {
    if constexpr (OnTensorCores<TileSizes>) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
      __trap();  // the host launches none of it
#else
      multiply_tile_mma<terms, TileSizes, a_contiguous, b_contiguous>(a, b, shape, first_row,
                                                                      first_column, finish);
#endif
    } else {
      multiply_tile<terms, TileSizes, a_contiguous, b_contiguous>(a, b, shape, first_row,
                                                                  first_column, finish);
    }
  }
};

}  // namespace tagix::cuda
