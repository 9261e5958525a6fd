#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include "conformance/suite.h"
#include "cpu/cpu_backend.h"
#include "cpu/instruction_set.h"
#include "executor_targets.h"
#include "graph_problem.h"
#include "thread_count.h"

using namespace tagix;
using namespace tagix::test;

// Networks with functions of the user's own.

namespace {

struct Tanh final : ScalarFunction {
  void evaluate(const float* points, Index count, float* values,
                float* derivatives) const override {
    for (Index i = 0; i < count; ++i) {
      values[i] = std::tanh(points[i]);
      derivatives[i] = 1 / (std::cosh(points[i]) * std::cosh(points[i]));
    }
  }
};

/// tanh to first order.
ScalarMoments tanh_truth(double mean, double var) {
  const double slope = 1 / (std::cosh(mean) * std::cosh(mean));
  return {std::tanh(mean), var * slope * slope, slope};
}

/// z + z^3 / 32, whose slope is nowhere 0.
struct Rising final : ScalarFunction {
  void evaluate(const float* points, Index count, float* values,
                float* derivatives) const override {
    for (Index i = 0; i < count; ++i) {
      values[i] = points[i] + points[i] * points[i] * points[i] / 32;
      derivatives[i] = 1 + 3 * points[i] * points[i] / 32;
    }
  }
};

/// Its moments by the expectations of its derivatives: Var f = sum of var^k (E f^(k))^2 / k!.
ScalarMoments rising_truth(double mean, double var) {
  constexpr double c = 1.0 / 32;
  const double first = 1 + 3 * c * (mean * mean + var), second = 6 * c * mean, third = 6 * c;
  return {mean + c * (mean * mean * mean + 3 * mean * var),
          var * (first * first + var * (second * second / 2 + var * third * third / 6)), first};
}

/// One after the other.
ActivationTruth joined(const ActivationTruth& below, const ActivationTruth& above) {
  return [below, above](double mean, double var) -> ScalarMoments {
    const ScalarMoments inner = below(mean, var), outer = above(inner.mean, inner.var);
    return {outer.mean, outer.var, inner.jacobian * outer.jacobian};
  };
}

/// An activation as a layer and in float64.
struct Tested {
  LayerPointer layer;
  ActivationTruth truth;
};

Tested own_tanh() {
  return {std::make_shared<FunctionActivation>(std::make_shared<Tanh>(), MomentsForm::first_order),
          tanh_truth};
}
Tested own_rising() {
  return {std::make_shared<FunctionActivation>(std::make_shared<Rising>(), MomentsForm::exact),
          rising_truth};
}
Tested first_order_tanh() {
  return {activation(ActivationKind::tanh, MomentsForm::first_order), tanh_truth};
}
Tested relu() { return {activation(ActivationKind::relu), relu_truth}; }

/// Linear layers of these widths, every second one without bias, and what is in front of the first
/// one, between them and behind the last one.
struct Chain {
  std::vector<Index> widths;
  std::vector<std::vector<Tested>> activations;

  LayerPointer network() const {
    std::vector<LayerPointer> layers;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      if (i > 0) layers.push_back(linear(widths[i - 1], widths[i], i % 2 == 1));
      for (const Tested& each : activations[i]) layers.push_back(each.layer);
    }
    return sequential(layers);
  }

  /// As test::float64_truth, of this network.
  std::vector<std::vector<double>> truth(const Problem& problem, float spread) const {
    Float64Network network = float64_network(problem, widths);
    // In front of the network an identity, whose parameters are known.
    const auto in = static_cast<std::size_t>(widths.front());
    Gaussians identity(in, in);
    for (std::size_t i = 0; i < in; ++i) identity.mean[i * in + i] = 1;
    network.layers.insert(network.layers.begin(), {identity, Gaussians(1, 0)});
    for (std::size_t i = 0; i < activations.size(); ++i) {
      ActivationTruth all = identity_truth;
      for (const Tested& each : activations[i]) all = joined(all, each.truth);
      network.layers[i].activation = all;
    }
    std::vector<std::vector<double>> truth;
    float64_truth(problem, network, spread, truth);
    truth[2].erase(truth[2].begin(), truth[2].begin() + static_cast<std::ptrdiff_t>(in * in));
    truth[3].erase(truth[3].begin(), truth[3].begin() + static_cast<std::ptrdiff_t>(in * in));
    return truth;
  }
};

std::vector<Chain> chains() {
  return {
      {{3, 9, 2}, {{}, {own_rising()}, {}}},
      {{3, 64, 64, 64, 2}, {{}, {relu()}, {own_tanh()}, {relu()}, {}}},
      {{5, 17, 2}, {{own_tanh()}, {relu()}, {}}},
      {{4, 16, 3}, {{}, {relu()}, {own_rising()}}},
      {{6, 20, 33, 1}, {{own_rising(), own_tanh()}, {own_tanh(), own_rising()}, {relu()}, {}}},
      {{2, 70, 31, 2},
       {{first_order_tanh(), own_tanh()},
        {own_rising(), first_order_tanh()},
        {own_tanh()},
        {own_tanh()}}},
  };
}

