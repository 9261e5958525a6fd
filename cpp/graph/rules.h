#pragma once

#include <functional>
#include <span>
#include <vector>

#include "core/memory.h"
#include "graph/graph.h"
#include "graph/plan.h"
#include "graph/slot_memory.h"
#include "graph/tap_buffers.h"
#include "graph/window_memory.h"

namespace tagix::graph {

// What each operation does to moments, innovations and adjoints, on any backend. A rule is a file
// (forward.cpp, backward.cpp, adjoint.cpp) with a function for each operation, and finds all that
// it reads in a Pass.
//
// A value lies in memory as (rows x positions) x channels, where a batch has `rows` rows.

/// A pass of some rows through a graph: what rules read, and what they leave behind by node.
struct Pass {
  Backend& backend;
  const Graph& graph;
  const TapBuffers& taps;
  WindowMemory& windows;  ///< for affine maps of windows
  ConstMomentsView parameters;
  ConstMomentsView input;  ///< rows of data: rows x graph.row_size
  bool means_alone;        ///< no value has variances, as parameters and data are known exactly
  std::vector<ConstMomentsView> values;
  std::vector<float*> jacobians;  ///< what Plan keeps beside a value

  Index rows() const { return input.rows; }
  ConstMomentsView value(Value x) const { return values[static_cast<std::size_t>(x)]; }
  float* jacobian(Value x) const { return jacobians[static_cast<std::size_t>(x)]; }

  /// A value seen as a row for each row of data: all its positions side by side.
  template <class View>
  View as_rows(Value x, View view) const {
    return view.slice(0, rows(), graph.shape(x).size());
  }
  /// Memory seen as a value of the shape of x, for so many rows.
  MomentsView view(Value x, float* memory, Index rows) const {
    const Shape& shape = graph.shape(x);
    float* const var = memory == nullptr ? nullptr : memory + rows * shape.size();
    return {memory, var, rows * shape.positions(), shape.channels};
  }
};

/// All the columns of a matrix.
template <class View>
auto all_columns(View view) {
  return view.columns(0, view.cols);
}

/// The weight and the bias of an affine map among parameters or their innovations.
template <class View>
View weight_of(const Graph& graph, Value node, View parameters) {
  const auto& op = std::get<Affine>(graph.node(node).op);
  return parameters.slice(op.weight, graph.shape(node).channels, graph.fan_in(op));
}
template <class View>
View bias_of(const Graph& graph, Value node, View parameters) {
  const auto& op = std::get<Affine>(graph.node(node).op);
  return op.bias ? parameters.slice(*op.bias, 1, graph.shape(node).channels) : View{};
}

/// Works out the value of a node, and the Jacobian of an activation, from values below it; of an
/// affine map with an epilogue, nothing. `room` is memory for it, which a Reshape and an input that
/// is the whole row leave alone. A value that is known exactly has no variances; the output has
/// them, unless the pass is of means alone, for which `room` has none.
void forward(Pass& pass, const Plan& plan, Value node, MomentsView room);

/// The innovation of an input of a node, and what becomes of it.
struct Below {
  Handover handover;
  MomentsView delta;
};

/// Passes the innovation of a node's value on to its inputs, in their order:
///
///   affine       delta.mean W_mean, delta.var W_mean^2
///   activation   delta.mean J, delta.var J^2
///   product      delta.mean m, delta.var m^2, with m the mean of the other factor
///   mix          sums by the transposed table, of variances with the squared weights
///   largest      all to the position that was chosen
///   normalise    by the derivatives of elements and statistics, delta.var r^2
///   others       the elements that an input has contributed, as they are
///
/// `delta` may become the innovation of an input (Handover::in_place). `spare` is memory for the
/// innovation of an affine map's input where that is to be added.
void backward(const Pass& pass, const Plan& plan, Value node, MomentsView delta,
              std::span<const Below> below, MomentsView spare);

/// Calls take(pass) with what the parameters of an affine map learn from, with the innovation of
/// its value: once, or for one tile of a map of windows after the other, which is read before the
/// next.
void learn_affine(const Pass& pass, const Plan& plan, Value node, ConstMomentsView delta,
                  const std::function<void(const AffinePass&)>& take);

/// Adjoints (core/backend.h) of some outputs on their way down, and what they are worked out from.
struct AdjointPass {
  const Pass& pass;
  const Plan& plan;
  SlotMemory& memory;
  Index n_outputs;
  Buffer<float>& slopes;  ///< of a node that is at work
  Buffer<float>& spread;  ///< the same
  Covariances covariances;
  float* covariance;  ///< rows x count(covariances, n_outputs), or null
};

/// Passes the adjoint of a node's value on to its inputs, in their order, with G and G_v what it
/// keeps of mean and variance:
///
///   affine       G W_mean + 2 a_mean (G_v W_var),  G_v (W_mean^2 + W_var)
///   activation   G dE/dm + G_v dVar/dm,            G dE/dv + G_v dVar/dv
///   product      as an activation, by the slopes for each factor
///   largest      all to the position that was chosen
///   normalise    by the derivatives of both moments, which add no variance
///   others       as innovations, variances by squared weights
///
/// and adds what the node contributes to the covariance of the outputs, G diag(s) G^T, where s is
/// the variance that the node adds to what comes from below:
///
///   affine       W_var (a_mean^2 + a_var) + b_var
///   activation   Var f - J^2 z_var
///   product      a_var b_var
///   input        its variances
///
/// What shared parameters add to several values varies together. They contribute G diag(s) G^T as
/// if they were values themselves, with s = W_var and b_var and the sums of G a_mean^T and G over
/// all that read them; the map itself adds W_var a_var alone.
///
/// `delta` may become the adjoint of an input (Handover::in_place), and `spare` is as in backward.
void adjoint(const AdjointPass& of, Value node, ConstMomentsView delta,
             std::span<const Below> below, MomentsView spare);

}  // namespace tagix::graph
