#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "conformance/suite.h"
#include "core/executor.h"
#include "core/memory.h"
#include "executor_problem.h"

using namespace tagix;
using namespace tagix::test;

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
