#pragma once

#include <span>
#include <vector>

#include "graph/graph.h"

namespace tagix::graph {

/// An array that a pass needs from one moment to another, both included.
struct Lifetime {
  Index size;  ///< floats for each row of a batch
  Index born;
  Index dies;
};

/// Which slot of memory each of some arrays occupies, and the size of each slot.
struct Slots {
  std::vector<Index> of;
  std::vector<Index> sizes;  ///< floats for each row of a batch
};

/// Puts arrays, in the order in which they are born, into slots that are free by then: the smallest
/// that is large enough, else the largest, which grows.
Slots place(std::span<const Lifetime> arrays);

/// How a node passes its innovation down to an input.
enum class Handover {
  none,      ///< nothing needs it
  write,     ///< it is the first reader of the input whose rule runs
  add,       ///< another reader has written before
  in_place,  ///< first, and the input's innovation takes over the memory of its own
};

/// Parameters whose innovation is written or, where another affine map has written it before,
/// added.
struct SharedPart {
  Index offset;
  Index size;
  bool add;
};

/// Where the arrays of a pass lie, by node, and how innovations are passed on.
struct Plan {
  static constexpr Index nowhere = -1;

  struct NodePlan {
    Index value = nowhere;     ///< slot of the moments, or of their tangents; nowhere: a view
    Index jacobian = nowhere;  ///< of an activation
    Index delta = nowhere;     ///< of the innovation of the value
    Index spare = nowhere;     ///< of an innovation of the input before it is added
    std::vector<Handover> to_inputs;
    /// The parts of an affine map's weight and bias, where it does not write all of them first.
    std::vector<SharedPart> shared;
  };

  std::vector<NodePlan> nodes;
  Index row = nowhere;             ///< of tangents or innovations of the whole row of data
  std::vector<SharedPart> unused;  ///< parameters that no node reads: their innovation is 0
  std::vector<Index> slot_sizes;   ///< floats for each row of a batch

  Index bytes_per_row() const;
};

/// A forward pass alone: a value's memory is free after its last reader.
Plan plan_prediction(const Graph& graph);

/// A forward pass that keeps every value and Jacobian.
Plan plan_linearization(const Graph& graph);

/// The tangents of a forward pass, whose sizes are for each direction, too. An activation works in
/// place where it is the last reader.
Plan plan_tangents(const Graph& graph);

/// A forward pass, then the rules of nodes in reverse. What a rule reads stays until it has run;
/// the memory of what has been read is used again.
Plan plan_learning(const Graph& graph, bool need_input_delta);

}  // namespace tagix::graph
