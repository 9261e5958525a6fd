#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "conformance/suite.h"
#include "core/executor.h"
#include "core/memory.h"
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

TEST_CASE("a network that cannot be fused runs all the same") {
  // A function of the host, which no executor fuses, that is also one of those that they do.
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
    CHECK(!as_chain(*row_graph(with_function)));

    const LayerPointer with_kind = sequential(
        {linear(3, 4), activation(ActivationKind::tanh, MomentsForm::first_order), linear(4, 1)});
    for (Index rows : {3, 30}) {
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

namespace {

/// |got - truth| / |truth| in the Euclidean norm.
double norm_error(const std::vector<float>& got, const std::vector<double>& truth) {
  REQUIRE(got.size() == truth.size());
  double error = 0, size = 0;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    error += (got[i] - truth[i]) * (got[i] - truth[i]);
    size += truth[i] * truth[i];
  }
  return std::sqrt(error / size);
}

}  // namespace

TEST_CASE(
    "reduced precision is close to float64: innovations of whole tiles within 1e-3 if mixed") {
  unsigned seed = 5000;
  for (const conformance::CpuVariant& variant : conformance::cpu_variants()) {
    if (variant.precision == Precision::float32) continue;
    const std::unique_ptr<Backend> backend = variant.make();
    // One rounding is up to 2^-8 = 4e-3; sums over samples average them.
    const bool mixed = variant.precision == Precision::mixed;
    const double tolerance = mixed ? 4e-3 : 1e-2;
    for (const std::vector<Index>& widths :
         {std::vector<Index>{3, 64, 64, 64, 64, 2}, {5, 65, 67, 3}, {33, 100, 1}}) {
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
          CHECK(norm_error(result.prediction.mean, truth[0]) <= tolerance);
          CHECK(norm_error(result.prediction.var, truth[1]) <= tolerance);
          const double innovation_tolerance = mixed && rows >= 63 ? 1e-3 : tolerance;
          CHECK(norm_error(result.innovation.mean, truth[2]) <= innovation_tolerance);
          CHECK(norm_error(result.innovation.var, truth[3]) <= innovation_tolerance);
          CHECK(norm_error(result.input_delta.mean, truth[4]) <= tolerance);
          CHECK(norm_error(result.input_delta.var, truth[5]) <= tolerance);
        }
      }
    }
  }
}

TEST_CASE("executors update parameters by both rules as float64 does, on every backend") {
  const std::vector<UpdateRule> rules{{},
                                      {UpdateRule::Kind::information, 0.01, 1e-3},
                                      {UpdateRule::Kind::capped, 0.01, 0, 0},
                                      {UpdateRule::Kind::capped, 0.01, 0, 50}};
  unsigned seed = 7000;
  for (const std::shared_ptr<Backend>& backend : conformance::float32_backends()) {
    for (const std::vector<Index>& widths : {std::vector<Index>{3, 64, 32, 2}, {16, 17, 1}}) {
      const LayerPointer network = relu_network(widths);
      const auto by_graph = graph_executor(*backend, network);
      const auto fused = fuse(*backend, network);
      for (Index rows : {1, 2, 8, 9, 130}) {
        const Problem problem(*network, rows, widths.front(), false, seed += 20);
        for (const UpdateRule& rule : rules) {
          std::vector<std::vector<double>> truth;
          float64_truth(problem, widths, rule.spread(rows), truth);
          std::vector<double> mean, var;
          for (std::size_t i = 0; i < truth[2].size(); ++i) {
            const double m = problem.parameters.mean[i], v = problem.parameters.var[i];
            const double delta_mean = truth[2][i], delta_var = truth[3][i];
            if (rule.kind == UpdateRule::Kind::information) {
              const double posterior = v / (1 - v * delta_var), bound = rule.clip * std::sqrt(v);
              var.push_back(posterior);
              mean.push_back(m + std::clamp(posterior * delta_mean, -bound, bound));
            } else {
              const double bound = std::sqrt(v) / static_cast<double>(rule.cap_for(rows));
              const double posterior = v + std::clamp(v * v * delta_var, -bound, bound);
              var.push_back(posterior > 0 ? posterior : 1e-5);
              mean.push_back(m + std::clamp(v * delta_mean, -bound, bound));
            }
          }
          for (Executor* executor : {by_graph.get(), fused.get()}) {
            INFO(backend->name(), ", ", rows, " rows, widths from ", widths.front(), ", ",
                 executor == fused.get() ? "fused" : "by graph");
            learn(*backend, *executor, problem, rule.spread(rows), false);
            Moments parameters(*backend);
            const MomentsView theta = to_device(
                *backend, parameters, 1, static_cast<Index>(mean.size()), problem.parameters);
            REQUIRE(update(*backend, *executor, rule, rows, theta) == Failure::none);
            // The capped rule takes a difference of variances, which magnifies their errors.
            const bool information = rule.kind == UpdateRule::Kind::information;
            check_close(to_host(*backend, theta), mean, var, information ? 2e-5 : 2e-4);
          }
        }
      }
    }
  }
}

