#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include "conformance/suite.h"
#include "cpu/cpu_backend.h"
#include "cpu/instruction_set.h"
#include "cpu/threads.h"
#include "float64_covariance.h"
#include "graph_problem.h"
#include "models/model.h"
#include "thread_count.h"

using namespace tagix;
using namespace tagix::test;

namespace {

/// Jacobians by central differences of the float64 network, and covariances of the outputs in some
/// rows.
struct Truth {
  std::vector<double> jacobian, covariance;
  std::vector<std::size_t> covariance_rows;

  Truth(const Problem& problem, const std::vector<Index>& widths) {
    const Float64Network network = float64_network(problem, widths);
    Gaussians input(static_cast<std::size_t>(problem.rows),
                    static_cast<std::size_t>(problem.in_features));
    input.mean = doubles(problem.input.mean);
    if (!problem.input.var.empty()) input.var = doubles(problem.input.var);
    const auto outputs = static_cast<std::size_t>(widths.back());
    jacobian.resize(input.rows * outputs * input.cols);
    constexpr double h = 1e-5;
    for (std::size_t k = 0; k < input.cols; ++k) {
      const auto moved = [&](double by) {
        Gaussians shifted = input;
        for (std::size_t row = 0; row < input.rows; ++row) {
          shifted.mean[row * input.cols + k] += by;
        }
        return network.forward(shifted).output;
      };
      const Gaussians right = moved(h), left = moved(-h);
      for (std::size_t i = 0; i < right.mean.size(); ++i) {
        jacobian[i * input.cols + k] = (right.mean[i] - left.mean[i]) / (2 * h);
      }
    }
    for (std::size_t row = 0; row < input.rows; ++row) {
      if (row < 3 || row + 3 >= input.rows) covariance_rows.push_back(row);
    }
    covariance = Float64Covariance(network, rows_of(input, covariance_rows)).values();
  }

  /// The same rows of covariances of all.
  std::vector<float> chosen(const std::vector<float>& all, std::size_t each) const {
    std::vector<float> some;
    for (std::size_t row : covariance_rows) {
      const auto from = all.begin() + static_cast<std::ptrdiff_t>(row * each);
      some.insert(some.end(), from, from + static_cast<std::ptrdiff_t>(each));
    }
    return some;
  }
};

}  // namespace

TEST_CASE("Jacobians and covariances of both executors against float64, on every backend") {
  const std::vector<std::vector<Index>> all_widths{
      {1, 1}, {3, 64, 64, 2}, {5, 17, 3, 1}, {2, 128, 2}, {16, 4, 32, 8}};
  const std::vector<std::shared_ptr<Backend>> backends = conformance::float32_backends();
  unsigned seed = 1;
  for (const std::vector<Index>& widths : all_widths) {
    const LayerPointer network = relu_network(widths);
    for (Index rows : {1, 5, 63, 65, 200}) {
      const Problem problem(*network, rows, widths.front(), rows % 2 == 0, seed += 20);
      const Truth truth(problem, widths);
      const Linearization wanted{widths.back(), widths.front(), Covariances::all};
      for (const std::shared_ptr<Backend>& backend : backends) {
        const auto by_graph = graph_executor(*backend, network);
        const auto fused = fuse(*backend, network);
        for (Executor* executor : {by_graph.get(), fused.get()}) {
          INFO(backend->name(), ", widths from ", widths.front(), " in ", widths.size() - 1,
               " layers, ", rows, " rows, ",
               (executor == fused.get() ? std::string("fused") : std::string("by graph")));
          const HostLinearized got = linearize(*backend, *executor, problem, wanted);
          CHECK(largest_error(got.jacobian, truth.jacobian) < 2e-5);
          const auto each = static_cast<std::size_t>(widths.back() * widths.back());
          CHECK(largest_error(truth.chosen(got.covariance, each), truth.covariance) < 2e-5);
          check_same(got.prediction, predict(*backend, *executor, problem));
          const HostLinearized variances =
              linearize(*backend, *executor, problem, {widths.back(), 0, Covariances::variances});
          std::vector<float> diagonal;
          for (std::size_t i = 0; i < got.covariance.size(); ++i) {
            const auto n = static_cast<std::size_t>(widths.back());
            if (i % (n * n) % (n + 1) == 0) diagonal.push_back(got.covariance[i]);
          }
          CHECK(largest_error(variances.covariance, doubles(diagonal)) < 1e-6);
        }
      }
    }
  }
}

