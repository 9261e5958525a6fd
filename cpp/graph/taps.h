#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "graph/shape.h"

namespace tagix {

/// What makes a table again, on the grid of its input: the name of a function below, its integer
/// arguments one after the other, and the weight of its taps.
struct TapRecipe {
  std::string kind;
  std::vector<Index> numbers;
  float weight = 1;
};

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
  TapTable(Grid input_grid, Grid grid, Index n_taps, std::vector<Tap> taps, TapRecipe recipe = {});

  /// Of a table that a function below has made; of others, without a kind.
  const TapRecipe& recipe() const { return recipe_; }

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
  TapRecipe recipe_;
  mutable std::once_flag once_;
  mutable std::unique_ptr<const TapTable> transposed_;
};

using Taps = std::shared_ptr<const TapTable>;

/// A window along one dimension of a grid: `kernel` positions, `dilation` apart, from one window to
/// the next `stride` positions, over a grid that is padded on both sides with positions that are
/// left out:
///
///   extent of the result
///     = (extent + padding_before + padding_after - dilation (kernel - 1) - 1) / stride + 1
struct WindowAxis {
  Index kernel;
  Index stride = 1;
  Index padding_before = 0;
  Index padding_after = 0;
  Index dilation = 1;
};

/// The axes among the numbers of a recipe of windows.
std::vector<WindowAxis> axes_of(std::span<const Index> numbers);

/// Windows over a grid, with an axis for each of its dimensions. The taps of a window lie in
/// row-major order and have the same weight; 1 / kernel^dimensions is average pooling. Throws
/// std::invalid_argument for a window that does not fit.
Taps window(const Grid& grid, std::span<const WindowAxis> axes, float weight = 1);

/// The same windows along all dimensions, padded alike on all sides.
Taps window(const Grid& grid, Index kernel, Index stride, Index padding, float weight = 1);

/// What takes innovations back through these windows, as a map of its own: each position of `grid`
/// is spread over the windows' positions of a grid of extents
///
///   (extent - 1) stride - padding_before - padding_after + dilation (kernel - 1) + 1 + extra
///
/// with as many `extra` positions at the end of each dimension, fewer than the stride. Throws
/// std::invalid_argument for extents that are not positive.
Taps transposed_window(const Grid& grid, std::span<const WindowAxis> axes,
                       std::span<const Index> extra);

/// Every position of a grid `factor` times along each dimension.
Taps nearest(const Grid& grid, Index factor);

/// A grid that is `factor` times as large along each dimension, whose values are interpolated
/// linearly between the nearest positions, of which the outermost go on to the edge: position p of
/// the result lies at (p + 1/2) / factor - 1/2. Throws std::invalid_argument for a factor below 1.
Taps linear_interpolation(const Grid& grid, Index factor);

/// The one position of a vector at each position of a grid.
Taps broadcast(const Grid& grid);

/// The table that a recipe makes on a grid. Throws std::invalid_argument for a recipe that is none.
Taps taps_of(const Grid& grid, const TapRecipe& recipe);

}  // namespace tagix
