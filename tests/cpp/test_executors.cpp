#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <vector>

#include "conformance/suite.h"
#include "core/executor.h"
#include "cpu/cpu_backend.h"
#include "cpu/instruction_set.h"
#include "cpu/threads.h"
#include "executor_problem.h"
#include "thread_count.h"

using namespace tagix;
using namespace tagix::test;

TEST_CASE("both executors are within float32 of float64, on every backend") {
  const std::vector<std::vector<Index>> all_widths{{1, 1},        {3, 64, 64, 2}, {5, 17, 3, 1},
                                                   {70, 33, 100}, {2, 128, 2},    {16, 4, 32, 8}};
  for (const std::shared_ptr<Backend>& backend : conformance::float32_backends()) {
    unsigned seed = 1;
    for (const std::vector<Index>& widths : all_widths) {
      const LayerPointer network = relu_network(widths);
      const auto by_graph = graph_executor(*backend, network);
      const auto fused = fuse(*backend, network);
      for (Index rows : {1, 2, 3, 4, 5, 63, 64, 65, 200, 1100}) {
        const Problem problem(*network, rows, widths.front(), rows % 2 == 0, seed += 20);
        std::vector<std::vector<double>> truth;
        const float spread = 1.5f;
        float64_truth(problem, widths, spread, truth);
        for (Executor* executor : {by_graph.get(), fused.get()}) {
          INFO(backend->name(), ", widths from ", widths.front(), " in ", widths.size() - 1,
               " layers, ", rows, " rows, ", executor == fused.get() ? "fused" : "by graph");
          const Result result = learn(*backend, *executor, problem, spread);
          check_close(result.prediction, truth[0], truth[1], 2e-5);
          check_close(result.innovation, truth[2], truth[3], 2e-5);
          check_close(result.input_delta, truth[4], truth[5], 2e-5);
        }
      }
    }
  }
}

TEST_CASE(
    "the fused executor runs every activation and order of steps as the graph executor does") {
  const std::vector<LayerPointer> networks{
      sequential({activation(ActivationKind::tanh), linear(6, 10), activation(ActivationKind::silu),
                  activation(ActivationKind::relu, MomentsForm::first_order), linear(10, 3),
                  activation(ActivationKind::softplus)}),
      sequential({linear(6, 20), linear(20, 5, false), activation(ActivationKind::sigmoid),
                  sequential({linear(5, 40), activation(ActivationKind::gelu)}), linear(40, 2)}),
      sequential({activation(ActivationKind::identity), activation(ActivationKind::leaky_relu),
                  linear(6, 18), activation(ActivationKind::exp, MomentsForm::exact)}),
  };
  for (const std::shared_ptr<Backend>& backend : conformance::float32_backends()) {
    unsigned seed = 1000;
    for (const LayerPointer& network : networks) {
      const auto by_graph = graph_executor(*backend, network);
      const auto fused = fuse(*backend, network);
      for (bool uncertain : {false, true}) {
        const Problem problem(*network, 150, 6, uncertain, seed += 20);
        const Result expected = learn(*backend, *by_graph, problem, 2);
        const Result got = learn(*backend, *fused, problem, 2);
        INFO(backend->name(), ", uncertain input ", uncertain);
        check_close(got.prediction, doubles(expected.prediction.mean),
                    doubles(expected.prediction.var), 2e-5);
        check_close(got.innovation, doubles(expected.innovation.mean),
                    doubles(expected.innovation.var), 2e-5);
        check_close(got.input_delta, doubles(expected.input_delta.mean),
                    doubles(expected.input_delta.var), 2e-5);
        check_same(learn(*backend, *fused, problem, 2, false).innovation, got.innovation);
      }
    }
  }
}

TEST_CASE("the fused executor gives the same bits on any number of threads") {
  const ThreadCount restored;
  const std::unique_ptr<Backend> backend =
      cpu::make_backend(cpu::supported_instruction_sets().front());
  const LayerPointer network = relu_network({7, 64, 64, 64, 2});
  const auto fused = fuse(*backend, network);
  for (Index rows : {256, 1000, 4097}) {
    const Problem problem(*network, rows, 7, false, 77);
    cpu::set_thread_count(1);
    const Result serial = learn(*backend, *fused, problem, 3);
    for (int n_threads : {2, 3, 5}) {
      cpu::set_thread_count(n_threads);
      const Result parallel = learn(*backend, *fused, problem, 3);
      check_same(parallel.prediction, serial.prediction);
      check_same(parallel.innovation, serial.innovation);
      check_same(parallel.input_delta, serial.input_delta);
    }
  }
}