TEST_CASE("what working memory held before does not count") {
  for (const std::shared_ptr<Backend>& backend : conformance::backends()) {
    INFO(backend->name());
    const LayerPointer wide = relu_network({2, 300, 2}), network = relu_network({2, 128, 2});
    Problem unknown(*wide, 64, 2, true, 5);
    for (float& value : unknown.input.mean) value = std::nanf("");
    const Problem problem(*network, 64, 2, true, 6);
    const auto fused = fuse(*backend, network);
    for (Covariances covariances : {Covariances::variances, Covariances::all}) {
      linearize(*backend, *fuse(*backend, wide), unknown, {2, 2, covariances});
      const HostLinearized got = linearize(*backend, *fused, problem, {2, 2, covariances});
      for (const std::vector<float>* values : {&got.jacobian, &got.covariance}) {
        CHECK(std::all_of(values->begin(), values->end(),
                          [](float value) { return std::isfinite(value); }));
      }
    }
  }
}

TEST_CASE("a part of the outputs and of the directions, and pieces of many rows") {
  for (const std::shared_ptr<Backend>& backend : conformance::float32_backends()) {
    const LayerPointer network = relu_network({5, 20, 4});
    const Problem problem(*network, 3000, 5, false, 9);
    const auto by_graph = graph_executor(*backend, network);
    const auto fused = fuse(*backend, network);
    const HostLinearized all = linearize(*backend, *by_graph, problem, {4, 5, Covariances::all});
    for (Executor* executor : {by_graph.get(), fused.get()}) {
      INFO(backend->name());
      const HostLinearized part = linearize(*backend, *executor, problem, {2, 3, Covariances::all});
      std::vector<double> jacobian, covariance;
      for (std::size_t row = 0; row < 3000; ++row) {
        for (std::size_t i = 0; i < 2; ++i) {
          for (std::size_t k = 0; k < 3; ++k)
            jacobian.push_back(all.jacobian[(row * 4 + i) * 5 + k]);
          for (std::size_t j = 0; j < 2; ++j) {
            covariance.push_back(all.covariance[(row * 4 + i) * 4 + j]);
          }
        }
      }
      CHECK(largest_error(part.jacobian, jacobian) < 1e-5);
      CHECK(largest_error(part.covariance, covariance) < 1e-5);
      check_same(part.prediction, predict(*backend, *executor, problem));
      CHECK(linearize(*backend, *executor, problem, {4, 0, Covariances::all}).jacobian.empty());
      CHECK(linearize(*backend, *executor, problem, {4, 5, Covariances::none}).covariance.empty());
    }
  }
}

TEST_CASE(
    "every backend linearizes every activation and order of steps as the CPU does one operation "
    "after the other") {
  const std::vector<LayerPointer> networks{
      sequential({activation(ActivationKind::tanh), linear(6, 10), activation(ActivationKind::silu),
                  activation(ActivationKind::relu, MomentsForm::first_order), linear(10, 3),
                  activation(ActivationKind::softplus)}),
      sequential({linear(6, 20), linear(20, 5, false), activation(ActivationKind::sigmoid),
                  sequential({linear(5, 40), activation(ActivationKind::gelu)}), linear(40, 2)}),
      sequential({activation(ActivationKind::identity), activation(ActivationKind::leaky_relu),
                  linear(6, 18), activation(ActivationKind::exp, MomentsForm::exact)}),
      sequential({linear(6, 3)}),
  };
  const std::unique_ptr<Backend> cpu = cpu::make_backend(cpu::supported_instruction_sets().front());
  unsigned seed = 1000;
  for (const LayerPointer& network : networks) {
    const auto by_graph = graph_executor(*cpu, network);
    for (bool uncertain : {false, true}) {
      const Problem problem(*network, 150, 6, uncertain, seed += 20);
      const Index outputs = problem.out_features;
      const HostLinearized expected =
          linearize(*cpu, *by_graph, problem, {outputs, 6, Covariances::all});
      for (const std::shared_ptr<Backend>& backend : conformance::backends()) {
        INFO(backend->name(), ", uncertain input ", uncertain);
        const Precision precision = backend->precision();
        const HostLinearized got =
            linearize(*backend, *fuse(*backend, network), problem, {outputs, 6, Covariances::all});
        const auto check = [&got](const HostLinearized& truth, double tolerance) {
          CHECK(largest_error(got.jacobian, doubles(truth.jacobian)) < tolerance);
          CHECK(largest_error(got.covariance, doubles(truth.covariance)) < tolerance);
        };
        check(expected, precision == Precision::float32 ? 2e-5
                        : precision == Precision::mixed ? 5e-2
                                                        : 1e-1);
        if (!backend->reads_host_memory()) continue;  // a GPU works out Jacobians by graph itself
        const auto own = graph_executor(*backend, network);
        check(linearize(*backend, *own, problem, {outputs, 6, Covariances::all}),
              precision == Precision::float32 ? 2e-5 : 5e-2);
      }
    }
  }
}

