#pragma once

#include <map>

#include "core/memory.h"
#include "core/taps_view.h"
#include "graph/graph.h"

namespace tagix::graph {

/// The tables of a graph in a backend's memory, and their transposes.
class TapBuffers {
 public:
  TapBuffers(Backend& backend, const Graph& graph);

  TapsView of(const TapTable& taps) const { return buffers_.at(&taps).view(); }

 private:
  struct Table {
    Table(Backend& backend, const TapTable& taps);
    TapsView view() const;

    Index inputs, results;
    Buffer<std::int32_t> start, input;
    Buffer<float> weight;
  };

  std::map<const TapTable*, Table> buffers_;
};

}  // namespace tagix::graph