/// Counts its calls and the points that it is given; throws in one of them if asked to.
struct Counted final : ScalarFunction {
  mutable Index calls = 0, points = 0;
  mutable std::optional<Index> failing_call;

  void evaluate(const float* at, Index count, float* values, float* derivatives) const override {
    points += count;
    if (calls++ == failing_call) throw std::runtime_error("from the function");
    std::copy_n(at, count, values);
    std::fill_n(derivatives, count, 1.0f);
  }
};

/// A network with two functions that count.
struct CountedNetwork {
  std::shared_ptr<Counted> first = std::make_shared<Counted>(),
                           second = std::make_shared<Counted>();
  LayerPointer network = sequential({linear(3, 7), activation(ActivationKind::relu), own(first),
                                     linear(7, 8), own(second), linear(8, 2)});

  static LayerPointer own(const std::shared_ptr<Counted>& function) {
    return std::make_shared<FunctionActivation>(function, MomentsForm::first_order);
  }
};

}  // namespace

TEST_CASE("networks with functions of the user's own are within float32 of float64") {
  unsigned seed = 1;
  for (const Chain& chain : chains()) {
    const LayerPointer network = chain.network();
    for (Index rows : {5, 9, 63, 64, 65, 1101}) {
      const Problem problem(*network, rows, chain.widths.front(), rows % 2 == 0, seed += 20);
      const std::vector<std::vector<double>> truth = chain.truth(problem, 1.5f);
      for (const std::shared_ptr<Backend>& backend : conformance::float32_backends()) {
        INFO(backend->name(), ", widths from ", chain.widths.front(), ", ", rows, " rows");
        const auto executor = fuse(*backend, network);
        CHECK(executor->calls_the_host());
        const Result got = learn(*backend, *executor, problem, 1.5f);
        check_close(got.prediction, truth[0], truth[1], 2e-5);
        check_close(got.innovation, truth[2], truth[3], 2e-5);
        check_close(got.input_delta, truth[4], truth[5], 2e-5);
        check_same(learn(*backend, *executor, problem, 1.5f, false).innovation, got.innovation);
        check_same(predict(*backend, *executor, problem), got.prediction);
      }
    }
  }
}

TEST_CASE("with functions of the user's own, too, reduced precision is close to float64") {
  unsigned seed = 9000;
  for (const conformance::CpuVariant& variant : conformance::cpu_variants()) {
    if (variant.precision == Precision::float32) continue;
    const std::unique_ptr<Backend> backend = variant.make();
    const double tolerance = variant.precision == Precision::mixed ? 4e-3 : 1e-2;
    const Chain chain{{3, 64, 64, 64, 2}, {{}, {relu()}, {own_tanh()}, {relu()}, {}}};
    const LayerPointer network = chain.network();
    const auto executor = fuse(*backend, network);
    for (Index rows : {9, 63, 64, 65, 1101}) {
      INFO(backend->name(), ", ", rows, " rows");
      const Problem problem(*network, rows, 3, rows % 2 == 0, seed += 20);
      const std::vector<std::vector<double>> truth = chain.truth(problem, 1.5f);
      const Result got = learn(*backend, *executor, problem, 1.5f);
      CHECK(norm_error(got.prediction.mean, truth[0]) <= tolerance);
      CHECK(norm_error(got.prediction.var, truth[1]) <= tolerance);
      CHECK(norm_error(got.innovation.mean, truth[2]) <= tolerance);
      CHECK(norm_error(got.innovation.var, truth[3]) <= tolerance);
      CHECK(norm_error(got.input_delta.mean, truth[4]) <= tolerance);
      CHECK(norm_error(got.input_delta.var, truth[5]) <= tolerance);
    }
  }
}

TEST_CASE("functions of the user's own leave the same bits on any number of threads") {
  const ThreadCount restored;
  const std::unique_ptr<Backend> backend =
      cpu::make_backend(cpu::supported_instruction_sets().front());
  for (const Chain& chain : chains()) {
    const LayerPointer network = chain.network();
    const auto executor = fuse(*backend, network);
    for (Index rows : {65, 1101, 4097}) {
      INFO("widths from ", chain.widths.front(), ", ", rows, " rows");
      const Problem problem(*network, rows, chain.widths.front(), false, 78);
      cpu::set_thread_count(1);
      const Result serial = learn(*backend, *executor, problem, 3);
      for (int n_threads : {2, 5}) {
        cpu::set_thread_count(n_threads);
        check_same(learn(*backend, *executor, problem, 3), serial);
        check_same(predict(*backend, *executor, problem), serial.prediction);
      }
    }
  }
}

