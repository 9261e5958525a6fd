#include <doctest/doctest.h>

#include "conformance/suite.h"
#include "graph/noise_head.h"
#include "graph_problem.h"
#include "layers/class_embedding.h"

using namespace tagix;
using namespace tagix::test;
using graph::Value;

// Networks that are plain chains, as graphs and fused.

namespace {

LayerPointer user_activation(MomentsForm form) {
  return std::make_shared<FunctionActivation>(std::make_shared<Cubic>(), form);
}

struct Chain {
  const char* name;
  LayerPointer network;
  Index inputs;
  Index n_steps;
  std::optional<LearnedNoise> noise = {};

  std::shared_ptr<const Graph> graph() const {
    Graph graph = *row_graph(network, inputs);
    return std::make_shared<const Graph>(noise ? with_noise_head(std::move(graph), *noise)
                                               : std::move(graph));
  }
};

/// Noise that follows the input, and noise that does not, of two outputs with a standard deviation
/// each.
const LearnedNoise by_input{math::NoiseLink::exp, true, 0.5, {1.0}, 0.25};
const LearnedNoise by_output{math::NoiseLink::exp, false, 0.5, {0.5, 2}, 0.25};

std::vector<Chain> chains() {
  const LearnedNoise alike{math::NoiseLink::exp, false, 0.5, {0.5}, 0.25};
  std::vector<Chain> chains{
      {"one output", relu_network({1, 1}), 1, 1},
      {"two hidden layers", relu_network({3, 64, 64, 2}), 3, 5},
      {"layers without bias", relu_network({5, 17, 3, 1}), 5, 5},
      {"narrowing", relu_network({70, 33, 100}), 70, 3},
      {"wide", relu_network({2, 128, 2}), 2, 3},
      {"uneven", relu_network({16, 4, 32, 8}), 16, 5},
      {"activations at both ends",
       sequential({activation(ActivationKind::tanh), linear(6, 10),
                   activation(ActivationKind::silu),
                   activation(ActivationKind::relu, MomentsForm::first_order), linear(10, 3),
                   activation(ActivationKind::softplus)}),
       6, 6},
      {"nested",
       sequential({linear(6, 20), linear(20, 5, false), activation(ActivationKind::sigmoid),
                   sequential({linear(5, 40), activation(ActivationKind::gelu)}), linear(40, 2)}),
       6, 6},
      {"activations one after the other",
       sequential({activation(ActivationKind::identity), activation(ActivationKind::leaky_relu),
                   linear(6, 18), activation(ActivationKind::exp, MomentsForm::exact)}),
       6, 4},
      {"no parameters",
       sequential(
           {activation(ActivationKind::exp), sequential({activation(ActivationKind::hardtanh)})}),
       2, 2},
      {"bare layer", linear(4, 3), 4, 1},
      {"classes",
       sequential({std::make_shared<ClassEmbedding>(2, 3, 4, 1.0), linear(6, 8),
                   activation(ActivationKind::relu), linear(8, 2)}),
       5, 4},
      {"noise by input", relu_network({3, 16, 2}), 3, 3, by_input},
      {"noise alike", relu_network({3, 16, 2}), 3, 3, alike},
      {"user activation, exact",
       sequential({linear(3, 9), user_activation(MomentsForm::exact), linear(9, 2)}), 3, 3},
      {"user activation, first order",
       sequential({user_activation(MomentsForm::first_order), linear(3, 2)}), 3, 2},
  };
  return chains;
}

void check_near(const HostPair& got, const HostPair& expected) {
  check_close(got, doubles(expected.mean), doubles(expected.var), 2e-5);
}

/// CHECKs the parameters of a graph with two values and their noise, one after the other.
void check_parameters(const Graph& graph, const std::vector<ParameterSpec>& expected) {
  CHECK(graph.output_shape() == Shape(4));
  REQUIRE(graph.parameters.size() == expected.size());
  Index offset = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const ParameterSpec& got = graph.parameters[i];
    INFO(got.name);
    CHECK(got.name == expected[i].name);
    CHECK(got.shape == expected[i].shape);
    CHECK(got.prior_std == doctest::Approx(expected[i].prior_std).epsilon(1e-6));
    CHECK(got.prior_mean == expected[i].prior_mean);
    CHECK(got.least_var == expected[i].least_var);
    CHECK(graph.offsets[i] == offset);
    offset += expected[i].size();
  }
  CHECK(graph.parameter_count() == offset);
}

}  // namespace

TEST_CASE("the steps of a chain are found, and fused they do what its graph does") {
  unsigned seed = 500;
  for (const std::shared_ptr<Backend>& backend : conformance::devices()) {
    for (const Chain& chain : chains()) {
      const std::shared_ptr<const Graph> graph = chain.graph();
      const std::optional<std::vector<ChainStep>> steps = as_chain(*graph);
      REQUIRE(steps.has_value());
      CHECK(static_cast<Index>(steps->size()) == chain.n_steps);
      for (Index rows : {3, 70}) {
        for (bool uncertain : {false, true}) {
          INFO(backend->name(), ", ", chain.name, ", ", rows, " rows, uncertain ", uncertain);
          const Problem problem(*graph, rows, uncertain, seed += 20);
          const Result got = learn(*backend, *make_executor(*backend, graph), problem, 2);
          const Result expected =
              learn(*backend, *make_graph_executor(*backend, graph), problem, 2);
          check_near(got.prediction, expected.prediction);
          check_near(got.innovation, expected.innovation);
          check_near(got.input_delta, expected.input_delta);
        }
      }
    }
  }
}