TEST_CASE("Jacobians of a network without parameters, and its covariances") {
  for (const std::shared_ptr<Backend>& backend : conformance::devices()) {
    const LayerPointer network = sequential(
        {activation(ActivationKind::exp), sequential({activation(ActivationKind::identity)})});
    const auto executor = make_executor(*backend, row_graph(network, 2));
    const Problem problem(*network, 4, 2, true, 3);
    const HostLinearized got = linearize(*backend, *executor, problem, {2, 2, Covariances::all});
    for (std::size_t i = 0; i < 8; ++i) {
      const double m = problem.input.mean[i], v = problem.input.var[i], f = std::exp(m + v / 2);
      const std::size_t on = i / 2 * 4 + i % 2 * 3, off = i / 2 * 4 + 1 + i % 2;
      CHECK(got.jacobian[on] == doctest::Approx(f).epsilon(1e-5));
      CHECK(got.covariance[on] == doctest::Approx(f * f * std::expm1(v)).epsilon(1e-5));
      CHECK(got.jacobian[off] == 0);
      CHECK(got.covariance[off] == 0);
    }
  }
}

TEST_CASE("linearize gives the same bits on any number of threads") {
  const ThreadCount restored;
  const std::unique_ptr<Backend> backend =
      cpu::make_backend(cpu::supported_instruction_sets().front());
  const LayerPointer network = relu_network({7, 64, 64, 2});
  const auto fused = fuse(*backend, network);
  const Problem problem(*network, 1000, 7, false, 77);
  cpu::set_thread_count(1);
  const HostLinearized serial = linearize(*backend, *fused, problem, {2, 2, Covariances::all});
  for (int n_threads : {2, 3}) {
    cpu::set_thread_count(n_threads);
    const HostLinearized parallel = linearize(*backend, *fused, problem, {2, 2, Covariances::all});
    check_same(parallel.prediction, serial.prediction);
    CHECK(same_bits(parallel.jacobian, serial.jacobian));
    CHECK(same_bits(parallel.covariance, serial.covariance));
  }
}

TEST_CASE("draws of a model have the moments of its parameters") {
  for (const std::shared_ptr<Backend>& backend : conformance::devices()) {
    Model model(std::make_shared<Linear>(3, 2, true, Linear::Init::he, 1.0, 0.5), {}, 5, backend);
    const auto count = static_cast<std::size_t>(model.parameter_count());
    std::vector<float> mean(count), var(count), drawn(count), drawn_var(count);
    model.get_parameters(mean, var);
    std::vector<double> first(count), second(count);
    constexpr int n_draws = 4000;
    for (int draw = 0; draw < n_draws; ++draw) {
      model.draw(static_cast<std::uint64_t>(draw))->get_parameters(drawn, drawn_var);
      for (std::size_t i = 0; i < count; ++i) {
        const double number = (drawn[i] - double{mean[i]}) / std::sqrt(double{var[i]});
        first[i] += number;
        second[i] += number * number;
        CHECK(drawn_var[i] == 0);
      }
    }
    for (std::size_t i = 0; i < count; ++i) {
      CHECK(std::fabs(first[i] / n_draws) < 5 / std::sqrt(n_draws));
      CHECK(std::fabs(second[i] / n_draws - 1) < 5 * std::sqrt(2.0 / n_draws));
    }
  }
}
