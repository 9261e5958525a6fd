#pragma once

#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/index.h"
#include "graph/value.h"

namespace tagix {

/// An argument of a layer's constructor, for printing, saving and rebuilding it.
using ConfigValue = std::variant<bool, Index, double, std::string, std::vector<Index>>;
using Config = std::vector<std::pair<std::string, ConfigValue>>;

/// A piece of a network: a description without state, which writes itself down as operations of a
/// graph.
class Layer {
 public:
  virtual ~Layer() = default;

  /// The name of the class, as in Python: "Linear".
  virtual std::string name() const = 0;
  virtual Config config() const = 0;

  /// The number of input features where the layer fixes it.
  virtual std::optional<Index> input_features() const { return std::nullopt; }
  /// Whether a layer that takes any number of features gives as many.
  virtual bool keeps_features() const { return true; }

  /// Writes the layer down for these inputs and returns its output. Throws std::invalid_argument,
  /// with the layer's path, for inputs that it cannot take.
  virtual graph::Value build(GraphBuilder& graph, std::span<const graph::Value> inputs) const = 0;
};

}  // namespace tagix