TEST_CASE("an executor's views follow batches that grow and shrink") {
  for (const std::shared_ptr<Backend>& backend : conformance::devices()) {
    INFO(backend->name());
    const LayerPointer network = relu_network({3, 9, 2});
    const std::shared_ptr<const Graph> graph = row_graph(network);
    for (bool fused : {false, true}) {
      const auto make = [&] {
        return fused ? make_executor(*backend, graph) : make_graph_executor(*backend, graph);
      };
      const auto executor = make();
      for (Index rows : {4, 400, 3}) {
        const Problem problem(*network, rows, 3, false, 60);
        const Result used = learn(*backend, *executor, problem, 1);
        const Result fresh = learn(*backend, *make(), problem, 1);
        CHECK(used.prediction.mean.size() == static_cast<std::size_t>(rows * 2));
        check_same(used.prediction, fresh.prediction);
        check_same(used.innovation, fresh.innovation);
        check_same(used.input_delta, fresh.input_delta);
      }
    }
  }
}

TEST_CASE("a function of the host gives what the same function of the backend gives") {
  struct Tanh final : ScalarFunction {
    void evaluate(const float* points, Index count, float* values,
                  float* derivatives) const override {
      for (Index i = 0; i < count; ++i) {
        values[i] = std::tanh(points[i]);
        derivatives[i] = 1 - values[i] * values[i];
      }
    }
  };
  for (const std::shared_ptr<Backend>& backend : conformance::devices()) {
    const auto own =
        std::make_shared<FunctionActivation>(std::make_shared<Tanh>(), MomentsForm::first_order);
    const LayerPointer with_function = sequential({linear(3, 4), own, linear(4, 1)});
    CHECK(calls_the_host(steps_of(with_function)));

    const LayerPointer with_kind = sequential(
        {linear(3, 4), activation(ActivationKind::tanh, MomentsForm::first_order), linear(4, 1)});
    for (Index rows : {3, 30, 200}) {
      INFO(backend->name(), ", ", rows, " rows");
      const Problem problem(*with_function, rows, 3, true, 5);
      const Result got =
          learn(*backend, *make_executor(*backend, row_graph(with_function)), problem, 1);
      const Result expected = learn(*backend, *fuse(*backend, with_kind), problem, 1);
      check_close(got.prediction, doubles(expected.prediction.mean),
                  doubles(expected.prediction.var), 2e-5);
      check_close(got.innovation, doubles(expected.innovation.mean),
                  doubles(expected.innovation.var), 2e-5);
    }
  }
}

TEST_CASE("a network without parameters runs") {
  for (const std::shared_ptr<Backend>& backend : conformance::devices()) {
    INFO(backend->name());
    const LayerPointer network = sequential({activation(ActivationKind::identity)});
    const Problem problem(*network, 70, 5, true, 6);
    const Result got = learn(*backend, *fuse(*backend, network, 5), problem, 1);
    check_same(got.prediction, problem.input);
    CHECK(got.innovation.mean.empty());
    for (std::size_t i = 0; i < problem.target.size(); ++i) {
      const double total = problem.input.var[i] + problem.noise_var[i];
      const double var = std::isnan(problem.target[i]) ? 0 : -1 / total;
      CHECK(got.input_delta.var[i] == doctest::Approx(var).epsilon(1e-6));
    }
  }
}

