#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "core/norm_sets.h"
#include "core/parameter.h"
#include "core/scalar_function.h"
#include "graph/shape.h"
#include "graph/taps.h"
#include "graph/value.h"
#include "math/activations.h"

namespace tagix {

// The operations of a graph, a closed set. Each makes one value of those that it names; the shape
// of the result stands beside it, in its node. What each does to means, variances, innovations and
// adjoints is written in graph/rules.h.

namespace graph {

/// Columns of a row of data, from first_column on: an image, a time, a class.
struct Input {
  Index first_column;
};

/// z = a W^T + b at each position. The weight (channels of the result x numbers of a) and the bias
/// (channels of the result) are parameters that begin at these offsets in the flat view. Without
/// taps, a are the channels of x at that position. With taps, it is a convolution: a are the
/// channels of x at the positions that the window reads, one after the other, 0 where there is
/// none. The weights of the taps do not count.
struct Affine {
  Value x;
  Index weight;
  std::optional<Index> bias;
  Taps taps = nullptr;
};

/// f(x), element by element; with `residual` x + f(x), whose two terms vary together:
///
///   Var[x + f(x)] = Var x + Var f + 2 J Var x,   J = Cov(x, f(x)) / Var x
struct Activate {
  Value x;
  std::variant<math::ActivationSpec, UserFunction> function;
  bool residual = false;
};

/// Sums over positions with known weights: pooling, resampling, a vector at every position.
struct Mix {
  Value x;
  Taps taps;
};

/// The sum of values of one shape, as if they were independent.
struct Add {
  std::vector<Value> xs;
};

/// The channels of values on one grid, one after the other.
struct Concat {
  std::vector<Value> xs;
};

/// Some of the channels of a value.
struct Slice {
  Value x;
  Index first_channel;
};

/// The same numbers in another shape.
struct Reshape {
  Value x;
};

/// The product of two independent values of one shape, element by element.
struct Product {
  Value a;
  Value b;
};

/// The position with the largest mean in each window, channel by channel: max pooling. Which one it
/// is counts as known.
struct Largest {
  Value x;
  Taps taps;
};

/// Brings sets of elements of each row to a mean of 0 and a second moment of 1 (core/norm_sets.h,
/// ops/normalise.h).
struct Normalise {
  Value x;
  NormSets sets;
};

using Op = std::variant<Input, Affine, Activate, Mix, Add, Concat, Slice, Reshape, Product, Largest,
                        Normalise>;

/// Calls use(x) for each value that an operation reads, in order; `use` may change it.
template <class Operation, class Use>
void for_each_input(Operation& op, Use&& use) {
  std::visit(
      [&use](auto& of) {
        using T = std::remove_cvref_t<decltype(of)>;
        if constexpr (std::is_same_v<T, Add> || std::is_same_v<T, Concat>) {
          for (auto& x : of.xs) use(x);
        } else if constexpr (std::is_same_v<T, Product>) {
          use(of.a);
          use(of.b);
        } else if constexpr (!std::is_same_v<T, Input>) {
          use(of.x);
        }
      },
      op);
}

/// The values that an operation reads, in order.
inline std::vector<Value> inputs_of(const Op& op) {
  std::vector<Value> inputs;
  for_each_input(op, [&inputs](Value x) { inputs.push_back(x); });
  return inputs;
}

struct Node {
  Op op;
  Shape shape;       ///< of the result
  std::string path;  ///< of the layer that wrote it down, as "2.body.0"
};

/// A layer as it was written down, for printing.
struct LayerSummary {
  std::string path;
  std::string name;  ///< of its class
  Shape output_shape;
};

}  // namespace graph

/// A network as a list of operations, each of which reads values of earlier ones. The output needs
/// every one of them. GraphBuilder makes it, and has checked all shapes.
struct Graph {
  std::vector<graph::Node> nodes;
  std::vector<ParameterSpec> parameters;  ///< names are full: "block.first.weight"
  std::vector<Index> offsets;             ///< of each parameter in the flat view, and their end
  Index row_size = 0;                     ///< columns of a row of data
  graph::Value output = 0;
  std::vector<graph::LayerSummary> layers;  ///< the network, then each layer before its own
  std::string last_layer;                   ///< the name of the one that gives the output

  Index parameter_count() const { return offsets.back(); }
  const graph::Node& node(graph::Value x) const { return nodes[static_cast<std::size_t>(x)]; }
  const Shape& shape(graph::Value x) const { return nodes[static_cast<std::size_t>(x)].shape; }
  const Shape& output_shape() const { return shape(output); }
  /// How many numbers each result of an affine map sums over.
  Index fan_in(const graph::Affine& op) const {
    return shape(op.x).channels * (op.taps == nullptr ? 1 : op.taps->n_taps());
  }
  /// Whether an affine map reads windows.
  bool has_windows() const {
    return std::any_of(nodes.begin(), nodes.end(), [](const graph::Node& node) {
      const auto* op = std::get_if<graph::Affine>(&node.op);
      return op != nullptr && op->taps != nullptr;
    });
  }
  /// Whether a node is the whole row of data as it lies there.
  bool is_whole_row(graph::Value x) const {
    const auto* input = std::get_if<graph::Input>(&node(x).op);
    return input != nullptr && input->first_column == 0 && shape(x).size() == row_size;
  }
};

}  // namespace tagix