TEST_CASE("large batches go through functions of the user's own in pieces of 2048 rows") {
  const Chain chain{{3, 10, 8, 2}, {{}, {own_tanh()}, {own_rising()}, {}}};
  const LayerPointer network = chain.network();
  for (const std::shared_ptr<Backend>& backend : conformance::devices()) {
    const auto executor = fuse(*backend, network);
    for (Index rows : {2048, 2049, 5000}) {
      INFO(backend->name(), ", ", rows, " rows");
      const Problem problem(*network, rows, 3, true, 17);
      const std::vector<std::vector<double>> truth = chain.truth(problem, 2);
      const Result got = learn(*backend, *executor, problem, 2);
      check_close(got.prediction, truth[0], truth[1], 2e-5);
      check_close(got.innovation, truth[2], truth[3], 2e-5);
      check_close(got.input_delta, truth[4], truth[5], 2e-5);
    }
  }
}

TEST_CASE("a function is called once for a batch, on its values and nothing else") {
  const CountedNetwork counted;
  const std::shared_ptr<Backend> backend = cpu_backend();
  const auto executor = fuse(*backend, counted.network);
  const auto calls_are = [&](Index calls, Index points) {
    for (const auto& [function, features] : {std::pair{counted.first, 7}, {counted.second, 8}}) {
      CHECK(function->calls == calls);
      CHECK(function->points == points * features);
      function->calls = function->points = 0;
    }
  };
  for (Index rows : {9, 64, 300, 1101}) {
    INFO(rows, " rows");
    const Problem problem(*counted.network, rows, 3, true, 4);
    learn(*backend, *executor, problem, 1);
    calls_are(1, rows);
    predict(*backend, *executor, problem);
    calls_are(1, rows);
    const Problem known(*counted.network, rows, 3, /*uncertain=*/false, 4);
    predict_means(*backend, *executor, known);
    calls_are(1, rows);
  }
}

TEST_CASE("what a function throws passes through, and the executor works on as if nothing were") {
  for (const std::shared_ptr<Backend>& backend : conformance::devices()) {
    const CountedNetwork counted, other;
    const auto executor = fuse(*backend, counted.network);
    const auto untouched = fuse(*backend, other.network);
    for (Index rows : {5, 300, 3000}) {
      INFO(backend->name(), ", ", rows, " rows");
      const Problem problem(*counted.network, rows, 3, true, 4);
      const Index last_call = rows > 2048 ? 1 : 0;  // that of the second piece
      for (const auto& function : {counted.first, counted.second}) {
        function->calls = 0;
        function->failing_call = last_call;
        CHECK_THROWS_WITH(learn(*backend, *executor, problem, 1), "from the function");
        function->calls = 0;
        CHECK_THROWS_WITH(predict(*backend, *executor, problem), "from the function");
        function->failing_call.reset();
      }
      check_same(learn(*backend, *executor, problem, 1), learn(*backend, *untouched, problem, 1));
    }
  }
}

TEST_CASE("Jacobians, covariances and means alone are those of the graph executor") {
  unsigned seed = 40;
  for (const std::shared_ptr<Backend>& backend : conformance::devices()) {
    for (const Chain& chain : chains()) {
      const LayerPointer network = chain.network();
      const auto executor = fuse(*backend, network);
      const auto by_graph = graph_executor(*backend, network);
      for (Index rows : {5, 100}) {
        INFO(backend->name(), ", widths from ", chain.widths.front(), ", ", rows, " rows");
        const Problem problem(*network, rows, chain.widths.front(), true, seed += 20);
        const Linearization wanted{1, chain.widths.front(), Covariances::all};
        const HostLinearized got = linearize(*backend, *executor, problem, wanted);
        const HostLinearized expected = linearize(*backend, *by_graph, problem, wanted);
        check_same(got.prediction, predict(*backend, *executor, problem));
        CHECK(same_bits(got.jacobian, expected.jacobian));
        CHECK(same_bits(got.covariance, expected.covariance));
        const Problem known(*network, rows, chain.widths.front(), false, seed);
        check_same(predict_means(*backend, *executor, known),
                   predict_means(*backend, *by_graph, known));
      }
    }
  }
}

TEST_CASE("training by batches whose last one is small updates as batch by batch in float64") {
  const Chain chain{{3, 12, 2}, {{}, {own_tanh()}, {}}};
  const LayerPointer network = chain.network();
  const std::shared_ptr<Backend> backend = cpu_backend();
  const auto executor = fuse(*backend, network);
  const Problem problem(*network, 3 * 70 + 5, 3, false, 8);
  Float64Network truth = float64_network(problem, chain.widths);
  truth.layers[0].activation = tanh_truth;
  const TrainedRows got(*backend, *executor, problem, problem.target, {}, 70);
  CHECK(got.state.failure == Failure::none);
  const Gaussians expected = trained_in_float64(problem, truth, 70);
  check_close(got.parameters, expected.mean, expected.var, 2e-5);
}
