#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "conformance/suite.h"
#include "core/executor.h"
#include "executor_problem.h"
#include "executor_targets.h"

// Many rows that are learned a few at a time: the CPU works on copies of the parameters then.

using namespace tagix;
using namespace tagix::test;

namespace {

/// Learns `rows` rows of a problem a few at a time, known numbers with known noise.
TrainedRows trained(Backend& backend, Executor& executor, const Problem& problem,
                    Index batch_size) {
  return TrainedRows(backend, executor, problem, problem.target, {}, batch_size);
}

Problem shortened(const Problem& problem, Index rows) {
  Problem part = problem;
  part.rows = rows;
  const auto shorten = [rows](std::vector<float>& values, Index cols) {
    values.resize(std::min(values.size(), static_cast<std::size_t>(rows * cols)));
  };
  shorten(part.input.mean, part.in_features);
  shorten(part.input.var, part.in_features);
  shorten(part.target, part.out_features);
  shorten(part.noise_var, part.out_features);
  return part;
}

}  // namespace

TEST_CASE("many rows, a few at a time, are learned as in float64") {
  unsigned seed = 21000;
  const std::vector<std::vector<Index>> networks{{3, 64, 64, 2}, {5, 17, 40, 3}, {70, 16, 100},
                                                 {1, 33, 1},     {4, 2},         {4, 130}};
  for (const std::shared_ptr<Backend>& backend : conformance::float32_backends()) {
    for (const std::vector<Index>& widths : networks) {
      const LayerPointer network = relu_network(widths);
      const auto fused = fuse(*backend, network);
      for (Index batch_size : {1, 2, 3, 4, 5, 8}) {
        for (bool uncertain : {false, true}) {
          INFO(backend->name(), ", ", widths.front(), " to ", widths.back(), " in batches of ",
               batch_size, ", uncertain input ", uncertain);
          const Index rows = 33 + 2 * batch_size;
          const Problem problem(*network, rows, widths.front(), uncertain, seed += 20);
          const Gaussians truth = trained_in_float64(problem, widths, batch_size);
          const TrainedRows got = trained(*backend, *fused, problem, batch_size);
          check_close(got.parameters, truth.mean, truth.var, 2e-4);
          CHECK(got.state.failure == Failure::none);
          CHECK(got.state.position == rows);
        }
      }
    }
  }
}

TEST_CASE("many rows, a few at a time, through all kinds of layers") {
  unsigned seed = 23000;
  std::vector<LayerPointer> networks{
      sequential({linear(6, 32), activation(ActivationKind::relu, MomentsForm::first_order),
                  linear(32, 48), activation(ActivationKind::relu, MomentsForm::first_order),
                  linear(48, 2)}),
      sequential({activation(ActivationKind::tanh), linear(6, 20, false), linear(20, 35),
                  activation(ActivationKind::silu), linear(35, 2),
                  activation(ActivationKind::leaky_relu)})};
  for (const std::shared_ptr<Backend>& backend : conformance::float32_backends()) {
    for (const LayerPointer& network : networks) {
      const auto by_graph = graph_executor(*backend, network, 6);
      const auto fused = fuse(*backend, network);
      for (Index batch_size : {1, 3, 8}) {
        INFO(backend->name(), ", in batches of ", batch_size);
        Problem problem(*network, 40, 6, false, seed += 20);
        // Inputs that are mostly 0, as of a category in columns of its own.
        for (std::size_t i = 0; i < problem.input.mean.size(); ++i) {
          if (i % 5 != 0) problem.input.mean[i] = 0;
        }
        const TrainedRows got = trained(*backend, *fused, problem, batch_size);
        const TrainedRows expected = trained(*backend, *by_graph, problem, batch_size);
        check_close(got.parameters, doubles(expected.parameters.mean),
                    doubles(expected.parameters.var), 2e-4);
        CHECK(got.state.sums.squared_error ==
              doctest::Approx(expected.state.sums.squared_error).epsilon(1e-4));
      }
    }
  }
}

TEST_CASE("a row that overflows changes nothing, and leaves what was learned before it") {
  const LayerPointer network = relu_network({3, 48, 32, 2});
  for (const std::shared_ptr<Backend>& backend : conformance::float32_backends()) {
    const auto fused = fuse(*backend, network);
    for (Index batch_size : {1, 4}) {
      INFO(backend->name(), ", in batches of ", batch_size);
      Problem problem(*network, 80, 3, false, 25000);
      problem.target[2 * 60] = std::numeric_limits<float>::max();
      problem.noise_var[2 * 60] = 1e-6f;
      const TrainedRows got = trained(*backend, *fused, problem, batch_size);
      CHECK(got.state.failure != Failure::none);
      const TrainedRows before = trained(*backend, *fused, shortened(problem, 60), batch_size);
      CHECK(before.state.failure == Failure::none);
      check_close(got.parameters, doubles(before.parameters.mean), doubles(before.parameters.var),
                  1e-6);
    }
  }
}

TEST_CASE("rows whose innovations are huge, but finite, are learned") {
  const std::vector<Index> widths{3, 32, 32, 2};
  const LayerPointer network = relu_network(widths);
  for (const std::shared_ptr<Backend>& backend : conformance::float32_backends()) {
    INFO(backend->name());
    const auto fused = fuse(*backend, network);
    const auto by_graph = graph_executor(*backend, network);
    Problem problem(*network, 50, 3, false, 27000);
    for (const std::size_t row : {20, 21, 40}) {
      problem.target[2 * row] = 3e28f;
      problem.target[2 * row + 1] = -1e28f;
    }
    const TrainedRows got = trained(*backend, *fused, problem, 1);
    const TrainedRows expected = trained(*backend, *by_graph, problem, 1);
    CHECK(got.state.failure == expected.state.failure);
    CHECK(got.state.position == expected.state.position);
    check_close(got.parameters, doubles(expected.parameters.mean), doubles(expected.parameters.var),
                1e-3);
  }
}
