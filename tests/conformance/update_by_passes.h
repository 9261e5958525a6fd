#pragma once

#include <algorithm>
#include <cmath>

#include "conformance/affine_innovations.h"

namespace tagix::conformance {

/// The update by what affine maps have learned, with the innovations G = delta_mean, H = -delta_var
/// of AffineInnovations and the rules of Update. Where an innovation overflows nothing changes, and
/// that is a failure.
struct UpdateByPasses final : Operation {
  UpdateRule rule;
  std::vector<HostPass> passes;
  HostGaussians parameters;
  bool overflows;

  UpdateByPasses(UpdateRule rule, std::vector<HostPass> maps, bool overflows = false)
      : rule(rule), passes(std::move(maps)), overflows(overflows) {
    const Index size = place(passes);
    parameters = RandomInputs(size).gaussians(1, size, 0.1);
    if (overflows) passes.back().delta.mean.front() = 3.4e38f;
    if (overflows) passes.back().input.mean.front() = 4;
  }

  std::string name() const override {
    const bool information = rule.kind == UpdateRule::Kind::information;
    return text("update_by_passes ", information ? "information" : "capped", ", ", passes.size(),
                " maps, ", batch_size(), " rows", overflows ? ", overflow" : "");
  }

  Cost cost() const override {
    Cost cost = AffineInnovations(passes).cost();
    cost.bytes += 4 * 6 * static_cast<double>(parameters.cols);
    return cost;
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    Backend& backend = arrays.backend();
    std::vector<AffinePass> views;
    for (const HostPass& pass : passes) views.push_back(pass.view(arrays));
    const MomentsView theta = arrays.in_place(parameters);
    Buffer<TrainingState>& state = arrays.values<TrainingState>({{}});
    std::vector<double>& returned = arrays.returned();
    float* const scratch =
        arrays
            .values(std::vector<float>(static_cast<std::size_t>(backend.innovation_scratch(views))))
            .data();
    return [=, this, &backend, &state, &returned] {
      backend.update_by_passes(rule, batch_size(), views, theta, state.data(), scratch);
      returned = {static_cast<double>(state.first().failure)};
    };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"mean", 64, {}, Expected::Terms::var_products}, var = mean;
    var.name = "var";
    const std::size_t size = parameters.mean.size();
    std::vector<Sum> g(size), h(size);
    for (const HostPass& pass : passes) pass.add_to(g, h);
    for (std::size_t i = 0; i < size; ++i) {
      const double prior_mean = parameters.mean[i], prior = parameters.var[i];
      const double sd = std::sqrt(prior), precision = -h[i].value;
      if (overflows || h[i].magnitude == 0) {
        mean.values.push_back(exactly(prior_mean));
        var.values.push_back(exactly(prior));
      } else if (rule.kind == UpdateRule::Kind::information) {
        const double posterior = prior / (1 + prior * precision), bound = rule.clip * sd;
        const double change = std::clamp(posterior * g[i].value, -bound, bound);
        mean.values.push_back({prior_mean + change, std::fabs(prior_mean) + std::fabs(change) +
                                                        posterior * g[i].magnitude});
        var.values.push_back(sum_of({posterior}));
      } else {
        const double bound = sd / rule.cap;
        const double change = std::clamp(prior * g[i].value, -bound, bound);
        mean.values.push_back(
            {prior_mean + change, std::fabs(prior_mean) + prior * g[i].magnitude});
        var.values.push_back(
            sum_of({prior, -std::clamp(prior * prior * precision, -bound, bound)}));
      }
    }
    const Failure failure = overflows ? Failure::innovation : Failure::none;
    return {mean, var, {"failure", 0, {exactly(static_cast<double>(failure))}}};
  }

  static Operations cases() {
    Operations cases;
    UpdateRule capped;
    capped.kind = UpdateRule::Kind::capped;
    capped.cap = 200;  // so that no variance falls to 0
    for (Index rows : {1, 9, 70, 300}) {
      std::vector<HostPass> passes{{{rows, 3, 66}, true, true},
                                   {{rows, 66, 64}, false, false},
                                   {{rows, 64, 2}, false, true}};
      for (const UpdateRule& rule : {UpdateRule{}, capped}) {
        cases.push_back(std::make_unique<UpdateByPasses>(rule, passes));
        cases.push_back(std::make_unique<UpdateByPasses>(rule, passes, /*overflows=*/true));
      }
      for (Index i = 0; i < 16; ++i) passes.push_back({{rows, 2 + i, 1 + i}, i % 2 == 0, i < 9});
      cases.push_back(std::make_unique<UpdateByPasses>(UpdateRule{}, passes));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<UpdateByPasses>(
        UpdateRule{},
        std::vector<HostPass>{{{2048, 3, 64}, true, true}, {{2048, 64, 64}, false, true}}));
    return cases;
  }

 private:
  Index batch_size() const { return passes[0].shape.rows; }
};

}  // namespace tagix::conformance
