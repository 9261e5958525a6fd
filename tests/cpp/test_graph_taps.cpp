#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "graph/taps.h"
#include "test_helpers.h"

using namespace tagix;
using namespace tagix::test;

namespace {

/// What a 2-dimensional window reads, by the plainest of loops: results x taps, -1 for none.
std::vector<std::int32_t> brute_window(Index height, Index width, Index kernel, Index stride,
                                       Index padding) {
  std::vector<std::int32_t> positions;
  for (Index top = -padding; top + kernel <= height + padding; top += stride) {
    for (Index left = -padding; left + kernel <= width + padding; left += stride) {
      for (Index y = top; y < top + kernel; ++y) {
        for (Index x = left; x < left + kernel; ++x) {
          const bool inside = y >= 0 && y < height && x >= 0 && x < width;
          positions.push_back(inside ? static_cast<std::int32_t>(y * width + x) : -1);
        }
      }
    }
  }
  return positions;
}

/// CHECKs that the transpose has each tap the other way round, and that twice is the table itself.
void check_transpose(const TapTable& taps) {
  const TapTable& back = taps.transposed();
  CHECK(back.grid() == taps.input_grid());
  CHECK(back.input_grid() == taps.grid());
  REQUIRE(back.taps().size() == taps.taps().size());
  for (const TapTable::Tap& tap : taps.taps()) {
    int found = 0;
    for (const TapTable::Tap& other : back.taps()) {
      const bool is_same = other.result == tap.input && other.input == tap.result &&
                           other.tap == tap.tap && other.weight == tap.weight;
      found += is_same ? 1 : 0;
    }
    CHECK(found == 1);
  }
  CHECK(back.transposed().positions() == taps.positions());
  CHECK(&taps.transposed() == &back);
}

}  // namespace

TEST_CASE("windows of a grid are those of brute force, and so are their transposes") {
  for (const auto& [kernel, stride, padding] :
       {std::tuple<Index, Index, Index>{1, 1, 0}, {2, 2, 0}, {3, 1, 1}, {3, 2, 1}, {4, 3, 2}}) {
    for (const auto& [height, width] : {std::pair<Index, Index>{6, 6}, {5, 7}, {4, 9}}) {
      INFO("kernel ", kernel, ", stride ", stride, ", padding ", padding, ", ", height, " x ",
           width);
      const Taps taps = window({height, width}, kernel, stride, padding, 0.25f);
      CHECK(taps->positions() == brute_window(height, width, kernel, stride, padding));
      CHECK(taps->grid() == Grid{(height + 2 * padding - kernel) / stride + 1,
                                 (width + 2 * padding - kernel) / stride + 1});
      CHECK(taps->n_taps() == kernel * kernel);
      for (const TapTable::Tap& tap : taps->taps()) CHECK(tap.weight == 0.25f);
      check_transpose(*taps);
    }
  }
}

TEST_CASE("windows in time, resampling and broadcasting") {
  const Taps in_time = window({5}, 3, 2, 1);
  CHECK(in_time->grid() == Grid{3});
  CHECK(in_time->positions() == std::vector<std::int32_t>{-1, 0, 1, 1, 2, 3, 3, 4, -1});
  check_transpose(*in_time);

  const Taps doubled = nearest({2, 3}, 2);
  CHECK(doubled->grid() == Grid{4, 6});
  std::vector<Index> read(24, -1);
  for (const TapTable::Tap& tap : doubled->taps())
    read[static_cast<std::size_t>(tap.result)] = tap.input;
  CHECK(read ==
        std::vector<Index>{0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 3, 3, 4, 4, 5, 5});
  check_transpose(*doubled);

  const Taps everywhere = broadcast({2, 2});
  CHECK(everywhere->input_grid().empty());
  CHECK(everywhere->taps().size() == 4);
  check_transpose(*everywhere);
  CHECK(everywhere->transposed().positions() == std::vector<std::int32_t>{0, 1, 2, 3});
}

TEST_CASE("tables refuse what is not there and what is there twice") {
  const auto table = [](std::vector<TapTable::Tap> taps) {
    return refusal([&] { TapTable({4}, {3}, 2, taps); });
  };
  CHECK(table({{0, 0, 0}, {1, 0, 1}, {0, 1, 0}}).empty());
  CHECK(table({{3, 0, 0}}) == "taps: got the result 3, needed 0 to 2");
  CHECK(table({{0, 0, 4}}) == "taps: got the input 4, needed 0 to 3");
  CHECK(table({{0, 2, 0}}) == "taps: got tap 2, needed 0 to 1");
  CHECK(table({{0, 1, 2}, {1, 1, 2}}) == "taps: got input 2 twice in tap 1, needed once at most");
  CHECK(table({{1, 0, 2}, {1, 0, 3}}) == "taps: got result 1 twice in tap 0, needed once at most");
  CHECK(refusal([] { window({4, 4}, 7, 1, 1); }) ==
        "kernel: got 7 positions, needed at most 6 on a grid of 4 x 4 with its padding");
  CHECK(refusal([] { window({4, 4}, 3, 0, 1); }) == "stride: got 0, needed at least 1");
  CHECK(refusal([] { nearest({4, 4}, 0); }) == "factor: got 0, needed at least 1");
  CHECK(refusal([] { broadcast({0}); }) ==
        "grid: got 0, needed extents of at least 1 and at most 2147483647 positions");
}

