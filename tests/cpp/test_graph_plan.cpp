#include <doctest/doctest.h>

#include <random>

#include "graph/plan.h"
#include "graph_problem.h"
#include "layers/residual.h"

using namespace tagix;
using namespace tagix::test;
using graph::Lifetime;
using graph::Plan;

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
    CHECK(bytes(3, graph::plan_prediction) == bytes(30, graph::plan_prediction));
    CHECK(bytes(3, graph::plan_tangents) == bytes(30, graph::plan_tangents));
    // Two or three values of 64 means and variances, and a Jacobian.
    CHECK(bytes(30, graph::plan_prediction) <= 4 * 64 * (residual ? 9 : 5));
  }
}

TEST_CASE("learning keeps what backward rules read and little more") {
  const auto bytes = [](Index n_layers) {
    return graph::plan_learning(*graph_of(deep(n_layers, false), {64}), true).bytes_per_row();
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
  const Plan plan = graph::plan_learning(*graph_of(sequential(layers), {512}), true);
  CHECK(2048 * plan.bytes_per_row() <= default_pass_bytes);
}
