#include <doctest/doctest.h>

#include "core/cuda.h"
#include "cuda_is_there.h"
#include "executor_problem.h"

using namespace tagix;
using namespace tagix::test;

TEST_CASE("batches that the memory does not hold are learned in pieces") {
  if (!cuda_is_there()) return;
  const std::shared_ptr<Backend> backend = cuda_backend();
  const std::vector<Index> widths{5, 17, 33, 3};
  const LayerPointer network = relu_network(widths);
  const std::shared_ptr<const Graph> graph = row_graph(network);
  for (Index bytes : {4, 80'000, 400'000}) {
    const auto executor = make_graph_executor(*backend, graph, bytes);
    for (Index rows : {7, 75, 300}) {
      INFO(bytes, " bytes, ", rows, " rows");
      const Problem problem(*network, rows, 5, true, 91);
      std::vector<std::vector<double>> truth;
      float64_truth(problem, widths, 2.5f, truth);
      const Result result = learn(*backend, *executor, problem, 2.5f);
      check_close(result.prediction, truth[0], truth[1], 2e-5);
      check_close(result.innovation, truth[2], truth[3], 2e-5);
      check_close(result.input_delta, truth[4], truth[5], 2e-5);
      check_same(learn(*backend, *executor, problem, 2.5f, false).innovation, result.innovation);

      // The update takes the same way.
      Moments parameters(*backend), separate(*backend);
      const auto count = static_cast<Index>(problem.parameters.mean.size());
      const MomentsView theta = to_device(*backend, parameters, 1, count, problem.parameters);
      CHECK(update(*backend, *executor, {}, rows, theta) == Failure::none);
      const auto by_graph = graph_executor(*backend, network);
      learn(*backend, *by_graph, problem, 2.5f);
      const MomentsView other = to_device(*backend, separate, 1, count, problem.parameters);
      CHECK(update(*backend, *by_graph, {}, rows, other) == Failure::none);
      const HostPair expected = to_host(*backend, other);
      check_close(to_host(*backend, theta), doubles(expected.mean), doubles(expected.var), 2e-5);
    }
  }
}

TEST_CASE("two runs give the same bits") {
  if (!cuda_is_there()) return;
  const std::shared_ptr<Backend> backend = cuda_backend();
  const LayerPointer network = relu_network({7, 64, 64, 2});
  const Problem problem(*network, 700, 7, false, 12);
  const Result first = learn(*backend, *fuse(*backend, network), problem, 2);
  const Result second = learn(*backend, *fuse(*backend, network), problem, 2);
  check_same(first.prediction, second.prediction);
  check_same(first.innovation, second.innovation);
  check_same(first.input_delta, second.input_delta);
}
