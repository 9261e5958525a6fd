#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "conformance/suite.h"
#include "core/executor.h"
#include "core/memory.h"
#include "executor_problem.h"
#include "executor_targets.h"

using namespace tagix;
using namespace tagix::test;

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
