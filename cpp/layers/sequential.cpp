#include "layers/sequential.h"

#include <algorithm>
#include <utility>

#include "core/require.h"
#include "graph/builder.h"

namespace tagix {

Sequential::Sequential(std::vector<std::shared_ptr<const Layer>> layers)
    : layers_(std::move(layers)) {
  require(!layers_.empty(), "layers: got none, needed at least 1");
  Index offset = 0;
  for (const auto& layer : layers_) {
    offsets_.push_back(offset);
    offset += layer->parameter_count();
  }
  offsets_.push_back(offset);
  if (const std::optional<Index> features = input_features()) output_features(*features);
}

std::optional<Index> Sequential::input_features() const {
  // Layers that leave the number of features open also leave it unchanged.
  for (const auto& layer : layers_) {
    if (const std::optional<Index> features = layer->input_features()) return features;
  }
  return std::nullopt;
}

Index Sequential::output_features(Index input_features) const {
  Index features = input_features;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    try {
      features = layers_[i]->output_features(features);
    } catch (const std::invalid_argument& error) {
      throw std::invalid_argument(text("layer ", i, ": ", error.what()));
    }
  }
  return features;
}

std::vector<ParameterSpec> Sequential::parameters() const {
  std::vector<ParameterSpec> specs;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    append_parameters(text(i), *layers_[i], specs);
  }
  return specs;
}

graph::Value Sequential::build(GraphBuilder& graph, std::span<const graph::Value> inputs) const {
  graph::Value value = 0;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const GraphBuilder::Scope scope = graph.enter(text(i));
    value = layers_[i]->build(graph, inputs);
    inputs = {&value, 1};
  }
  return value;
}

bool Sequential::append_steps(std::vector<Step>& steps) const {
  return std::all_of(layers_.begin(), layers_.end(),
                     [&](const auto& layer) { return layer->append_steps(steps); });
}

void Sequential::forward(Backend& backend, ConstMomentsView parameters, ConstMomentsView input,
                         Trace& trace) const {
  while (trace.children.size() < layers_.size()) trace.children.emplace_back(backend);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    layers_[i]->forward(backend, parameters.slice(offsets_[i], 1, offsets_[i + 1] - offsets_[i]),
                        input, trace.children[i]);
    input = trace.children[i].result;
  }
  trace.result = input;
}

void Sequential::backward(Backend& backend, ConstMomentsView parameters, ConstMomentsView input,
                          const Trace& trace, bool need_input_delta, Deltas& deltas,
                          MomentsView innovation) const {
  for (std::size_t i = layers_.size(); i-- > 0;) {
    const Index count = offsets_[i + 1] - offsets_[i];
    layers_[i]->backward(backend, parameters.slice(offsets_[i], 1, count),
                         i == 0 ? input : trace.children[i - 1].result, trace.children[i],
                         need_input_delta || i > 0, deltas,
                         innovation.slice(offsets_[i], 1, count));
  }
}

void Sequential::forward_tangents(Backend& backend, ConstMomentsView parameters,
                                  ConstMomentsView input, Trace& trace, Tangents& tangents) const {
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    layers_[i]->forward_tangents(backend,
                                 parameters.slice(offsets_[i], 1, offsets_[i + 1] - offsets_[i]),
                                 input, trace.children[i], tangents);
    input = trace.children[i].result;
  }
}

bool Sequential::is_elementwise() const {
  return std::all_of(layers_.begin(), layers_.end(),
                     [](const auto& layer) { return layer->is_elementwise(); });
}

void Sequential::output_covariance(Backend& backend, ConstMomentsView parameters,
                                   ConstMomentsView input, const Trace& trace, Index n_outputs,
                                   float* covariance) const {
  // What mixes features last takes its own as independent: nothing below it matters.
  std::size_t first = layers_.size() - 1;
  while (first > 0 && layers_[first]->is_elementwise()) --first;
  for (std::size_t i = first; i < layers_.size(); ++i) {
    layers_[i]->output_covariance(
        backend, parameters.slice(offsets_[i], 1, offsets_[i + 1] - offsets_[i]),
        i == 0 ? input : trace.children[i - 1].result, trace.children[i], n_outputs, covariance);
  }
}

}  // namespace tagix