namespace {

std::vector<float> weights_of(Index rows, unsigned seed) {
  return uniform_floats(static_cast<std::size_t>(rows), 0, 5, seed);
}

}  // namespace

TEST_CASE("a noise head is observed by the fused executor as by the graph executor") {
  unsigned seed = 9000;
  for (const std::shared_ptr<Backend>& backend : conformance::float32_backends()) {
    for (const std::vector<Index>& widths : {std::vector<Index>{3, 64, 32, 4}, {16, 17, 2}}) {
      const LayerPointer network = relu_network(widths);
      const auto by_graph = graph_executor(*backend, network);
      const auto fused = fuse(*backend, network);
      for (Index rows : {1, 8, 9, 130, 2500}) {
        const Problem problem(*network, rows, widths.front(), false, seed += 20);
        for (auto link : {math::NoiseLink::exp, math::NoiseLink::softplus}) {
          INFO(backend->name(), ", ", rows, " rows, widths from ", widths.front(), ", link ",
               static_cast<int>(link));
          const auto result_of = [&](Executor& executor) {
            Moments parameters(*backend), input(*backend);
            Buffer<float> target(*backend);
            target.assign(problem.target);  // more than there are targets
            NoiseView noise{nullptr, 0, 0, {link, rows % 2 == 0, rows % 2 == 0 ? 0.25f : 0}};
            Buffer<float> weight(*backend);
            weight.assign(weights_of(rows, seed));
            if (rows > 8) noise.weight = weight.data();
            const Learned learned = executor.learn(
                to_device(*backend, parameters, 1,
                          static_cast<Index>(problem.parameters.mean.size()), problem.parameters),
                to_device(*backend, input, rows, problem.in_features, problem.input),
                {target.data(), noise, 3.5f}, true);
            return Result{to_host(*backend, learned.prediction),
                          to_host(*backend, executor.innovation()),
                          to_host(*backend, learned.input_delta)};
          };
          const Result got = result_of(*fused), expected = result_of(*by_graph);
          const auto means_close = [](const HostPair& a, const HostPair& b) {
            check_close({a.mean, b.var}, doubles(b.mean), doubles(b.var), 2e-5);
            // AGVI's own delta_var has both signs.
            check_close({a.var, b.var}, doubles(b.var), doubles(b.var), 2e-5);
          };
          means_close(got.prediction, expected.prediction);
          means_close(got.innovation, expected.innovation);
          means_close(got.input_delta, expected.input_delta);
        }
      }
    }
  }
}

namespace {

/// Labels of rows, of which every seventh is missing.
std::vector<float> labels(Index rows, Index n_classes, unsigned seed) {
  std::vector<float> labels =
      uniform_floats(static_cast<std::size_t>(rows), 0, static_cast<double>(n_classes), seed);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    labels[i] = i % 7 == 0 ? missing : std::floor(labels[i]);
  }
  return labels;
}

constexpr math::ClassHead tree_of_ten{math::ClassLink::tree, 10, 0};
constexpr math::ClassHead remax_of_two{math::ClassLink::remax, 2, 0.01f};
constexpr math::ClassHead softmax_of_two{math::ClassLink::softmax, 2, 0};

/// The parameters and the record after Executor::train on rows, in batches.
struct TrainedRows {
  HostPair parameters;
  TrainingState state;

  TrainedRows(Backend& backend, Executor& executor, const Problem& problem,
              const std::vector<float>& targets, const math::ClassHead& head, Index batch_size,
              const UpdateRule& rule = {}) {
    Moments theta(backend), input(backend);
    Buffer<float> target(backend), noise_var(backend);
    Buffer<TrainingState> states(backend);
    states.assign(state);
    target.assign(targets);
    noise_var.assign(problem.noise_var);
    NoiseView noise{noise_var.data(), problem.out_features, 1};
    if (head.exists()) noise = {nullptr, 0, 0, {}, head};
    Buffer<float> weight(backend);
    weight.assign(weights_of(problem.rows, 7));
    if (problem.rows > 100 && head.exists()) {
      noise.weight = weight.data();
      noise.mean_weight = 2.5;
    }
    const MomentsView view = to_device(
        backend, theta, 1, static_cast<Index>(problem.parameters.mean.size()), problem.parameters);
    const TrainingRows rows{
        to_device(backend, input, problem.rows, problem.in_features, problem.input), target.data(),
        noise};
    executor.train(rule, rows, batch_size, view, states.data());
    state = states.first();
    parameters = to_host(backend, view);
  }
};

}  // namespace

