#include <doctest/doctest.h>

#include <array>

#include "core/noise.h"
#include "graph/chain.h"
#include "graph/topology.h"
#include "graph_problem.h"
#include "layers/concat.h"
#include "layers/flatten.h"
#include "layers/residual.h"

using namespace tagix;
using namespace tagix::test;
using graph::Value;

namespace {

constexpr math::ActivationSpec relu{ActivationKind::relu, MomentsForm::exact};
constexpr math::ActivationSpec tanh_function{ActivationKind::tanh, MomentsForm::exact};

template <class Op>
int count(const Graph& graph) {
  int n = 0;
  for (const graph::Node& node : graph.nodes) n += std::holds_alternative<Op>(node.op) ? 1 : 0;
  return n;
}

/// What a builder with some values says to a call.
template <class Call>
std::string answer(const Call& call) {
  GraphBuilder builder;
  const Value vector = builder.input(3, 0);
  const Value image = builder.input({{8, 8}, 3}, 3);
  const GraphBuilder::Scope outer = builder.enter("2");
  const GraphBuilder::Scope inner = builder.enter("body");
  return refusal([&] { call(builder, vector, image); });
}

}  // namespace

TEST_CASE("shapes that do not fit are refused with the path and both shapes") {
  CHECK(answer([](GraphBuilder& g, Value x, Value) {
          g.affine(x, g.parameter({"weight", {4, 16}, 1}), std::nullopt);
        }) == "layer 2.body: got 3 features, needed 16");
  CHECK(answer([](GraphBuilder& g, Value, Value x) {
          g.affine(x, g.parameter({"weight", {4, 16}, 1}), std::nullopt);
        }) == "layer 2.body: got 3 channels on a grid of 8 x 8, needed 16");
  CHECK(answer([](GraphBuilder& g, Value x, Value) {
          g.affine(x, g.parameter({"weight", {4, 3}, 1}), g.parameter({"bias", {5}, 1}));
        }) == "layer 2.body: got a bias of 5 elements, needed 4");
  CHECK(answer([](GraphBuilder& g, Value x, Value) { g.add(x, g.slice(x, 0, 1)); }) ==
        "layer 2.body: got 3 features and 1 feature for a sum, needed the same shape, or a vector "
        "of as many channels beside a grid");
  CHECK(answer([](GraphBuilder& g, Value, Value x) {
          g.product(x, g.mix(x, window({8, 8}, 2, 2, 0)));
        }) ==
        "layer 2.body: got 3 channels on a grid of 8 x 8 and 3 channels on a grid of 4 x 4 for a "
        "product, needed the same shape, or a vector of as many channels beside a grid");
  CHECK(answer([](GraphBuilder& g, Value a, Value b) { g.concat(std::array{a, b}); }) ==
        "layer 2.body: got 3 features and 3 channels on a grid of 8 x 8, needed the same grid to "
        "concatenate channels");
  CHECK(answer([](GraphBuilder& g, Value, Value) { g.concat({}); }) ==
        "layer 2.body: got no values, needed at least 1");
  CHECK(answer([](GraphBuilder& g, Value x, Value) { g.slice(x, 1, 3); }) ==
        "layer 2.body: got channels 1 to 3 of 3 features, needed 0 to 2");
  CHECK(
      answer([](GraphBuilder& g, Value, Value x) { g.reshape(x, 191); }) ==
      "layer 2.body: got 3 channels on a grid of 8 x 8 to be seen as 191 features, needed as many "
      "numbers: 192");
  CHECK(answer([](GraphBuilder& g, Value x, Value) { g.mix(x, nearest({4}, 2)); }) ==
        "layer 2.body: got 3 features, needed a grid of 4");
  CHECK(answer([](GraphBuilder& g, Value, Value) { g.input({{4, 0}, 3}, 0); }) ==
        "layer 2.body: input: got 3 channels on a grid of 4 x 0, needed at least 1 of them and 1 "
        "position");
  CHECK(answer([](GraphBuilder& g, Value, Value) { g.activate(7, relu); }) ==
        "layer 2.body: got value 7, needed one of this graph");
  CHECK(answer([](GraphBuilder& g, Value a, Value b) { g.only(std::array{a, b}); }) ==
        "layer 2.body: got 2 inputs, needed 1");
  CHECK(answer([](GraphBuilder& g, Value, Value) {
          g.parameter({"weight", {4, 16}, 1});
          g.parameter({"weight", {4, 16}, 1});
        }) == "layer 2.body: got two parameters named 2.body.weight, needed a name for each");
  CHECK(answer([](GraphBuilder& g, Value, Value) {
          const Parameter first = g.parameter({"first", {4, 3}, 1});
          g.parameter({"second", {4, 3}, 1});
          g.stacked(first, g.parameter({"third", {4, 3}, 1}));
        }) ==
        "layer 2.body: got parameters 0 and 2, needed two that were asked for one after the other");
  CHECK(answer([](GraphBuilder& g, Value, Value) {
          const Parameter first = g.parameter({"first", {4, 3}, 1});
          g.stacked(first, g.parameter({"second", {4, 2}, 1}));
        }) == "layer 2.body: got parameters of 3 and 2 columns, needed as many in both");
}

