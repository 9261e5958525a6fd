#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "graph/shape.h"

namespace tagix {

/// Which positions of an input grid meet in each position of a result, and with which known weight:
///
///   result[p] = sum over the taps t of p   weight(p, t) input[position(p, t)]
///
/// A window of 3 x 3 has 9 taps; at an edge some of them are missing. Each input position takes
/// part in a tap at most once, so that the transpose is such a table again.
class TapTable {
 public:
  /// Tap number `tap` of the position `result` reads the position `input`.
  struct Tap {
    Index result;
    Index tap;
    Index input;
    float weight = 1;
  };

  /// The taps in any order; those that are missing are left out. Throws std::invalid_argument for
  /// positions and taps that are not there, and unless each result and each input has a tap at most
  /// once.
  TapTable(Grid input_grid, Grid grid, Index n_taps, std::vector<Tap> taps);

  const Grid& input_grid() const { return input_grid_; }
  /// The grid of the result.
  const Grid& grid() const { return grid_; }
  Index n_taps() const { return n_taps_; }

  /// By result, then by tap: sums are taken in this order.
  const std::vector<Tap>& taps() const { return taps_; }
  /// The input position of each result and tap (positions x n_taps), -1 where there is none.
  std::vector<std::int32_t> positions() const;

  /// The table with results and inputs exchanged: what takes innovations back. Made at the first
  /// call.
  const TapTable& transposed() const;

 private:
  Grid input_grid_;
  Grid grid_;
  Index n_taps_;
  std::vector<Tap> taps_;
  mutable std::once_flag once_;
  mutable std::unique_ptr<const TapTable> transposed_;
};

using Taps = std::shared_ptr<const TapTable>;

/// Windows of `kernel` positions along each dimension of a grid, `stride` apart, over a grid that
/// is padded by `padding` on all sides with positions that are left out:
///
///   extent of the result = (extent + 2 padding - kernel) / stride + 1
///
/// The taps of a window lie in row-major order and have the same weight; 1 / kernel^dimensions is
/// average pooling. Throws std::invalid_argument for a window that does not fit.
Taps window(const Grid& grid, Index kernel, Index stride, Index padding, float weight = 1);

/// Every position of a grid `factor` times along each dimension.
Taps nearest(const Grid& grid, Index factor);

/// The one position of a vector at each position of a grid.
Taps broadcast(const Grid& grid);

}  // namespace tagix
