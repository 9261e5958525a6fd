#pragma once

#include <cstdint>

#include "core/index.h"

namespace tagix {

/// A table of sums with known weights (graph/taps.h) in a backend's memory: position p of the
/// result adds up weight[i] times position input[i] of the input for start[p] <= i < start[p + 1].
struct TapsView {
  const std::int32_t* start;  ///< results + 1
  const std::int32_t* input;
  const float* weight;
  Index inputs;   ///< positions of the input
  Index results;  ///< positions of the result
};

/// Which positions of an input a window reads at each position of a result (graph/taps.h), in a
/// backend's memory: tap t of the result p reads input[p * n_taps + t], below 0 where there is
/// none.
struct PositionsView {
  const std::int32_t* input;
  Index n_taps;
  Index inputs;   ///< positions of the input
  Index results;  ///< positions of the result
};

}  // namespace tagix
