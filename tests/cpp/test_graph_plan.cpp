#include <doctest/doctest.h>

#include <array>
#include <random>

#include "conformance/suite.h"
#include "graph/plan.h"
#include "graph/slots.h"
#include "graph_problem.h"
#include "layers/residual.h"

using namespace tagix;
using namespace tagix::test;
using graph::Lifetime;
using graph::Plan;
using graph::Value;

TEST_CASE("arrays that are needed at the same time have slots of their own, large enough") {
  std::mt19937 engine(5);
  for (int trial = 0; trial < 50; ++trial) {
    std::vector<Lifetime> arrays;
    Index total = 0;
    for (int i = 0; i < 30; ++i) {
      const Index born = static_cast<Index>(engine() % 40);
      arrays.push_back(
          {1 + static_cast<Index>(engine() % 9), born, born + static_cast<Index>(engine() % 12)});
      total += arrays.back().size;
    }
    const graph::Slots slots = graph::place(arrays);
    Index used = 0;
    for (Index size : slots.sizes) used += size;
    CHECK(used < total);
    for (std::size_t a = 0; a < arrays.size(); ++a) {
      CHECK(slots.sizes[static_cast<std::size_t>(slots.of[a])] >= arrays[a].size);
      for (std::size_t b = 0; b < a; ++b) {
        const bool meet = arrays[a].born <= arrays[b].dies && arrays[b].born <= arrays[a].dies;
        if (meet) CHECK(slots.of[a] != slots.of[b]);
      }
    }
  }
}

namespace {

LayerPointer deep(Index n_layers, bool residual) {
  std::vector<LayerPointer> layers;
  for (Index i = 0; i < n_layers; ++i) {
    const LayerPointer block = sequential({linear(64, 64), activation(ActivationKind::relu)});
    layers.push_back(residual ? std::make_shared<Residual>(block) : block);
  }
  return sequential(std::move(layers));
}

}  // namespace

TEST_CASE("the memory of a prediction does not grow with depth") {
  for (bool residual : {false, true}) {
    const auto bytes = [residual](Index n_layers, auto plan) {
      return plan(*graph_of(deep(n_layers, residual), {64})).bytes_per_row();
    };
    const auto adjoint = [](const Graph& graph) { return graph::plan_adjoint(graph, true, true); };
    CHECK(bytes(3, adjoint) == bytes(30, adjoint));
    for (const std::shared_ptr<Backend>& backend : conformance::devices()) {
      const auto prediction = [&backend](const Graph& graph) {
        return graph::plan_prediction(graph, *backend);
      };
      CHECK(bytes(3, prediction) == bytes(30, prediction));
      // Two or three values of 64 means and variances, and a Jacobian.
      CHECK(bytes(30, prediction) <= 4 * 64 * (residual ? 9 : 5));
    }
  }
}

TEST_CASE("learning keeps what backward rules read and little more") {
  const auto bytes = [](Index n_layers) {
    return graph::plan_learning(*graph_of(deep(n_layers, false), {64}), *cpu_backend(), true)
        .bytes_per_row();
  };
  // A layer keeps the input of its affine map and the Jacobian of its activation.
  CHECK((bytes(30) - bytes(10)) / 20 == 4 * 64 * 3);
  CHECK(bytes(30) < 4 * 64 * (30 * 3 + 8));
  // 2048 rows of 50 layers of 512 units stay within the memory that a pass may take.
  std::vector<LayerPointer> layers;
  for (int i = 0; i < 50; ++i) {
    layers.push_back(linear(512, 512));
    layers.push_back(activation(ActivationKind::relu));
  }
  const Plan plan =
      graph::plan_learning(*graph_of(sequential(layers), {512}), *cpu_backend(), true);
  CHECK(2048 * plan.bytes_per_row() <= default_pass_bytes);
}

TEST_CASE("a device that sums innovations together keeps what they are summed from") {
  for (const std::shared_ptr<Backend>& backend : conformance::devices()) {
    if (!backend->sums_innovations_together()) continue;
    const auto bytes = [&backend](Index n_layers) {
      const auto graph = graph_of(deep(n_layers, false), {64});
      return graph::plan_learning(*graph, *backend, true).bytes_per_row();
    };
    // Of a layer the output and the innovation, which takes the place of a Jacobian that has been
    // read.
    CHECK((bytes(30) - bytes(10)) / 20 == 4 * 64 * 4);
  }
}

TEST_CASE("a map runs the activation that alone reads it, and passes innovations below one") {
  GraphBuilder g;
  const auto affine = [&g](Value x, const char* name, Index in = 4) {
    return g.affine(x, g.parameter({name, {4, in}, 0.5f}), std::nullopt);
  };
  const math::ActivationSpec relu{ActivationKind::relu, MomentsForm::exact};
  const math::ActivationSpec tanh{ActivationKind::tanh, MomentsForm::exact};
  const Value alone = affine(g.input(4, 0), "a"), first = g.activate(alone, relu);
  const Value twice = affine(first, "b"), second = g.activate(twice, relu);
  const Value third = g.activate(affine(g.concat(std::array{twice, second}), "c", 8), tanh);
  const Value last = affine(third, "d");
  const Graph graph = g.finish(g.add(last, third));
  for (const std::shared_ptr<Backend>& backend : conformance::devices()) {
    const Plan plan = graph::plan_learning(graph, *backend, true);
    for (std::size_t i = 0; i < plan.nodes.size(); ++i) {
      const auto node = static_cast<Value>(i);
      INFO(backend->name(), ", node ", i);
      CHECK(plan.nodes[i].has_epilogue == (node == alone && backend->has_epilogue(relu)));
      CHECK(plan.nodes[i].scaled_by_reader == (node == first));
    }
  }
}
