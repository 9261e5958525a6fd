#pragma once

#include <map>

#include "core/memory.h"
#include "core/taps_view.h"
#include "graph/graph.h"

namespace tagix::graph {

/// The tables of a graph in a backend's memory, and their transposes: as lists of taps for sums, as
/// positions by tap for windows.
class TapBuffers {
 public:
  TapBuffers(Backend& backend, const Graph& graph);

  /// Of the table of a Mix.
  TapsView of(const TapTable& taps) const { return buffers_.at(&taps).view(); }
  /// Of the table of an affine map of windows, or of a Largest.
  PositionsView windows_of(const TapTable& taps) const;

 private:
  struct Table {
    Table(Backend& backend, const TapTable& taps);
    TapsView view() const;

    Index inputs, results;
    Buffer<std::int32_t> start, input;
    Buffer<float> weight;
  };

  std::map<const TapTable*, Table> buffers_;
  std::map<const TapTable*, Buffer<std::int32_t>> positions_;
};

}  // namespace tagix::graph
