#include "graph/taps.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace tagix {
namespace {

/// Throws unless the taps, sorted by `first` and then by tap, have no two alike.
template <class Position>
void require_single(const std::vector<TapTable::Tap>& taps, const char* what, Position position) {
  for (std::size_t i = 1; i < taps.size(); ++i) {
    require(position(taps[i - 1]) != position(taps[i]) || taps[i - 1].tap != taps[i].tap,
            "taps: got ", what, " ", position(taps[i]), " twice in tap ", taps[i].tap,
            ", needed once at most");
  }
}

template <class Position>
void sort_by(std::vector<TapTable::Tap>& taps, Position position) {
  std::sort(taps.begin(), taps.end(), [&](const TapTable::Tap& a, const TapTable::Tap& b) {
    return std::pair(position(a), a.tap) < std::pair(position(b), b.tap);
  });
}

/// The coordinates of a position, row-major.
Grid coordinates(const Grid& grid, Index position) {
  Grid result(grid.size());
  for (std::size_t d = grid.size(); d-- > 0;) {
    result[d] = position % grid[d];
    position /= grid[d];
  }
  return result;
}

/// The position at coordinates, or -1 where they lie outside the grid.
Index position_at(const Grid& grid, const Grid& coordinates) {
  Index position = 0;
  for (std::size_t d = 0; d < grid.size(); ++d) {
    if (coordinates[d] < 0 || coordinates[d] >= grid[d]) return -1;
    position = position * grid[d] + coordinates[d];
  }
  return position;
}

void require_grid(const Grid& grid) {
  constexpr Index most = std::numeric_limits<std::int32_t>::max();
  Index positions = 1;
  for (Index extent : grid) {
    require(extent >= 1 && extent <= most / positions, "grid: got ", to_text(grid),
            ", needed extents of at least 1 and at most ", most, " positions");
    positions *= extent;
  }
}

}  // namespace

TapTable::TapTable(Grid input_grid, Grid grid, Index n_taps, std::vector<Tap> taps)
    : input_grid_(std::move(input_grid)),
      grid_(std::move(grid)),
      n_taps_(n_taps),
      taps_(std::move(taps)) {
  require_grid(input_grid_);
  require_grid(grid_);
  const Index results = positions_of(grid_), inputs = positions_of(input_grid_);
  for (const Tap& tap : taps_) {
    require(0 <= tap.result && tap.result < results, "taps: got the result ", tap.result,
            ", needed 0 to ", results - 1);
    require(0 <= tap.input && tap.input < inputs, "taps: got the input ", tap.input,
            ", needed 0 to ", inputs - 1);
    require(0 <= tap.tap && tap.tap < n_taps, "taps: got tap ", tap.tap, ", needed 0 to ",
            n_taps - 1);
  }
  const auto by_input = [](const Tap& tap) { return tap.input; };
  sort_by(taps_, by_input);
  require_single(taps_, "input", by_input);
  const auto by_result = [](const Tap& tap) { return tap.result; };
  sort_by(taps_, by_result);
  require_single(taps_, "result", by_result);
}

std::vector<std::int32_t> TapTable::positions() const {
  std::vector<std::int32_t> positions(static_cast<std::size_t>(positions_of(grid_) * n_taps_), -1);
  for (const Tap& tap : taps_) {
    positions[static_cast<std::size_t>(tap.result * n_taps_ + tap.tap)] =
        static_cast<std::int32_t>(tap.input);
  }
  return positions;
}

const TapTable& TapTable::transposed() const {
  std::call_once(once_, [this] {
    std::vector<Tap> taps = taps_;
    for (Tap& tap : taps) std::swap(tap.result, tap.input);
    transposed_ = std::make_unique<const TapTable>(grid_, input_grid_, n_taps_, std::move(taps));
  });
  return *transposed_;
}

Taps window(const Grid& grid, Index kernel, Index stride, Index padding, float weight) {
  require_grid(grid);
  require(kernel >= 1, "kernel: got ", kernel, ", needed at least 1");
  require(stride >= 1, "stride: got ", stride, ", needed at least 1");
  require(padding >= 0, "padding: got ", padding, ", needed at least 0");
  Grid result;
  for (Index extent : grid) {
    require(extent + 2 * padding >= kernel, "kernel: got ", kernel, ", needed at most ",
            extent + 2 * padding, " on a grid of ", to_text(grid), " with padding ", padding);
    result.push_back((extent + 2 * padding - kernel) / stride + 1);
  }
  const Grid window(grid.size(), kernel);
  const Index n_taps = positions_of(window);
  std::vector<TapTable::Tap> taps;
  for (Index p = 0; p < positions_of(result); ++p) {
    const Grid corner = coordinates(result, p);
    for (Index t = 0; t < n_taps; ++t) {
      Grid at = coordinates(window, t);
      for (std::size_t d = 0; d < at.size(); ++d) at[d] += corner[d] * stride - padding;
      const Index input = position_at(grid, at);
      if (input >= 0) taps.push_back({p, t, input, weight});
    }
  }
  return std::make_shared<const TapTable>(grid, result, n_taps, std::move(taps));
}

Taps nearest(const Grid& grid, Index factor) {
  require(factor >= 1, "factor: got ", factor, ", needed at least 1");
  Grid result = grid;
  for (Index& extent : result) extent *= factor;
  const Grid copies(grid.size(), factor);
  std::vector<TapTable::Tap> taps;
  for (Index p = 0; p < positions_of(result); ++p) {
    Grid at = coordinates(result, p), copy = at;
    for (std::size_t d = 0; d < at.size(); ++d) {
      copy[d] = at[d] % factor;
      at[d] /= factor;
    }
    taps.push_back({p, position_at(copies, copy), position_at(grid, at)});
  }
  return std::make_shared<const TapTable>(grid, result, positions_of(copies), std::move(taps));
}

Taps broadcast(const Grid& grid) {
  std::vector<TapTable::Tap> taps;
  for (Index p = 0; p < positions_of(grid); ++p) taps.push_back({p, p, 0});
  return std::make_shared<const TapTable>(Grid{}, grid, positions_of(grid), std::move(taps));
}

}  // namespace tagix