TEST_CASE("a large batch is learned in pieces of 2048 rows, whose innovations are added in order") {
  for (const std::shared_ptr<Backend>& backend : conformance::devices()) {
    for (const LayerPointer& network :
         {sequential({linear(3, 2)}),
          sequential({user_activation(MomentsForm::first_order), linear(3, 2)})}) {
      INFO(backend->name());
      const std::shared_ptr<const Graph> graph = row_graph(network);
      const std::optional<std::vector<ChainStep>> steps = as_chain(*graph);
      if (!calls_the_host(*steps) && backend->sums_innovations_together())
        continue;  // by bytes alone
      const Problem whole(*graph, 5000, true, 9);
      const Result got = learn(*backend, *make_graph_executor(*backend, graph), whole, 2);
      HostPair sum;
      for (const auto& [first, rows] : {std::pair{0, 2048}, {2048, 2048}, {4096, 904}}) {
        Problem piece = whole;
        piece.rows = rows;
        const auto cut = [&, begin = first, count = rows](std::vector<float>& values,
                                                          std::ptrdiff_t cols) {
          values = {values.begin() + begin * cols, values.begin() + (begin + count) * cols};
        };
        cut(piece.input.mean, 3);
        cut(piece.input.var, 3);
        cut(piece.target, 2);
        cut(piece.noise_var, 2);
        const HostPair part =
            learn(*backend, *make_graph_executor(*backend, graph), piece, 2).innovation;
        if (first == 0) {
          sum = part;
          continue;
        }
        for (std::size_t i = 0; i < sum.mean.size(); ++i) {
          sum.mean[i] += part.mean[i];
          sum.var[i] += part.var[i];
        }
      }
      check_same(got.innovation, sum);
    }
  }
}

TEST_CASE("a noise head stands beside the values of the last layer, wherever that is") {
  const float third = std::sqrt(1 / 3.0f), fifth = std::sqrt(1 / 5.0f);
  const std::vector<float> zeros(2, 0), log_noise_var{static_cast<float>(2 * std::log(0.5)) - 0.5f,
                                                      static_cast<float>(2 * std::log(2)) - 0.5f};
  const auto nested = sequential({linear(3, 5), sequential({linear(5, 2)})});
  check_parameters(with_noise_head(*row_graph(nested), by_input),
                   {{"0.weight", {5, 3}, third},
                    {"0.bias", {5}, third},
                    {"1.0.weight", {2, 5}, fifth},
                    {"1.0.noise_weight", {2, 5}, fifth / 2},
                    {"1.0.bias", {2}, fifth},
                    {"1.0.noise_bias", {2}, fifth / 2, zeros}});
  check_parameters(with_noise_head(*row_graph(linear(3, 2, false)), by_output),
                   {{"weight", {2, 3}, third},
                    {"noise_weight", {2, 3}, 0},
                    {"bias", {2}, 0},
                    {"noise_bias", {2}, 1, log_noise_var, 0.01f}});

  // Parameters of a map that is written down behind that of the output move on.
  GraphBuilder builder;
  const Value x = builder.input(3, 0);
  const Parameter last = builder.parameter({"last.weight", {2, 4}, 1}),
                  first = builder.parameter({"first.weight", {4, 3}, 1});
  const Value hidden = builder.affine(x, first, std::nullopt);
  const Graph graph =
      with_noise_head(builder.finish(builder.affine(hidden, last, std::nullopt)), by_input);
  CHECK(std::get<graph::Affine>(graph.nodes[1].op).weight == 16);
  CHECK(std::get<graph::Affine>(graph.nodes[2].op).weight == 0);
  check_parameters(graph, {{"last.weight", {2, 4}, 1},
                           {"last.noise_weight", {2, 4}, 0.5f},
                           {"first.weight", {4, 3}, 1}});
}

TEST_CASE("a noise head needs a linear last layer that only gives the outputs") {
  CHECK(refusal([&] { with_noise_head(*row_graph(linear(3, 3)), by_output); }) ==
        "noise: got 2 standard deviations, needed 1 or 3");
  CHECK(refusal([&] {
          with_noise_head(*row_graph(sequential({linear(3, 2), activation(ActivationKind::relu)})),
                          by_input);
        }) ==
        "noise: got a network that ends in ReLU, needed nn.Linear as its last layer, to infer "
        "the noise beside its outputs");
  GraphBuilder twice;
  const Parameter square = twice.parameter({"weight", {3, 3}, 1});
  const Value inner = twice.affine(twice.input(3, 0), square, std::nullopt);
  CHECK(refusal([&] {
          with_noise_head(twice.finish(twice.affine(inner, square, std::nullopt)), by_input);
        }) ==
        "noise: got a network whose last layer is used more than once, needed one that only "
        "gives the outputs");
}