TEST_CASE("classes are observed by the fused executor as by the graph executor") {
  unsigned seed = 11000;
  for (const std::shared_ptr<Backend>& backend : conformance::float32_backends()) {
    for (const math::ClassHead& head : {tree_of_ten, remax_of_two, softmax_of_two}) {
      const bool is_tree = head.link == math::ClassLink::tree;
      const LayerPointer network =
          is_tree ? relu_network({3, 64, 32, 9}) : relu_network({16, 17, 2});
      const Index in = *network->input_features();
      const auto by_graph = graph_executor(*backend, network);
      const auto fused = fuse(*backend, network);
      for (Index rows : {1, 8, 9, 130, 2500}) {
        INFO(backend->name(), ", ", rows, " rows, ", head.n_classes, " classes");
        const Problem problem(*network, rows, in, rows % 2 == 0, seed += 20);
        const std::vector<float> target_labels = labels(rows, head.n_classes, seed);
        const auto result_of = [&](Executor& executor) {
          Moments parameters(*backend), input(*backend);
          Buffer<float> target(*backend);
          target.assign(target_labels);
          NoiseView noise{nullptr, 0, 0, {}, head};
          Buffer<float> weight(*backend);
          weight.assign(weights_of(rows, seed));
          if (rows > 8) noise.weight = weight.data();
          const Learned learned = executor.learn(
              to_device(*backend, parameters, 1, static_cast<Index>(problem.parameters.mean.size()),
                        problem.parameters),
              to_device(*backend, input, rows, in, problem.input), {target.data(), noise, 3.5f},
              true);
          return Result{to_host(*backend, learned.prediction),
                        to_host(*backend, executor.innovation()),
                        to_host(*backend, learned.input_delta)};
        };
        const Result got = result_of(*fused), expected = result_of(*by_graph);
        // Shares are observed with little noise, which magnifies the rounding of the outputs.
        const double tolerance = is_tree ? 2e-5 : 1e-4;
        const auto same = [tolerance](const HostPair& a, const HostPair& b) {
          check_close(a, doubles(b.mean), doubles(b.var), tolerance);
        };
        same(got.prediction, expected.prediction);
        same(got.innovation, expected.innovation);
        same(got.input_delta, expected.input_delta);
        const float largest =
            *std::max_element(got.innovation.mean.begin(), got.innovation.mean.end());
        CHECK((largest > 0) == (rows > 1));  // the label of the first row is missing
      }
    }
  }
}

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
      Float64Network truth = float64_network(problem, widths);
      for (Index first = 0; first < rows; first += batch_size) {
        const Index count = std::min(batch_size, rows - first);
        const auto part = [&](const std::vector<float>& values, Index cols) {
          const auto begin = values.begin() + first * cols;
          return std::vector<double>(begin, begin + count * cols);
        };
        Gaussians input(static_cast<std::size_t>(count), 5);
        input.mean = part(problem.input.mean, 5);
        input.var = part(problem.input.var, 5);
        truth.update(input, part(problem.target, 3), part(problem.noise_var, 3), UpdateRule{});
      }
      std::vector<double> mean, var;
      for (const Float64Layer& layer : truth.layers) {
        for (const Gaussians* values : {&layer.weight, &layer.bias}) {
          mean.insert(mean.end(), values->mean.begin(), values->mean.end());
          var.insert(var.end(), values->var.begin(), values->var.end());
        }
      }
      for (Executor* executor : {by_graph.get(), fused.get()}) {
        INFO(backend->name(), ", ", rows, " rows in batches of ", batch_size, ", ",
             executor == fused.get() ? "fused" : "by graph");
        const TrainedRows got(*backend, *executor, problem, problem.target, {}, batch_size);
        check_close(got.parameters, mean, var, 1e-4);
      }
    }
  }
}

TEST_CASE("an update whose innovations overflow changes nothing") {
  for (const std::shared_ptr<Backend>& backend : conformance::devices()) {
    INFO(backend->name());
    const LayerPointer network = relu_network({3, 32, 1});
    const auto by_graph = graph_executor(*backend, network);
    const auto fused = fuse(*backend, network);
    for (Index rows : {1, 8, 9, 200}) {
      for (float huge : {3e38f, 1e25f}) {
        Problem problem(*network, rows, 3, false, 11);
        problem.target.back() = huge;
        problem.noise_var.back() = 1e-15f;
        for (Executor* executor : {by_graph.get(), fused.get()}) {
          INFO(rows, " rows, target ", huge);
          learn(*backend, *executor, problem, 1, false);
          Moments parameters(*backend);
          const MomentsView theta =
              to_device(*backend, parameters, 1, static_cast<Index>(problem.parameters.mean.size()),
                        problem.parameters);
          const bool finite = huge < 1e30f;
          const Failure failure = update(*backend, *executor, {}, rows, theta);
          CHECK(failure == (finite ? Failure::none : Failure::innovation));
          if (!finite) check_same(to_host(*backend, theta), problem.parameters);
        }
      }
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
