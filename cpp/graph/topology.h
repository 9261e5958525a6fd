#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "core/layer.h"
#include "core/noise.h"
#include "graph/graph.h"

namespace tagix {

/// What a network computes: one graph, or, where any number of features will do, a graph for each
/// number, which is made when it is first asked for. May be used by several threads.
class Topology {
 public:
  /// For inputs of these shapes, which lie one after the other in a row of data; where none is
  /// named, for one row of as many features as the network fixes. With a noise head, if there is
  /// noise to infer. Throws std::invalid_argument where shapes do not fit, where there can be no
  /// noise head, and for a network with parameters that leaves the number of features open.
  explicit Topology(std::shared_ptr<const Layer> network, const std::vector<Shape>& inputs = {},
                    const std::optional<LearnedNoise>& noise = {});

  bool infers_noise() const { return graph_ != plain_graph_; }
  /// The columns of a row of data, where they are fixed.
  std::optional<Index> input_features() const;
  const std::vector<ParameterSpec>& parameters() const;

  /// The graph for rows of so many columns. Throws std::invalid_argument, naming the input x, for a
  /// number that the network does not take.
  const std::shared_ptr<const Graph>& graph_for(Index input_features) const;
  /// The same without a noise head.
  const std::shared_ptr<const Graph>& plain_graph_for(Index input_features) const;

 private:
  std::shared_ptr<const Layer> network_;
  std::shared_ptr<const Graph> graph_;  // null where the number of features is open
  std::shared_ptr<const Graph> plain_graph_;
  mutable std::mutex mutex_;
  mutable std::map<Index, std::shared_ptr<const Graph>> graphs_;
};

}  // namespace tagix
