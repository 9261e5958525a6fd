#include "graph/noise_head.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "core/require.h"

namespace tagix {
namespace {

constexpr float least_noise_bias_var = 0.01f;

std::size_t number_of(const Graph& graph, Index offset) {
  const auto found = std::find(graph.offsets.begin(), graph.offsets.end(), offset);
  return static_cast<std::size_t>(found - graph.offsets.begin());
}

bool reads(const graph::Node& node, Index weight) {
  const auto* op = std::get_if<graph::Affine>(&node.op);
  return op != nullptr && op->weight == weight;
}

/// The weight of the affine map that a noise head can stand on.
std::size_t last_weight(const Graph& graph) {
  const auto* op = std::get_if<graph::Affine>(&graph.node(graph.output).op);
  const std::size_t weight = op == nullptr ? 0 : number_of(graph, op->weight);
  require(op != nullptr && graph.parameters[weight].constants.empty() &&
              graph.output_shape().grid.empty(),
          "noise: got a network that ends in ", graph.last_layer,
          ", needed nn.Linear as its last layer, to infer the noise beside its outputs");
  const auto n_readers = std::count_if(graph.nodes.begin(), graph.nodes.end(),
                                       [&](const auto& node) { return reads(node, op->weight); });
  require(n_readers == 1,
          "noise: got a network whose last layer is used more than once, needed one that only "
          "gives the outputs");
  return weight;
}

/// The array that the noise has beside one of the values': "2.noise_weight" beside "2.weight".
ParameterSpec beside(const ParameterSpec& values, float prior_std,
                     std::vector<float> prior_mean = {}, float least_var = 0) {
  const std::size_t dot = values.name.rfind('.');
  const std::size_t first = dot == std::string::npos ? 0 : dot + 1;
  return {values.name.substr(0, first) + "noise_" + values.name.substr(first), values.shape,
          prior_std, std::move(prior_mean), least_var};
}

/// The noise biases of outputs whose noise does not follow the input.
ParameterSpec noise_alike(const ParameterSpec& bias, const LearnedNoise& noise) {
  constexpr float prior_std = 1;
  std::vector<float> mean(static_cast<std::size_t>(bias.size()));
  for (std::size_t i = 0; i < mean.size(); ++i) {
    const double std = noise.std[noise.std.size() == 1 ? 0 : i];
    // E exp(w) = exp(mean + var / 2).
    mean[i] = static_cast<float>(2 * std::log(std)) - prior_std * prior_std / 2;
  }
  return beside(bias, prior_std, std::move(mean), least_noise_bias_var);
}

}  // namespace

Graph with_noise_head(Graph graph, const LearnedNoise& noise) {
  const std::size_t last = last_weight(graph);
  const Index n_outputs = graph.output_shape().channels;
  const std::size_t n_stds = noise.std.size();
  require(n_stds <= 1 || static_cast<Index>(n_stds) == n_outputs, "noise: got ", n_stds,
          " standard deviations, needed 1 or ", n_outputs);
  const ParameterSpec weight = graph.parameters[last];
  const bool follows = noise.depends_on_input;
  const auto gain = static_cast<float>(noise.gain);

  std::vector<ParameterSpec> head{weight, beside(weight, follows ? gain * weight.prior_std : 0.0f)};
  const std::optional<Index> bias = std::get<graph::Affine>(graph.node(graph.output).op).bias;
  std::size_t n_replaced = 1;
  if (bias) {
    n_replaced = 2;
    head.push_back(graph.parameters[last + 1]);
  } else if (!follows) {
    const std::string path = weight.name.substr(0, weight.name.size() - std::size("weight") + 1);
    head.push_back({path + "bias", {n_outputs}, 0.0f});
  }
  if (follows && bias) {
    const std::vector<float> zeros(static_cast<std::size_t>(n_outputs), 0.0f);
    head.push_back(beside(head[2], gain * head[2].prior_std, zeros));
  } else if (!follows) {
    head.push_back(noise_alike(head[2], noise));
  }

  // The arrays behind the head move on by what it has more.
  const Index behind = graph.offsets[last + n_replaced];
  Index added = graph.offsets[last] - behind;
  for (const ParameterSpec& spec : head) added += spec.size();
  const auto move_on = [&](Index& offset) { offset += offset >= behind ? added : 0; };
  for (graph::Node& node : graph.nodes) {
    auto* op = std::get_if<graph::Affine>(&node.op);
    if (op == nullptr) continue;
    move_on(op->weight);
    if (op->bias) move_on(*op->bias);
  }
  graph::Node& output = graph.nodes[static_cast<std::size_t>(graph.output)];
  auto& op = std::get<graph::Affine>(output.op);
  if (head.size() > 2) op.bias = op.weight + 2 * weight.size();
  output.shape.channels = 2 * n_outputs;

  const auto place = graph.parameters.begin() + static_cast<std::ptrdiff_t>(last);
  const auto after = graph.parameters.erase(place, place + static_cast<std::ptrdiff_t>(n_replaced));
  graph.parameters.insert(after, head.begin(), head.end());
  graph.offsets.assign(1, 0);
  for (const ParameterSpec& spec : graph.parameters) {
    graph.offsets.push_back(graph.offsets.back() + spec.size());
  }
  return graph;
}

}  // namespace tagix
