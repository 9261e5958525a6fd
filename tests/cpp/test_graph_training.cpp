#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "conformance/suite.h"
#include "float64_graph.h"
#include "graph_problem.h"
#include "layers/residual.h"

using namespace tagix;
using namespace tagix::test;
using graph::Value;

// Networks that are no chains, through 50 updates, beside the same in float64.

namespace {

LayerPointer residual_network() {
  const LayerPointer block =
      sequential({linear(16, 16), activation(ActivationKind::relu), linear(16, 16)});
  return sequential({linear(3, 16), std::make_shared<Residual>(block),
                     std::make_shared<Residual>(activation(ActivationKind::relu)), linear(16, 2)});
}

/// Two inputs, each with a layer of its own, side by side under a head, with a gate between them.
class TwoInputs final : public Layer {
 public:
  std::string name() const override { return "TwoInputs"; }
  Config config() const override { return {}; }
  Value build(GraphBuilder& graph, std::span<const Value> inputs) const override {
    const auto child = [&graph](const char* name, const LayerPointer& layer, Value input) {
      const GraphBuilder::Scope scope = graph.enter(name);
      return layer->build(graph, {&input, 1});
    };
    const LayerPointer branch_a = sequential({linear(4, 12), activation(ActivationKind::relu)});
    const LayerPointer branch_b = sequential({linear(2, 12), activation(ActivationKind::relu)});
    const Value a = child("a", branch_a, inputs[0]), b = child("b", branch_b, inputs[1]);
    const std::array joined{a, b, graph.product(a, b)};
    return child("head", linear(36, 2), graph.concat(joined));
  }
};

/// The rule of information for one parameter array in float64.
void update(const UpdateRule& rule, const Float64Graph::Innovations& innovations,
            Float64Graph& network) {
  for (std::size_t i = 0; i < network.parameter_mean.size(); ++i) {
    double &mean = network.parameter_mean[i], &var = network.parameter_var[i];
    const double bound = rule.clip * std::sqrt(var);
    var = var / (1 - var * innovations.parameter_var[i]);
    mean += std::clamp(var * innovations.parameter_mean[i], -bound, bound);
  }
}

void check_training(Backend& backend, const std::shared_ptr<const Graph>& graph, unsigned seed) {
  const UpdateRule rule;
  const Index rows = 20, outputs = graph->output_shape().size();
  const Problem start(*graph, rows, false, seed);
  Float64Graph network(*graph, doubles(start.parameters.mean), doubles(start.parameters.var));
  const auto executor = make_graph_executor(backend, graph);
  const TrainingState no_failure;
  Buffer<TrainingState> state(backend);
  state.assign(no_failure);
  Buffer<float> target(backend), noise_var(backend);
  DeviceProblem on_device(backend, start);
  Difference prediction;
  for (int step = 0; step < 50; ++step) {
    Problem batch = Problem(*graph, rows, false, seed += 40);
    for (std::size_t i = 0; i < batch.target.size(); ++i) {
      const std::size_t row = i / static_cast<std::size_t>(outputs);
      const float* x = batch.input.mean.data() + row * static_cast<std::size_t>(graph->row_size);
      if (!std::isnan(batch.target[i])) batch.target[i] = std::sin(2 * x[0]) + x[1] * x[2];
    }
    backend.upload(on_host(batch.input.mean), on_device.input.mean, on_device.input.size());
    target.assign(batch.target);
    noise_var.assign(batch.noise_var);
    const Learned learned =
        executor->learn(on_device.parameters, on_device.input,
                        {target.data(), {noise_var.data(), outputs, 1}, rule.spread(rows)}, false);
    const HostPair predicted = to_host(backend, learned.prediction);
    executor->update(rule, rows, on_device.parameters, state.data());

    const auto values =
        network.forward(doubles(batch.input.mean), {}, static_cast<std::size_t>(rows));
    const GraphValue& output = network.output(values);
    const Difference now = difference(predicted.mean, predicted.var, output.mean, output.var);
    prediction.mean = std::max(prediction.mean, now.mean);
    prediction.var = std::max(prediction.var, now.var);
    GraphValue delta(output.mean.size());
    for (std::size_t i = 0; i < delta.mean.size(); ++i) {
      if (std::isnan(batch.target[i])) continue;
      const double total =
          output.var[i] * static_cast<double>(rule.spread(rows)) + batch.noise_var[i];
      delta.mean[i] = (batch.target[i] - output.mean[i]) / total;
      delta.var[i] = -1 / total;
    }
    update(rule, network.backward(values, delta, static_cast<std::size_t>(rows)), network);
  }
  CHECK(state.first().failure == Failure::none);
  const HostPair parameters = to_host(backend, on_device.parameters);
  const Difference end =
      difference(parameters.mean, parameters.var, network.parameter_mean, network.parameter_var);
  INFO("predictions ", prediction.mean, " ", prediction.var, ", parameters ", end.mean, " ",
       end.var);
  CHECK(prediction.mean < 1e-5);
  CHECK(prediction.var < 1e-5);
  CHECK(end.mean < 1e-5);
  CHECK(end.var < 1e-5);
}

}  // namespace

TEST_CASE("a residual network follows float64 through 50 updates, on every backend") {
  const std::shared_ptr<const Graph> graph = graph_of(residual_network(), {3});
  for (const std::shared_ptr<Backend>& backend : conformance::float32_backends()) {
    INFO(backend->name());
    check_training(*backend, graph, 11);
  }
}

TEST_CASE("so does a network of two inputs with a concatenation and a gate") {
  const std::shared_ptr<const Graph> graph = graph_of(std::make_shared<TwoInputs>(), {4, 2});
  for (const std::shared_ptr<Backend>& backend : conformance::float32_backends()) {
    INFO(backend->name());
    check_training(*backend, graph, 12);
  }
}