TEST_CASE("layers are refused with their path") {
  const Residual narrowing(sequential({linear(8, 5), linear(5, 7)}));
  const auto built = [&](Index channels) {
    GraphBuilder builder;
    const Value x = builder.input(channels, 0);
    const GraphBuilder::Scope scope = builder.enter("2");
    return refusal([&] { narrowing.build(builder, {&x, 1}); });
  };
  CHECK(built(8) ==
        "layer 2: got 8 features and 7 features for a sum, needed the same shape, or a vector "
        "of as many channels beside a grid");
  CHECK(built(3) == "layer 2.body.0: got 3 features, needed 8");
  CHECK(refusal([] { graph_of(relu_network({4, 5, 2}), {3}); }) ==
        "layer 0: got 3 features, needed 4");
  CHECK(refusal([] { graph_of(linear(4, 2), {3}); }) == "got 3 features, needed 4");
  CHECK(refusal([] { graph_of(relu_network({4, 5, 2}), {3, 1}); }) ==
        "layer 0: got 2 inputs, needed 1");
}

TEST_CASE("products of functions of one value are refused, whatever lies between") {
  const auto product_of = [](auto make) {
    return answer([&](GraphBuilder& g, Value x, Value) {
      const auto [a, b] = make(g, x);
      g.product(a, b);
    });
  };
  using Pair = std::pair<Value, Value>;
  const std::string refused =
      "layer 2.body: got a product of two functions of the same value, needed factors that are "
      "independent";
  CHECK(product_of([](GraphBuilder&, Value x) { return Pair{x, x}; }) == refused);
  CHECK(product_of([](GraphBuilder& g, Value x) { return Pair{x, g.activate(x, relu)}; }) ==
        refused);
  CHECK(product_of([](GraphBuilder& g, Value x) {
          return Pair{g.add(x, g.activate(x, relu)),
                      g.reshape(g.activate(g.reshape(x, {{3}, 1}), tanh_function), 3)};
        }) == refused);
  CHECK(product_of([](GraphBuilder& g, Value x) {
          return Pair{g.activate(g.slice(x, 1, 2), relu), g.slice(x, 1, 2)};
        }) == refused);
  CHECK(product_of([](GraphBuilder& g, Value x) { return Pair{x, g.input(3, 0)}; }) == refused);
  CHECK(product_of([](GraphBuilder& g, Value x) {
          return Pair{g.slice(x, 0, 2), g.slice(x, 1, 2)};
        }).empty());
  CHECK(product_of([](GraphBuilder& g, Value x) { return Pair{x, g.input(3, 3)}; }).empty());
}

