#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "conformance/suite.h"
#include "core/executor.h"
#include "executor_problem.h"
#include "executor_targets.h"

using namespace tagix;
using namespace tagix::test;

TEST_CASE("training on classes is the same by every executor, with inputs known or uncertain") {
  unsigned seed = 13000;
  for (const std::shared_ptr<Backend>& backend : conformance::float32_backends()) {
    for (const math::ClassHead& head : {tree_of_ten, remax_of_two, softmax_of_two}) {
      const bool is_tree = head.link == math::ClassLink::tree;
      const LayerPointer network =
          is_tree ? relu_network({3, 20, 33, 9}) : relu_network({16, 17, 2});
      const auto by_graph = graph_executor(*backend, network);
      const auto fused = fuse(*backend, network);
      for (bool uncertain : {false, true}) {
        for (const auto& [rows, batch_size] :
             {std::pair<Index, Index>{12, 1}, {40, 9}, {300, 130}}) {
          INFO(backend->name(), ", ", rows, " rows in batches of ", batch_size, ", ",
               head.n_classes, " classes, uncertain input ", uncertain);
          const Problem problem(*network, rows, *network->input_features(), uncertain, seed += 20);
          const std::vector<float> target = labels(rows, head.n_classes, seed);
          const TrainedRows got(*backend, *fused, problem, target, head, batch_size);
          const TrainedRows expected(*backend, *by_graph, problem, target, head, batch_size);
          check_close(got.parameters, doubles(expected.parameters.mean),
                      doubles(expected.parameters.var), 1e-4);
          CHECK(!same_bits(got.parameters.mean, problem.parameters.mean));
          CHECK(got.state.failure == Failure::none);
          CHECK(got.state.position == rows);
          CHECK(got.state.sums.n_observed == rows - (rows + 6) / 7);
          CHECK(got.state.sums.log_likelihood ==
                doctest::Approx(expected.state.sums.log_likelihood).epsilon(1e-4));
          CHECK(got.state.sums.squared_error ==
                doctest::Approx(expected.state.sums.squared_error).epsilon(1e-4));
        }
      }
    }
  }
}

TEST_CASE("training on uncertain inputs is that of float64, by every executor") {
  unsigned seed = 15000;
  const std::vector<Index> widths{5, 17, 3};
  for (const std::shared_ptr<Backend>& backend : conformance::float32_backends()) {
    const LayerPointer network = relu_network(widths);
    const auto by_graph = graph_executor(*backend, network);
    const auto fused = fuse(*backend, network);
    for (const auto& [rows, batch_size] : {std::pair<Index, Index>{7, 1}, {30, 8}, {200, 90}}) {
      const Problem problem(*network, rows, 5, true, seed += 20);
      const Gaussians truth = trained_in_float64(problem, widths, batch_size);
      for (Executor* executor : {by_graph.get(), fused.get()}) {
        INFO(backend->name(), ", ", rows, " rows in batches of ", batch_size, ", ",
             executor == fused.get() ? "fused" : "by graph");
        const TrainedRows got(*backend, *executor, problem, problem.target, {}, batch_size);
        check_close(got.parameters, truth.mean, truth.var, 1e-4);
      }
    }
  }
}
