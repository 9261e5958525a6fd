#include "graph/topology.h"

#include <array>
#include <stdexcept>
#include <utility>

#include "core/require.h"
#include "graph/builder.h"
#include "graph/noise_head.h"

namespace tagix {
namespace {

Graph graph_of_row(const Layer& network, Index features) {
  const std::array inputs{Shape(features)};
  return graph_of(network, inputs);
}

/// Refuses a network whose number of features has to be known.
void check_open(const Layer& network, bool infers_noise) {
  bool takes_any = true;
  std::string last_layer = network.name();
  try {
    const Graph graph = graph_of_row(network, 1);
    takes_any = graph.parameters.empty();
    last_layer = graph.last_layer;
  } catch (const std::invalid_argument&) {
    takes_any = false;
  }
  require(takes_any || infers_noise,
          "input_shape: got none, needed the shape of the inputs: the layers leave it open");
  require(!infers_noise, "noise: got a network that ends in ", last_layer,
          ", needed nn.Linear as its last layer, to infer the noise beside its outputs");
}

}  // namespace

Topology::Topology(std::shared_ptr<const Layer> network, const std::vector<Shape>& inputs,
                   const std::optional<LearnedNoise>& noise)
    : network_(std::move(network)) {
  const std::optional<Index> features = network_->input_features();
  if (inputs.empty() && !features) {
    check_open(*network_, noise.has_value());
    return;
  }
  Graph graph = inputs.empty() ? graph_of_row(*network_, *features) : graph_of(*network_, inputs);
  plain_graph_ = std::make_shared<const Graph>(std::move(graph));
  graph_ =
      noise ? std::make_shared<const Graph>(with_noise_head(*plain_graph_, *noise)) : plain_graph_;
}

std::optional<Index> Topology::input_features() const {
  return graph_ ? std::optional(graph_->row_size) : std::nullopt;
}

const std::vector<ParameterSpec>& Topology::parameters() const {
  static const std::vector<ParameterSpec> none;
  return graph_ ? graph_->parameters : none;
}

const std::shared_ptr<const Graph>& Topology::graph_for(Index input_features) const {
  if (graph_) {
    require(input_features == graph_->row_size, "x: got ", input_features, " features, needed ",
            graph_->row_size);
    return graph_;
  }
  const std::lock_guard lock(mutex_);
  std::shared_ptr<const Graph>& graph = graphs_[input_features];
  if (!graph) {
    require(input_features >= 1, "x: got 0 features, needed at least 1");
    graph = std::make_shared<const Graph>(graph_of_row(*network_, input_features));
  }
  return graph;
}

const std::shared_ptr<const Graph>& Topology::plain_graph_for(Index input_features) const {
  const std::shared_ptr<const Graph>& graph = graph_for(input_features);
  return plain_graph_ ? plain_graph_ : graph;
}

}  // namespace tagix