TEST_CASE("x + f(x) is one operation, in either order; other sums are not") {
  GraphBuilder builder;
  const Value x = builder.input(3, 0);
  const Value f = builder.activate(x, relu);
  const auto is_residual = [&](Value sum) {
    const Graph graph = builder.finish(sum);
    const auto* op = std::get_if<graph::Activate>(&graph.node(graph.output).op);
    return op != nullptr && op->residual && graph.nodes.size() == 2;
  };
  CHECK(is_residual(builder.add(x, f)));
  CHECK(is_residual(builder.add(f, x)));
  CHECK(is_residual(builder.add(x, x)));
  CHECK(!is_residual(builder.add(f, builder.activate(x, tanh_function))));
  CHECK(!is_residual(builder.add(x, builder.activate(f, relu))));
  CHECK(!is_residual(builder.add(x, builder.add(x, f))));
}

TEST_CASE("values that the output does not need are dropped, parameters and columns stay") {
  GraphBuilder builder;
  const Value unused = builder.input(2, 5);
  const Value x = builder.input(3, 0);
  builder.affine(unused, builder.parameter({"unused", {4, 2}, 1}), std::nullopt);
  const Value y = builder.affine(x, builder.parameter({"weight", {4, 3}, 1}), std::nullopt);
  builder.activate(y, relu);
  const Graph graph = builder.finish(y);
  CHECK(graph.nodes.size() == 2);
  CHECK(graph.row_size == 7);
  CHECK(graph.parameters.size() == 2);
  CHECK(graph.offsets == std::vector<Index>{0, 8, 20});
  CHECK(std::get<graph::Affine>(graph.nodes[1].op).weight == 8);
  CHECK(std::get<graph::Affine>(graph.nodes[1].op).x == 0);
  CHECK(!as_chain(graph));
}

TEST_CASE("a vector is added and multiplied at every position of a grid") {
  GraphBuilder builder;
  const Value image = builder.input({{2, 3}, 4}, 0), vector = builder.input(4, 24);
  for (const Value value :
       {builder.add(image, vector), builder.add(vector, image), builder.product(vector, image)}) {
    CHECK(builder.shape(value) == Shape({2, 3}, 4));
    CHECK(count<graph::Mix>(builder.finish(value)) == 1);
  }
}

TEST_CASE("new layers know their parameters and shapes") {
  const LayerPointer network = sequential(
      {std::make_shared<Flatten>(), linear(12, 6),
       std::make_shared<Residual>(sequential({linear(6, 5), linear(5, 4)}), linear(6, 4, false)),
       std::make_shared<Concat>(std::vector<LayerPointer>{linear(4, 2), linear(4, 3)})});
  const std::shared_ptr<const Graph> graph = graph_of(network, {{{2, 2}, 3}});
  CHECK(graph->output_shape() == Shape(5));
  CHECK(network->input_features() == 12);
  const std::vector<std::string> names{"1.weight",          "1.bias",          "2.body.0.weight",
                                       "2.body.0.bias",     "2.body.1.weight", "2.body.1.bias",
                                       "2.shortcut.weight", "3.0.weight",      "3.0.bias",
                                       "3.1.weight",        "3.1.bias"};
  std::vector<std::string> of_graph;
  for (const ParameterSpec& spec : graph->parameters) of_graph.push_back(spec.name);
  // A body is written down before its shortcut.
  CHECK(of_graph == names);
  CHECK(graph->nodes.back().path == "3");
}

TEST_CASE("chains are told from other graphs") {
  const auto is_chain = [](const LayerPointer& network, const Shape& input) {
    return as_chain(*graph_of(network, {input})).has_value();
  };
  CHECK(is_chain(relu_network({3, 4, 2}), 3));
  CHECK(is_chain(sequential({std::make_shared<Flatten>(), linear(12, 2)}), {{2, 2}, 3}));
  CHECK(!is_chain(linear(3, 2), {{2, 2}, 3}));
  CHECK(!is_chain(std::make_shared<Residual>(linear(3, 3)), 3));
  CHECK(!is_chain(std::make_shared<Residual>(activation(ActivationKind::relu)), 3));
  CHECK(!is_chain(std::make_shared<Flatten>(), 3));
  GraphBuilder builder;
  const Value x = builder.input(3, 0);
  const Parameter shared = builder.parameter({"weight", {3, 3}, 1});
  const Value y = builder.affine(builder.affine(x, shared, std::nullopt), shared, std::nullopt);
  CHECK(!as_chain(builder.finish(y)));
}

