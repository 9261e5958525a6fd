#include "graph/taps.h"

#include <algorithm>
#include <cmath>
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

void require_axis(const WindowAxis& axis) {
  require(axis.kernel >= 1, "kernel: got ", axis.kernel, ", needed at least 1");
  require(axis.stride >= 1, "stride: got ", axis.stride, ", needed at least 1");
  require(axis.dilation >= 1, "dilation: got ", axis.dilation, ", needed at least 1");
  require(axis.padding_before >= 0 && axis.padding_after >= 0, "padding: got ",
          std::min(axis.padding_before, axis.padding_after), ", needed at least 0");
}

constexpr std::size_t numbers_of_axis = 5;

/// Axes as the numbers of a recipe.
std::vector<Index> numbers_of(std::span<const WindowAxis> axes) {
  std::vector<Index> numbers;
  for (const WindowAxis& axis : axes) {
    numbers.insert(numbers.end(), {axis.kernel, axis.stride, axis.padding_before,
                                   axis.padding_after, axis.dilation});
  }
  return numbers;
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

std::vector<WindowAxis> axes_of(std::span<const Index> numbers) {
  std::vector<WindowAxis> axes;
  for (std::size_t i = 0; i < numbers.size(); i += numbers_of_axis) {
    axes.push_back({numbers[i], numbers[i + 1], numbers[i + 2], numbers[i + 3], numbers[i + 4]});
  }
  return axes;
}

TapTable::TapTable(Grid input_grid, Grid grid, Index n_taps, std::vector<Tap> taps,
                   TapRecipe recipe)
    : input_grid_(std::move(input_grid)),
      grid_(std::move(grid)),
      n_taps_(n_taps),
      taps_(std::move(taps)),
      recipe_(std::move(recipe)) {
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

Taps window(const Grid& grid, std::span<const WindowAxis> axes, float weight) {
  require_grid(grid);
  require(axes.size() == grid.size(), "kernel: got ", axes.size(), " dimensions, needed ",
          grid.size(), " for a grid of ", to_text(grid));
  Grid result, window;
  for (std::size_t d = 0; d < grid.size(); ++d) {
    const WindowAxis& axis = axes[d];
    require_axis(axis);
    const Index reach = axis.dilation * (axis.kernel - 1) + 1;
    const Index extent = grid[d] + axis.padding_before + axis.padding_after;
    require(extent >= reach, "kernel: got ", reach, " positions, needed at most ", extent,
            " on a grid of ", to_text(grid), " with its padding");
    result.push_back((extent - reach) / axis.stride + 1);
    window.push_back(axis.kernel);
  }
  const Index n_taps = positions_of(window);
  constexpr Index most_taps = Index{1} << 28;
  require(positions_of(result) <= most_taps / n_taps, "kernel: got windows of ", to_text(window),
          " at ", to_text(result), " positions, needed at most ", most_taps, " taps");
  std::vector<TapTable::Tap> taps;
  for (Index p = 0; p < positions_of(result); ++p) {
    const Grid corner = coordinates(result, p);
    for (Index t = 0; t < n_taps; ++t) {
      Grid at = coordinates(window, t);
      for (std::size_t d = 0; d < at.size(); ++d) {
        at[d] = at[d] * axes[d].dilation + corner[d] * axes[d].stride - axes[d].padding_before;
      }
      const Index input = position_at(grid, at);
      if (input >= 0) taps.push_back({p, t, input, weight});
    }
  }
  return std::make_shared<const TapTable>(grid, result, n_taps, std::move(taps),
                                          TapRecipe{"window", numbers_of(axes), weight});
}

Taps window(const Grid& grid, Index kernel, Index stride, Index padding, float weight) {
  return window(grid, std::vector<WindowAxis>(grid.size(), {kernel, stride, padding, padding}),
                weight);
}

Taps transposed_window(const Grid& grid, std::span<const WindowAxis> axes,
                       std::span<const Index> extra) {
  require_grid(grid);
  require(axes.size() == grid.size() && extra.size() == grid.size(), "kernel: got ", axes.size(),
          " dimensions, needed ", grid.size(), " for a grid of ", to_text(grid));
  Grid result;
  for (std::size_t d = 0; d < grid.size(); ++d) {
    const WindowAxis& axis = axes[d];
    require_axis(axis);
    require(extra[d] >= 0 && extra[d] < axis.stride, "output_padding: got ", extra[d],
            ", needed at least 0 and less than the stride, ", axis.stride);
    result.push_back((grid[d] - 1) * axis.stride - axis.padding_before - axis.padding_after +
                     axis.dilation * (axis.kernel - 1) + 1 + extra[d]);
    require(result.back() >= 1, "padding: got ", axis.padding_before, ", which leaves ",
            result.back(), " positions of a grid of ", to_text(grid), ", needed at least 1");
  }
  const Taps forward = window(result, axes);
  std::vector<TapTable::Tap> taps = forward->taps();
  for (TapTable::Tap& tap : taps) std::swap(tap.result, tap.input);
  TapRecipe recipe{"transposed_window", numbers_of(axes)};
  recipe.numbers.insert(recipe.numbers.end(), extra.begin(), extra.end());
  return std::make_shared<const TapTable>(grid, result, forward->n_taps(), std::move(taps),
                                          std::move(recipe));
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
  return std::make_shared<const TapTable>(grid, result, positions_of(copies), std::move(taps),
                                          TapRecipe{"nearest", {factor}});
}

Taps linear_interpolation(const Grid& grid, Index factor) {
  require(factor >= 1, "factor: got ", factor, ", needed at least 1");
  Grid result = grid;
  for (Index& extent : result) extent *= factor;
  const Grid phases(grid.size(), factor), corners(grid.size(), 2);
  const Index n_corners = positions_of(corners);
  std::vector<TapTable::Tap> taps;
  for (Index p = 0; p < positions_of(result); ++p) {
    const Grid to = coordinates(result, p);
    Grid phase = to;
    for (Index& each : phase) each %= factor;
    for (Index corner = 0; corner < n_corners; ++corner) {
      const Grid above = coordinates(corners, corner);
      Grid at = to;
      double weight = 1;
      for (std::size_t d = 0; d < at.size(); ++d) {
        const double place = (static_cast<double>(to[d]) + 0.5) / static_cast<double>(factor) - 0.5;
        const auto below = static_cast<Index>(std::floor(place));
        const double share = place - static_cast<double>(below);
        // At an edge the position that is not there gives its share to the other one.
        const bool is_alone = below < 0 || below + 1 >= grid[d];
        at[d] = below + above[d];
        weight *= is_alone ? 1 : above[d] == 1 ? share : 1 - share;
      }
      const Index input = position_at(grid, at);
      if (input < 0 || weight == 0) continue;
      taps.push_back(
          {p, position_at(phases, phase) * n_corners + corner, input, static_cast<float>(weight)});
    }
  }
  return std::make_shared<const TapTable>(grid, result, positions_of(phases) * n_corners,
                                          std::move(taps),
                                          TapRecipe{"linear_interpolation", {factor}});
}

Taps broadcast(const Grid& grid) {
  std::vector<TapTable::Tap> taps;
  for (Index p = 0; p < positions_of(grid); ++p) taps.push_back({p, p, 0});
  return std::make_shared<const TapTable>(Grid{}, grid, positions_of(grid), std::move(taps),
                                          TapRecipe{"broadcast", grid});
}

Taps taps_of(const Grid& grid, const TapRecipe& recipe) {
  const std::vector<Index>& numbers = recipe.numbers;
  const auto check = [&](bool fits) {
    require(fits, "taps: got ", numbers.size(), " numbers for ", recipe.kind, " on a grid of ",
            to_text(grid));
  };
  if (recipe.kind == "window") {
    check(numbers.size() == numbers_of_axis * grid.size());
    return window(grid, axes_of(numbers), recipe.weight);
  }
  if (recipe.kind == "transposed_window") {
    check(numbers.size() == (numbers_of_axis + 1) * grid.size());
    const std::span<const Index> all(numbers);
    const std::size_t n_of_axes = numbers_of_axis * grid.size();
    return transposed_window(grid, axes_of(all.first(n_of_axes)), all.subspan(n_of_axes));
  }
  if (recipe.kind == "broadcast") return broadcast(numbers);
  check(numbers.size() == 1);
  if (recipe.kind == "nearest") return nearest(grid, numbers[0]);
  require(recipe.kind == "linear_interpolation", "taps: got the kind ", recipe.kind,
          ", needed window, transposed_window, nearest, linear_interpolation or broadcast");
  return linear_interpolation(grid, numbers[0]);
}

}  // namespace tagix
