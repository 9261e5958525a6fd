#pragma once

#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace tagix {

class Layer;

/// A parameter array of a graph that is being written down, or several that lie one after the
/// other.
struct Parameter {
  Index first;  ///< number of the first array
  Index count;  ///< of arrays
};

/// What layers write a network down with. It is the only place that checks shapes: every call
/// throws std::invalid_argument with the path of the layer and what it got and needed, as
/// "layer 2.body.0: got 3 features, needed 16".
class GraphBuilder {
 public:
  /// The path of a child of the layer, as long as this lives: "2.body" for "body" in "2".
  class Scope {
   public:
    Scope(std::string& path, const std::string& child);
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope() { path_.resize(parent_size_); }

   private:
    std::string& path_;
    std::size_t parent_size_;
  };
  [[nodiscard]] Scope enter(const std::string& child) { return {path_, child}; }
  /// Writes a child of the layer down and returns its output. A child that is written down again
  /// under its path has the same parameters.
  graph::Value apply(const std::string& child, const Layer& layer,
                     std::span<const graph::Value> inputs);
  /// Of the layer that writes now; empty for the outermost.
  const std::string& path() const { return path_; }

  /// The columns of a row of data from first_column on, as many as the shape has numbers.
  graph::Value input(Shape shape, Index first_column);

  /// Says, for printing, that a layer has given a value of this shape which was written down by
  /// other means: its path within the layer that writes now, and its class.
  void record(const std::string& path, const std::string& name, Shape output_shape);

  /// A parameter array, named "<path>.<name>": a weight {out, in} or a bias {out}; of a layer that
  /// is written down again, the one that it had.
  Parameter parameter(ParameterSpec spec);
  /// Two that were asked for one after the other, as one with the rows of both.
  Parameter stacked(Parameter first, Parameter second) const;

  /// x W^T + b at each position of x, or with taps, at each position of their result, of the
  /// channels of x at the positions that a window reads. A weight of windows has the axes (outputs,
  /// taps, channels) in memory.
  graph::Value affine(graph::Value x, Parameter weight, std::optional<Parameter> bias,
                      Taps taps = nullptr);
  graph::Value activate(graph::Value x, math::ActivationSpec spec);
  graph::Value activate(graph::Value x, std::shared_ptr<const ScalarFunction> function,
                        math::MomentsForm form);
  /// x on the grid of the taps' result.
  graph::Value mix(graph::Value x, Taps taps);
  /// a + b, of one shape; a vector is added at each position of a grid. The terms count as
  /// independent, but for x + x and x + f(x) with one activation f, whose moments are exact.
  graph::Value add(graph::Value a, graph::Value b);
  /// The channels of values on one grid.
  graph::Value concat(std::span<const graph::Value> xs);
  graph::Value slice(graph::Value x, Index first_channel, Index channels);
  graph::Value reshape(graph::Value x, Shape shape);
  /// a b, of one shape; a vector is multiplied at each position of a grid. Refuses factors that are
  /// functions of the same value, whose product has other moments.
  graph::Value product(graph::Value a, graph::Value b);

  const Shape& shape(graph::Value x) const { return node(x).shape; }
  /// The largest in each window of the taps' table, which has a position in every window.
  graph::Value largest(graph::Value x, Taps taps);
  /// x with sets of its elements normalised; `groups` divides the channels.
  graph::Value normalise(graph::Value x, Index groups, bool per_position, bool centred, bool exact,
                         float eps);

  /// The one input of a layer that takes one.
  graph::Value only(std::span<const graph::Value> inputs) const;

  /// The graph of this output: values that it does not need are left out, parameters stay.
  Graph finish(graph::Value output);

 private:
  /// Throws std::invalid_argument with the path and the joined parts unless `condition`.
  template <class... Parts>
  void check(bool condition, Parts&&... parts) const {
    if (condition) return;
    require(false, path_.empty() ? "" : text("layer ", path_, ": "), std::forward<Parts>(parts)...);
  }

  /// A layer that has been entered, and its output.
  struct Applied {
    const Layer* layer;  ///< told from others by this; it need not live any more
    std::string path;
    std::string name;
    graph::Value output;  ///< -1 of one that was written down by other means
    Shape output_shape;
  };

  const graph::Node& node(graph::Value x) const;
  graph::Value append(graph::Op op, Shape shape);
  graph::Value activate(graph::Activate op);
  /// Rows and columns of the arrays together.
  std::pair<Index, Index> matrix_shape(Parameter parameter) const;
  /// The two in one shape, of which one may be a vector for each position of the other's grid.
  std::pair<graph::Value, graph::Value> in_one_shape(const char* what, graph::Value a,
                                                     graph::Value b);
  /// x + f(x), if `branch` is f(x) with one activation f.
  std::optional<graph::Value> residual(graph::Value x, graph::Value branch);
  /// Whether both are functions, element by element, of the same numbers.
  bool have_one_source(graph::Value a, graph::Value b) const;

  std::string path_;
  bool is_written_again_ = false;  // whether parameters are those that the layer had before
  std::vector<Applied> layers_;
  std::vector<graph::Node> nodes_;
  std::vector<ParameterSpec> parameters_;
  Index row_size_ = 0;
};

/// The graph of a network whose inputs lie one after the other in a row of data. Throws
/// std::invalid_argument where shapes do not fit.
Graph graph_of(const Layer& network, std::span<const Shape> inputs);

}  // namespace tagix
