#include <doctest/doctest.h>

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
        "kernel: got 7, needed at most 6 on a grid of 4 x 4 with padding 1");
  CHECK(refusal([] { window({4, 4}, 3, 0, 1); }) == "stride: got 0, needed at least 1");
  CHECK(refusal([] { nearest({4, 4}, 0); }) == "factor: got 0, needed at least 1");
  CHECK(refusal([] { broadcast({0}); }) ==
        "grid: got 0, needed extents of at least 1 and at most 2147483647 positions");
}
