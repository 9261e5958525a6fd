#pragma once

#include <utility>
#include <vector>

#include "core/index.h"

namespace tagix::conformance {

// Shapes around everything that a kernel may cut by: vectors of 4, 8 and 16 lanes, register tiles,
// pieces of 96 rows or 256 samples or 8192 elements.

struct AffineShape {
  Index rows;
  Index in;
  Index out;
};

inline std::vector<AffineShape> affine_shapes() {
  const std::vector<Index> rows{1, 2, 3, 5, 17, 95, 96, 97, 255, 256, 257};
  const std::vector<Index> cols{1, 2, 3, 4, 5, 7, 15, 16, 17, 31, 32, 33, 64, 100, 129};
  std::vector<AffineShape> shapes;
  // Every width on either side, every number of rows, and each width beside several others.
  std::size_t row = 0;
  for (std::size_t step : {0, 1, 4, 7}) {
    for (std::size_t i = 0; i < cols.size(); ++i) {
      const Index count = rows[row++ % rows.size()];
      shapes.push_back({count, cols[i], cols[(i * (1 + step) + step) % cols.size()]});
    }
  }
  // The layers of a small diffusion network, and weights large enough to be cut by outputs.
  shapes.insert(shapes.end(), {{2048, 3, 64},
                               {2048, 64, 64},
                               {2048, 64, 2},
                               {5, 512, 3},
                               {17, 2, 512},
                               {97, 129, 129},
                               {257, 512, 33},
                               {65, 512, 512},
                               {300, 100, 257}});
  return shapes;
}

/// Rows x cols of elementwise operations.
inline std::vector<std::pair<Index, Index>> elementwise_shapes() {
  return {{1, 1},    {1, 2},    {3, 1},    {1, 4},    {1, 5},     {1, 7},   {5, 3},
          {1, 16},   {17, 1},   {2, 16},   {3, 33},   {17, 7},    {96, 31}, {97, 32},
          {255, 15}, {1, 8192}, {1, 8193}, {2, 4097}, {257, 129}, {2048, 5}};
}

/// As few as reach every path, for operations with many options.
inline std::vector<std::pair<Index, Index>> few_elementwise_shapes() {
  return {{1, 1}, {3, 5}, {1, 16}, {17, 7}, {2, 4099}};
}

}  // namespace tagix::conformance
