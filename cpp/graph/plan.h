#pragma once

#include <vector>

#include "core/backend.h"
#include "graph/graph.h"

namespace tagix::graph {

/// How a node passes its innovation down to an input.
enum class Handover {
  none,      ///< nothing needs it
  write,     ///< it is the first reader of the input whose rule runs
  add,       ///< another reader has written before
  in_place,  ///< first, and the input's innovation takes over the memory of its own
};

/// Some of the parameters, in the flat view.
struct ParameterRange {
  Index offset;
  Index size;
};

/// Parameters that several maps read, or several positions of a grid: what they add to the outputs
/// varies together, and their adjoints are summed from the node `first` down to the node `last`.
struct SharedParameters {
  ParameterRange range;
  Value first;
  Value last;
  Index adjoint;  ///< slot, of range.size floats for each output and row
};

/// Where the arrays of a pass lie, by node, how innovations are passed on, and what runs together:
///
/// - An affine map that an activation alone reads runs it as its epilogue, where the backend has
///   one: then the map runs in the activation's place and has no value of its own.
/// - An affine map that alone reads an activation passes its innovation on below the Jacobian
/// there.
struct Plan {
  static constexpr Index nowhere = -1;

  struct NodePlan {
    Index value = nowhere;  ///< slot of the moments; nowhere: a view
    /// What lies beside a value: of an activation J, with `residual` 1 + J; of a Largest the
    /// choices; of a norm the factors r.
    Index jacobian = nowhere;
    Index delta = nowhere;  ///< of the innovation of the value
    Index spare = nowhere;  ///< of an innovation of the input before it is added
    std::vector<Handover> to_inputs;
    bool has_epilogue = false;      ///< of an affine map
    bool scaled_by_reader = false;  ///< of an activation: its innovation arrives below the Jacobian
    bool add = false;  ///< of an affine map: another one has written innovations of its parameters
    bool is_shared = false;  ///< of an affine map: `shared` has its parameters
  };

  std::vector<NodePlan> nodes;
  Index row = nowhere;  ///< of the innovation of the whole row of data
  /// Parameters whose innovation is 0 before affine maps add to it: those that no map reads, and
  /// those that a map which adds is the first to read.
  std::vector<ParameterRange> cleared;
  std::vector<SharedParameters> shared;  ///< for covariances: of maps that have such parameters
  std::vector<Index> slot_sizes;         ///< floats for each row of a batch

  Index bytes_per_row() const;
  bool shares_parameters() const;  ///< between affine maps
};

/// A forward pass alone: a value's memory is free after its last reader.
Plan plan_prediction(const Graph& graph, const Backend& backend);

/// A forward pass that keeps every value and Jacobian, and runs nothing together.
Plan plan_linearization(const Graph& graph);

/// The adjoints of a linearization on their way down, whose sizes are for each output, too; with
/// `need_input`, as far as the inputs, and with `need_covariances` those of shared parameters.
Plan plan_adjoint(const Graph& graph, bool need_input, bool need_covariances);

/// A forward pass, then the rules of nodes in reverse. What a rule reads stays until it has run;
/// the memory of what has been read is used again. Inputs and innovations of affine maps stay to
/// the end where the backend sums innovations together.
Plan plan_learning(const Graph& graph, const Backend& backend, bool need_input_delta);

}  // namespace tagix::graph