TEST_CASE("a layer that is written down again has the parameters that it had") {
  const LayerPointer layer = sequential({linear(3, 3), activation(ActivationKind::tanh)});
  GraphBuilder builder;
  const Value x = builder.input(3, 0);
  const Value first = builder.apply("a", *layer, {&x, 1});
  const Value second = builder.apply("a", *layer, {&first, 1});
  const Value third = builder.apply("b", *layer, {&second, 1});
  CHECK(refusal([&] { builder.apply("b", *linear(3, 3), {&third, 1}); }) ==
        "layer b: got two layers of this name, needed a name for each");
  builder.record("c.0", "Recorded", {{2, 2}, 5});
  const Graph graph = builder.finish(third);
  std::vector<std::string> names;
  for (const ParameterSpec& spec : graph.parameters) names.push_back(spec.name);
  CHECK(names == std::vector<std::string>{"a.0.weight", "a.0.bias", "b.0.weight", "b.0.bias"});
  std::vector<Index> weights;
  for (const graph::Node& node : graph.nodes) {
    if (const auto* op = std::get_if<graph::Affine>(&node.op)) weights.push_back(op->weight);
  }
  CHECK(weights == std::vector<Index>{0, 0, 12});
  CHECK(graph.last_layer == "Tanh");
  std::vector<std::string> paths;
  for (const graph::LayerSummary& record : graph.layers) paths.push_back(record.path);
  CHECK(paths ==
        std::vector<std::string>{"a", "a.0", "a.1", "a", "a.0", "a.1", "b", "b.0", "b.1", "c.0"});
  CHECK(graph.layers.back().output_shape == Shape({2, 2}, 5));
}

TEST_CASE("values of more numbers than an index should count are refused") {
  CHECK(answer([](GraphBuilder& g, Value x, Value) {
          for (int i = 0; i < 80; ++i) x = g.concat(std::array{x, x});
        }) == "layer 2.body: got 3221225472 features, needed at most 2147483648 numbers");
}

TEST_CASE("a topology knows its features, or has a graph for each number of them") {
  const LearnedNoise noise{math::NoiseLink::exp, true, 0.5, {1.0}, 0.25};
  const Topology fixed(relu_network({3, 4, 2}));
  CHECK(fixed.input_features() == 3);
  CHECK(fixed.parameters().size() == 3);
  CHECK(fixed.graph_for(3) == fixed.plain_graph_for(3));
  CHECK(refusal([&] { fixed.graph_for(4); }) == "x: got 4 features, needed 3");

  const Topology noisy(relu_network({3, 4, 2}), {}, noise);
  CHECK(noisy.graph_for(3)->output_shape() == Shape(4));
  CHECK(noisy.plain_graph_for(3)->output_shape() == Shape(2));

  const Topology open(sequential({activation(ActivationKind::relu)}));
  CHECK(!open.input_features());
  CHECK(open.parameters().empty());
  CHECK(open.graph_for(5)->output_shape() == Shape(5));
  CHECK(open.graph_for(5) == open.graph_for(5));
  CHECK(open.graph_for(2)->output_shape() == Shape(2));
  CHECK(refusal([&] { open.graph_for(0); }) == "x: got 0 features, needed at least 1");

  const LayerPointer doubling = std::make_shared<Concat>(std::vector<LayerPointer>{
      activation(ActivationKind::relu), activation(ActivationKind::tanh)});
  const std::string unknown =
      "input_shape: got none, needed the shape of the inputs: the layers leave it open";
  CHECK(refusal([&] { Topology{sequential({doubling, linear(6, 1)})}; }) == unknown);
  CHECK(refusal([&] { Topology{sequential({doubling, linear(2, 1)})}; }) == unknown);
  CHECK(Topology(sequential({doubling, linear(6, 1)}), {3}).input_features() == 3);
  CHECK(refusal([&] { Topology{doubling, {}, noise}; }) ==
        "noise: got a network that ends in Concat, needed nn.Linear as its last layer, to infer "
        "the noise beside its outputs");
}
