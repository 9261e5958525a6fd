#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/index.h"
#include "core/require.h"

namespace tagix {

/// The extents of a grid: {} one position (a row of a table), {T} tokens or time, {H, W} an image.
using Grid = std::vector<Index>;

/// The number of positions of a grid.
inline Index positions_of(const Grid& grid) {
  Index positions = 1;
  for (Index extent : grid) positions *= extent;
  return positions;
}

/// A grid as an error names it: "8 x 8", or "one position".
inline std::string to_text(const Grid& grid) {
  if (grid.empty()) return "one position";
  std::string joined = text(grid[0]);
  for (std::size_t i = 1; i < grid.size(); ++i) joined += text(" x ", grid[i]);
  return joined;
}

/// What a value holds for one row of a batch: `channels` numbers at each position of a grid,
/// channels last. A batch of it is a matrix of batch x positions rows and `channels` columns.
struct Shape {
  Grid grid;
  Index channels = 0;

  Shape() = default;
  Shape(Index channels) : channels(channels) {}  ///< of a row of a table
  Shape(Grid grid, Index channels) : grid(std::move(grid)), channels(channels) {}

  Index positions() const { return positions_of(grid); }
  Index size() const { return positions() * channels; }

  bool operator==(const Shape&) const = default;
};

/// A shape as an error names it: "3 features", or "3 channels on a grid of 8 x 8".
inline std::string to_text(const Shape& shape) {
  const char* ending = shape.channels == 1 ? "" : "s";
  if (shape.grid.empty()) return text(shape.channels, " feature", ending);
  return text(shape.channels, " channel", ending, " on a grid of ", to_text(shape.grid));
}

}  // namespace tagix
