#pragma once

#include <algorithm>

#include "core/index.h"
#include "cpu/tile_plan.h"

namespace tagix::cpu {

/// Some rows of a batch on their way through a network, and where a TilePlan's places are.
struct Tile {
  /// Tile `number` of a batch, in a thread's memory of plan.tile_size floats. What it keeps from
  /// one phase to the next, plan.kept_size floats, lies in `kept`, or with the rest where that is
  /// null.
  Tile(const TilePlan& plan, float* memory, float* kept, Index number, Index batch_size)
      : memory(memory),
        kept(kept == nullptr ? memory : kept),
        kept_size(plan.kept_size),
        first(number * TilePlan::tile_rows),
        rows(std::min(TilePlan::tile_rows, batch_size - first)) {}

  float* at(Index offset) const { return (offset < kept_size ? kept : memory) + offset; }

  float* memory;
  float* kept;
  Index kept_size;
  Index first;  ///< row of the batch
  Index rows;
};

/// The rows of a batch that a tile takes.
template <class View>
View rows_of(const View& batch, const Tile& tile) {
  return batch.slice(tile.first * batch.cols, tile.rows, batch.cols);
}

/// Copies the rows of a tile between matrices of different strides; a wider target is padded with
/// zeros.
inline void copy_rows(const float* source, Index source_stride, float* target, Index target_stride,
                      const Tile& tile) {
  const Index cols = std::min(source_stride, target_stride);
  if (source_stride == target_stride) {
    std::copy_n(source, tile.rows * cols, target);
    return;
  }
  for (Index row = 0; row < tile.rows; ++row, target += target_stride) {
    std::copy_n(source + row * source_stride, cols, target);
    std::fill(target + cols, target + target_stride, 0.0f);
  }
}

}  // namespace tagix::cpu