TEST_CASE("networks too wide or too narrow for tiles are within float32 of float64, too") {
  unsigned seed = 3000;
  for (const std::vector<Index>& widths :
       {std::vector<Index>{9, 400, 400, 2}, std::vector<Index>{100'000, 1}}) {
    const double tolerance = widths.front() > 1000 ? 1e-4 : 2e-5;  // of sums of so many terms
    const LayerPointer network = relu_network(widths);
    for (Index rows : {1, 7, 33}) {
      const Problem problem(*network, rows, widths.front(), true, seed += 20);
      std::vector<std::vector<double>> truth;
      float64_truth(problem, widths, 1, truth);
      for (const std::shared_ptr<Backend>& backend : conformance::devices()) {
        INFO(backend->name(), ", ", widths.front(), " inputs, ", rows, " rows");
        const Result got = learn(*backend, *fuse(*backend, network), problem, 1);
        check_close(got.prediction, truth[0], truth[1], tolerance);
        check_close(got.innovation, truth[2], truth[3], tolerance);
        check_close(got.input_delta, truth[4], truth[5], tolerance);
      }
    }
  }
}

TEST_CASE(
    "reduced precision is close to float64: innovations of whole tiles within 1e-3 if mixed") {
  for (const conformance::CpuVariant& variant : conformance::cpu_variants()) {
    if (variant.precision == Precision::float32) continue;
    unsigned seed = 5000;  // every variant and every machine has the same problems
    const std::unique_ptr<Backend> backend = variant.make();
    const bool mixed = variant.precision == Precision::mixed;
    for (const std::vector<Index>& widths :
         {std::vector<Index>{3, 64, 64, 64, 64, 2}, {5, 65, 67, 3}, {33, 100, 1}}) {
      // One rounding is up to 2^-8 = 4e-3; sums over samples average them, and the squares of those
      // of each layer add up.
      const double tolerance = mixed ? 4e-3 : 5e-3 * std::sqrt(widths.size() - 1.0);
      const double var_tolerance = mixed ? 4e-3 : 5e-3;  // sums of terms of one sign
      double squares = 0;
      int n_errors = 0;
      const LayerPointer network = relu_network(widths);
      const auto by_graph = graph_executor(*backend, network);
      const auto fused = fuse(*backend, network);
      for (Index rows : {4, 9, 63, 64, 65, 300, 1101}) {
        const Problem problem(*network, rows, widths.front(), rows % 2 == 0, seed += 20);
        std::vector<std::vector<double>> truth;
        float64_truth(problem, widths, 1.5f, truth);
        for (Executor* executor : {by_graph.get(), fused.get()}) {
          INFO(backend->name(), ", widths from ", widths.front(), ", ", rows, " rows, ",
               executor == fused.get() ? "fused" : "by graph");
          const Result result = learn(*backend, *executor, problem, 1.5f);
          const bool sums_many = mixed && rows >= 63;
          const auto check_mean = [&](double error, double bound) {
            CHECK(error <= bound);
            squares += error * error;
            ++n_errors;
          };
          check_mean(norm_error(result.prediction.mean, truth[0]), tolerance);
          check_mean(norm_error(result.innovation.mean, truth[2]), sums_many ? 1e-3 : tolerance);
          check_mean(norm_error(result.input_delta.mean, truth[4]), tolerance);
          CHECK(norm_error(result.prediction.var, truth[1]) <= var_tolerance);
          CHECK(norm_error(result.innovation.var, truth[3]) <= (sums_many ? 1e-3 : var_tolerance));
          CHECK(norm_error(result.input_delta.var, truth[5]) <= var_tolerance);
        }
      }
      // One draw may be unlucky; all of them together are not.
      CHECK(std::sqrt(squares / n_errors) <= 0.6 * tolerance);
    }
  }
}

TEST_CASE("large batches go through the layers in pieces, with the results of float64") {
  const std::vector<Index> widths{5, 17, 3};
  for (const std::shared_ptr<Backend>& backend : conformance::devices()) {
    INFO(backend->name());
    const LayerPointer network = relu_network(widths);
    const auto by_graph = graph_executor(*backend, network);
    for (Index rows : {2049, 5000}) {
      for (bool uncertain : {false, true}) {
        INFO(rows, " rows, uncertain input ", uncertain);
        const Problem problem(*network, rows, 5, uncertain, 91);
        std::vector<std::vector<double>> truth;
        float64_truth(problem, widths, 2.5f, truth);
        const Result result = learn(*backend, *by_graph, problem, 2.5f);
        check_close(result.prediction, truth[0], truth[1], 2e-5);
        check_close(result.innovation, truth[2], truth[3], 2e-5);
        check_close(result.input_delta, truth[4], truth[5], 2e-5);
        check_same(learn(*backend, *by_graph, problem, 2.5f, false).innovation, result.innovation);
      }
    }
  }
}
