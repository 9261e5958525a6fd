#pragma once

#include <algorithm>

#include "core/taps_view.h"
#include "math/target.h"

namespace tagix::ops {

/// Backend::gather: an element of the output, or all of a row.
struct Gather {
  const float* input;
  Index channels;
  PositionsView positions;
  Index first_row;
  float* output;

  TAGIX_HD void operator()(Index row, Index col) const {
    const Index from = first_of(row, col / channels);
    output[row * cols() + col] = from < 0 ? 0.0f : input[from + col % channels];
  }

  /// Taps that read one position after the other are copied together.
  void gather_row(Index row) const {
    float* to = output + row * cols();
    for (Index tap = 0; tap < positions.n_taps;) {
      const Index first = tap, from = first_of(row, first);
      const auto goes_on = [&](Index next) {
        return next == (from < 0 ? -1 : from + (tap - first) * channels);
      };
      do {
        ++tap;
      } while (tap < positions.n_taps && goes_on(first_of(row, tap)));
      const Index size = (tap - first) * channels;
      if (from < 0) {
        std::fill_n(to, size, 0.0f);
      } else {
        std::copy_n(input + from, size, to);
      }
      to += size;
    }
  }

  TAGIX_HD Index cols() const { return positions.n_taps * channels; }

 private:
  /// Where the channels of a tap begin, below 0 for a tap that is not there.
  TAGIX_HD TAGIX_INLINE Index first_of(Index row, Index tap) const {
    const Index result = first_row + row, batch_row = result / positions.results;
    const Index position = result % positions.results * positions.n_taps + tap;
    const std::int32_t from = positions.input[position];
    return from < 0 ? -1 : (batch_row * positions.inputs + from) * channels;
  }
};

}  // namespace tagix::ops
