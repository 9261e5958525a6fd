#include <doctest/doctest.h>

#include "conformance/suite.h"
#include "core/noise.h"
#include "graph/chain.h"
#include "graph_problem.h"
#include "layers/class_embedding.h"
#include "layers/noise_linear.h"

using namespace tagix;
using namespace tagix::test;

// Chains of layers give the same bits as a graph and layer by layer.

namespace {

LayerPointer user_activation(MomentsForm form) {
  return std::make_shared<FunctionActivation>(std::make_shared<Cubic>(), form);
}

struct Chain {
  const char* name;
  LayerPointer network;
  Index inputs;
  bool has_steps = true;
};

std::vector<Chain> chains() {
  const LearnedNoise by_input{math::NoiseLink::exp, true, 0.5, {1.0}, 0.25};
  const LearnedNoise alike{math::NoiseLink::exp, false, 0.5, {0.5}, 0.25};
  std::vector<Chain> chains{
      {"one output", relu_network({1, 1}), 1},
      {"two hidden layers", relu_network({3, 64, 64, 2}), 3},
      {"layers without bias", relu_network({5, 17, 3, 1}), 5},
      {"narrowing", relu_network({70, 33, 100}), 70},
      {"wide", relu_network({2, 128, 2}), 2},
      {"uneven", relu_network({16, 4, 32, 8}), 16},
      {"activations at both ends",
       sequential({activation(ActivationKind::tanh), linear(6, 10),
                   activation(ActivationKind::silu),
                   activation(ActivationKind::relu, MomentsForm::first_order), linear(10, 3),
                   activation(ActivationKind::softplus)}),
       6},
      {"nested",
       sequential({linear(6, 20), linear(20, 5, false), activation(ActivationKind::sigmoid),
                   sequential({linear(5, 40), activation(ActivationKind::gelu)}), linear(40, 2)}),
       6},
      {"activations one after the other",
       sequential({activation(ActivationKind::identity), activation(ActivationKind::leaky_relu),
                   linear(6, 18), activation(ActivationKind::exp, MomentsForm::exact)}),
       6},
      {"no parameters",
       sequential(
           {activation(ActivationKind::exp), sequential({activation(ActivationKind::hardtanh)})}),
       2},
      {"bare layer", linear(4, 3), 4},
      {"classes",
       sequential({std::make_shared<ClassEmbedding>(2, 3, 4, 1.0), linear(6, 8),
                   activation(ActivationKind::relu), linear(8, 2)}),
       5},
      {"noise by input", with_noise_head(relu_network({3, 16, 2}), by_input), 3},
      {"noise alike", with_noise_head(relu_network({3, 16, 2}), alike), 3},
      {"user activation, exact",
       sequential({linear(3, 9), user_activation(MomentsForm::exact), linear(9, 2)}), 3, false},
      {"user activation, first order",
       sequential({user_activation(MomentsForm::first_order), linear(3, 2)}), 3, false},
  };
  return chains;
}

void check_chain(Backend& backend, const Chain& chain, Index rows, bool uncertain, unsigned seed) {
  INFO(backend.name(), ", ", chain.name, ", ", rows, " rows, uncertain input ", uncertain);
  const auto layerwise = make_layerwise_executor(backend, chain.network);
  const auto by_graph = make_graph_executor(backend, graph_of(chain.network, {chain.inputs}));
  const Problem problem(*chain.network, rows, chain.inputs, uncertain, seed);
  const Index outputs = problem.out_features;

  check_same(predict(backend, *by_graph, problem), predict(backend, *layerwise, problem));
  for (bool need_input_delta : {true, false}) {
    const Result expected = learn(backend, *layerwise, problem, 2.5f, need_input_delta);
    check_same(learn(backend, *by_graph, problem, 2.5f, need_input_delta), expected);
  }
  for (const Linearization& wanted :
       {Linearization{outputs, chain.inputs, true}, {outputs, 0, true}, {1, 1, false}}) {
    const HostLinearized got = linearize(backend, *by_graph, problem, wanted);
    const HostLinearized expected = linearize(backend, *layerwise, problem, wanted);
    check_same(got.prediction, expected.prediction);
    CHECK(same_bits(got.jacobian, expected.jacobian));
    CHECK(same_bits(got.covariance, expected.covariance));
  }
  learn(backend, *layerwise, problem, 1, false);
  learn(backend, *by_graph, problem, 1, false);
  DeviceProblem first(backend, problem), second(backend, problem);
  CHECK(update(backend, *layerwise, {}, rows, first.parameters) == Failure::none);
  CHECK(update(backend, *by_graph, {}, rows, second.parameters) == Failure::none);
  check_same(to_host(backend, first.parameters), to_host(backend, second.parameters));
}

}  // namespace