TEST_CASE("windows of each axis, by brute force, and what turns them round") {
  const Index height = 7, width = 6;
  for (const auto& [y, x] : {std::pair{WindowAxis{3, 2, 1, 0, 1}, WindowAxis{2, 1, 0, 2, 2}},
                             std::pair{WindowAxis{1, 3, 0, 0, 1}, WindowAxis{3, 1, 2, 2, 1}},
                             std::pair{WindowAxis{2, 1, 3, 1, 3}, WindowAxis{4, 2, 1, 1, 1}}}) {
    const std::array<WindowAxis, 2> axes{y, x};
    const Taps taps = window({height, width}, axes);
    const auto extent = [](Index from, const WindowAxis& axis) {
      return (from + axis.padding_before + axis.padding_after - axis.dilation * (axis.kernel - 1) -
              1) /
                 axis.stride +
             1;
    };
    const Index rows = extent(height, y), cols = extent(width, x);
    CHECK(taps->grid() == Grid{rows, cols});
    std::vector<std::int32_t> expected;
    for (Index row = 0; row < rows; ++row) {
      for (Index col = 0; col < cols; ++col) {
        for (Index i = 0; i < y.kernel; ++i) {
          for (Index j = 0; j < x.kernel; ++j) {
            const Index at_y = row * y.stride + i * y.dilation - y.padding_before;
            const Index at_x = col * x.stride + j * x.dilation - x.padding_before;
            const bool is_there = at_y >= 0 && at_y < height && at_x >= 0 && at_x < width;
            expected.push_back(static_cast<std::int32_t>(is_there ? at_y * width + at_x : -1));
          }
        }
      }
    }
    CHECK(taps->positions() == expected);
    // From the result's grid, with what the stride leaves over, back to the whole one.
    const auto left_over = [&](Index from, const WindowAxis& axis) {
      return (from + axis.padding_before + axis.padding_after - axis.dilation * (axis.kernel - 1) -
              1) %
             axis.stride;
    };
    const std::array<Index, 2> extra{left_over(height, y), left_over(width, x)};
    const Taps back = transposed_window({rows, cols}, axes, extra);
    CHECK(back->grid() == Grid{height, width});
    CHECK(back->positions() == taps->transposed().positions());
  }
}

TEST_CASE("linear interpolation has weights that sum to 1 and reproduces what is linear inside") {
  for (const Index factor : {1, 2, 3, 4}) {
    const Index height = 3, width = 4;
    const Taps taps = linear_interpolation({height, width}, factor);
    std::vector<double> weights(static_cast<std::size_t>(height * width * factor * factor));
    std::vector<double> places(weights.size());
    for (const TapTable::Tap& tap : taps->taps()) {
      const auto result = static_cast<std::size_t>(tap.result);
      weights[result] += double{tap.weight};
      places[result] += double{tap.weight} * static_cast<double>(tap.input % width);
    }
    for (std::size_t i = 0; i < weights.size(); ++i) {
      CHECK(weights[i] == doctest::Approx(1).epsilon(1e-6));
      const double column = static_cast<double>(i % static_cast<std::size_t>(width * factor));
      const double place = (column + 0.5) / static_cast<double>(factor) - 0.5;
      CHECK(places[i] == doctest::Approx(std::clamp(place, 0.0, double(width - 1))).epsilon(1e-6));
    }
  }
}

TEST_CASE("a recipe makes its table again") {
  const std::array<WindowAxis, 2> axes{WindowAxis{3, 2, 1, 0, 1}, WindowAxis{2, 1, 0, 2, 2}};
  const std::array<Index, 2> extra{1, 0};
  for (const Taps& taps :
       {window({7, 6}, axes, 0.5f), transposed_window({4, 5}, axes, extra), nearest({2, 3}, 3),
        linear_interpolation({2, 3}, 2), broadcast({4, 5})}) {
    const Taps again = taps_of(taps->input_grid(), taps->recipe());
    CHECK(again->grid() == taps->grid());
    CHECK(again->positions() == taps->positions());
    for (std::size_t i = 0; i < taps->taps().size(); ++i) {
      CHECK(again->taps()[i].weight == taps->taps()[i].weight);
    }
  }
  CHECK(refusal([] { taps_of({2, 2}, {"window", {3, 1}}); }) ==
        "taps: got 2 numbers for window on a grid of 2 x 2");
  CHECK(refusal([] { taps_of({2, 2}, {"cubic", {3}}); }).find("got the kind cubic") !=
        std::string::npos);
}
