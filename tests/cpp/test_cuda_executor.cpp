#include <doctest/doctest.h>

#include <tuple>

#include "core/cuda.h"
#include "cuda_is_there.h"
#include "graph_problem.h"
#include "layers/residual.h"
#include "models/regression_source.h"
#include "models/trainer.h"

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

namespace {

/// Blocks with a connection around them, one of which ends in a function of a user's own if asked.
LayerPointer residual_network(bool own_function) {
  LayerPointer last = linear(16, 16);
  if (own_function) {
    last = std::make_shared<FunctionActivation>(std::make_shared<Cubic>(), MomentsForm::exact);
  }
  const LayerPointer block = sequential({linear(16, 16), activation(ActivationKind::relu), last});
  return sequential({linear(3, 16), std::make_shared<Residual>(block),
                     activation(ActivationKind::tanh), std::make_shared<Residual>(linear(16, 16)),
                     linear(16, 2)});
}

}  // namespace

TEST_CASE("a network with residual connections is recorded") {
  if (!cuda_is_there()) return;
  const std::shared_ptr<Backend> backend = cuda_backend();
  const auto graph = graph_of(residual_network(false), {3});
  const Problem problem(*graph, 20, false, 31);
  const auto run = [&](bool recorded) {
    const auto executor = make_graph_executor(*backend, graph);
    CHECK_FALSE(executor->calls_the_host());
    DeviceProblem on_device(*backend, problem);
    Buffer<float> target(*backend), noise_var(*backend);
    target.assign(problem.target);
    noise_var.assign(problem.noise_var);
    Buffer<TrainingState> state(*backend);

    state.assign(TrainingState{});
    const TrainingRows rows{on_device.input, target.data(), {noise_var.data(), 2, 1}};
    Linearized linearized;
    const auto queue = [&] {
      executor->train({}, rows, 8, on_device.parameters, state.data());
      linearized =
          executor->linearize(on_device.parameters, on_device.input, {2, 3, Covariances::all});
    };
    queue();
    std::unique_ptr<Recording> recording;
    if (recorded) {
      const std::uint64_t moves = buffer_moves();
      recording = backend->record(queue);
      REQUIRE(recording != nullptr);
      CHECK(buffer_moves() == moves);
    }
    for (int i = 0; i < 3; ++i) recorded ? recording->queue() : queue();
    CHECK(state.first().failure == Failure::none);
    CHECK(state.first().position == 4 * 20);
    HostPair derivatives{array_to_host(*backend, linearized.jacobian, 20 * 2 * 3),
                         array_to_host(*backend, linearized.covariance, 20 * 2 * 2)};
    return std::tuple(to_host(*backend, on_device.parameters),
                      to_host(*backend, linearized.prediction), std::move(derivatives));
  };
  const auto [parameters, prediction, derivatives] = run(true);
  const auto [same_parameters, same_prediction, same_derivatives] = run(false);
  check_same(parameters, same_parameters);
  check_same(prediction, same_prediction);
  check_same(derivatives, same_derivatives);
  CHECK(!same_bits(parameters.mean, problem.parameters.mean));
}

TEST_CASE("a network with a function of a user's own is not recorded, and trains") {
  if (!cuda_is_there()) return;
  const std::shared_ptr<Backend> backend = cuda_backend();
  const LayerPointer network = residual_network(true);
  CHECK(make_graph_executor(*backend, row_graph(network))->calls_the_host());
  Model model(network, UpdateRule{}, 3, backend);
  const std::vector<float> x = uniform_floats(60, -1, 1, 5), y = uniform_floats(40, -1, 1, 6);
  RegressionSource source(*backend, x, y, 20, 3, 2);
  source.set_noise_var({0.1f});
  Trainer trainer(model, source, 4, true);
  for (int epoch = 0; epoch < 2; ++epoch) CHECK(trainer.run_epoch({}).n_rows == 20);
}