TEST_CASE("a chain as a graph gives the bits of its layers one after the other") {
  unsigned seed = 100;
  for (const std::shared_ptr<Backend>& backend : conformance::backends()) {
    for (const Chain& chain : chains()) {
      for (Index rows : {1, 33}) {
        for (bool uncertain : {false, true}) {
          check_chain(*backend, chain, rows, uncertain, seed += 20);
        }
      }
    }
  }
}

TEST_CASE("so it does in pieces of a large batch") {
  unsigned seed = 9000;
  for (const std::shared_ptr<Backend>& backend : conformance::devices()) {
    for (const Chain& chain : chains()) {
      const bool is_slow = !backend->reads_host_memory() && chain.network->parameter_count() > 20;
      if (is_slow || chain.inputs > 16) continue;
      seed += 20;
      check_chain(*backend, chain, 5000, seed % 40 == 0, seed);
    }
  }
}

TEST_CASE("a noise head and weights of rows are observed alike") {
  const LearnedNoise noise{math::NoiseLink::softplus, true, 0.5, {1.0}, 0.25};
  const LayerPointer network = with_noise_head(relu_network({3, 16, 2}), noise);
  for (const std::shared_ptr<Backend>& backend : conformance::devices()) {
    const Problem problem(*network, 40, 3, true, 3);
    const auto result_of = [&](Executor& executor) {
      DeviceProblem on_device(*backend, problem);
      Buffer<float> target(*backend), weight(*backend);
      target.assign(problem.target);  // more than there are targets
      weight.assign(uniform_floats(40, 0, 5, 4));
      NoiseView view{nullptr, 0, 0, {math::NoiseLink::softplus, true, 0.25f}};
      view.weight = weight.data();
      const Learned learned =
          executor.learn(on_device.parameters, on_device.input, {target.data(), view, 3.5f}, true);
      return Result{to_host(*backend, learned.prediction), to_host(*backend, executor.innovation()),
                    to_host(*backend, learned.input_delta)};
    };
    const auto layerwise = make_layerwise_executor(*backend, network);
    const auto by_graph = make_graph_executor(*backend, graph_of(network, {3}));
    check_same(result_of(*by_graph), result_of(*layerwise));
  }
}

TEST_CASE("chains are fused as the layers that they come from") {
  unsigned seed = 500;
  for (const std::shared_ptr<Backend>& backend : conformance::devices()) {
    for (const Chain& chain : chains()) {
      for (Index rows : {3, 70}) {
        INFO(backend->name(), ", ", chain.name, ", ", rows, " rows");
        const Problem problem(*chain.network, rows, chain.inputs, false, seed += 20);
        const auto of_layers = make_executor(*backend, chain.network);
        const auto of_graph = make_executor(*backend, graph_of(chain.network, {chain.inputs}));
        check_same(learn(*backend, *of_graph, problem, 2), learn(*backend, *of_layers, problem, 2));
      }
    }
  }
}

TEST_CASE("a graph knows the parameters of its layers and the steps of a chain") {
  for (const Chain& chain : chains()) {
    INFO(chain.name);
    const std::shared_ptr<const Graph> graph = graph_of(chain.network, {chain.inputs});
    const std::vector<ParameterSpec> specs = chain.network->parameters();
    REQUIRE(graph->parameters.size() == specs.size());
    for (std::size_t i = 0; i < specs.size(); ++i) {
      CHECK(graph->parameters[i].name == specs[i].name);
      CHECK(graph->parameters[i].shape == specs[i].shape);
      CHECK(graph->parameters[i].prior_std == specs[i].prior_std);
      CHECK(graph->parameters[i].prior_mean == specs[i].prior_mean);
    }
    CHECK(graph->parameter_count() == chain.network->parameter_count());
    CHECK(graph->output_shape() == Shape(chain.network->output_features(chain.inputs)));

    std::vector<Step> expected;
    const bool has_steps = chain.network->append_steps(expected);
    CHECK(has_steps == chain.has_steps);
    const std::optional<std::vector<Step>> steps = as_chain(*graph);
    REQUIRE(steps.has_value() == has_steps);
    if (!steps) continue;
    REQUIRE(steps->size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      REQUIRE((*steps)[i].index() == expected[i].index());
      if (const auto* affine = std::get_if<AffineStep>(&expected[i])) {
        const auto& got = std::get<AffineStep>((*steps)[i]);
        CHECK(got.in_features == affine->in_features);
        CHECK(got.out_features == affine->out_features);
        CHECK(got.bias == affine->bias);
      } else {
        const auto& spec = std::get<math::ActivationSpec>(expected[i]);
        const auto& got = std::get<math::ActivationSpec>((*steps)[i]);
        CHECK(got.kind == spec.kind);
        CHECK(got.form == spec.form);
      }
    }
  }
}
