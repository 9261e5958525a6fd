#pragma once

#include <algorithm>
#include <cmath>

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// The two update rules, with G = delta_mean and H = -delta_var summed over a batch:
///
///   information  var' = var / (1 + var H),  mean' = mean + clip(var' G, +- clip sqrt(var))
///   capped       var' = var + clip(-var^2 H, +- sqrt(var) / cap), 1e-5 where that is not positive
///   (and 0 where var is),
///                mean' = mean + clip(var G, +- sqrt(var) / cap)
///
/// A cap of 0 means .1, 2 and 3 for batches of 1, 2 .. 255 and more.
struct Update final : Operation {
  UpdateRule rule;
  Index batch_size;
  HostGaussians innovation, parameters;

  Update(UpdateRule rule, Index batch_size, Index size) : rule(rule), batch_size(batch_size) {
    RandomInputs random(size + 67 * batch_size);
    parameters = {1, size, random.uniforms(size, -1, 1), random.log_uniforms(size, 1e-8, 4)};
    innovation = {1, size, {}, {}};
    for (Index i = 0; i < size; ++i) {
      float& var = parameters.var[static_cast<std::size_t>(i)];
      const float sd = std::sqrt(var);
      // From no information to a thousand times the prior's; changes of the mean from well inside
      // every bound to far beyond.
      float mean_change = random.log_uniform(1e-3, 1e3) * (random.chance(0.5) ? 1.0f : -1.0f);
      float precision = random.log_uniform(1e-3, 1e3);
      if (i % 7 == 1) mean_change = precision = 0;
      if (i % 11 == 2) mean_change = std::copysign(1e30f, mean_change);
      // The posterior variance is then a normal number yet, which a backend may not flush to 0.
      if (i % 13 == 3) precision = 1e29f;
      if (i % 17 == 4) var = 0;
      innovation.mean.push_back(mean_change / sd);
      innovation.var.push_back(-precision / (sd * sd));
    }
  }

  std::string name() const override {
    const bool information = rule.kind == UpdateRule::Kind::information;
    return text("update ", information ? "information" : "capped", " of ", parameters.cols,
                ", batch ", batch_size, information ? ", clip " : ", cap ",
                information ? rule.clip : rule.cap);
  }

  Cost cost() const override {
    const double size = static_cast<double>(parameters.cols);
    return {10 * size, 4 * 6 * size};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView delta = arrays.input(innovation);
    const MomentsView theta = arrays.in_place(parameters);
    const TrainingState* state = arrays.values<TrainingState>({{}}).data();
    return [=, this, &backend = arrays.backend()] {
      backend.update(rule, batch_size, delta, theta, state);
    };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"mean", 4, {}}, var{"var", 4, {}};
    for (std::size_t i = 0; i < parameters.mean.size(); ++i) {
      const double prior = parameters.var[i], sd = std::sqrt(prior);
      const double delta_mean = innovation.mean[i], precision = -innovation.var[i];
      if (rule.kind == UpdateRule::Kind::information) {
        const double posterior = prior / (1 + prior * precision), bound = rule.clip * sd;
        mean.values.push_back(
            sum_of({parameters.mean[i], std::clamp(posterior * delta_mean, -bound, bound)}));
        var.values.push_back(sum_of({posterior}));
      } else {
        const double bound = sd / cap();
        mean.values.push_back(
            sum_of({parameters.mean[i], std::clamp(prior * delta_mean, -bound, bound)}));
        const Sum posterior =
            sum_of({prior, -std::clamp(prior * prior * precision, -bound, bound)});
        var.values.push_back(prior == 0            ? exactly(0)
                             : posterior.value > 0 ? posterior
                                                   : sum_of({1e-5}));
      }
    }
    return {mean, var};
  }

  static Operations cases() {
    Operations cases;
    for (const auto& [rows, cols] : elementwise_shapes()) {
      for (float clip : {1.0f / 3.0f, 2.0f}) {
        UpdateRule rule;
        rule.clip = clip;
        cases.push_back(std::make_unique<Update>(rule, 256, rows * cols));
      }
      for (Index batch_size : {1, 2, 255, 256, 2048}) {
        UpdateRule rule;
        rule.kind = UpdateRule::Kind::capped;
        cases.push_back(std::make_unique<Update>(rule, batch_size, rows * cols));
        rule.cap = 0.7f;
        cases.push_back(std::make_unique<Update>(rule, batch_size, rows * cols));
      }
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    for (UpdateRule::Kind kind : {UpdateRule::Kind::information, UpdateRule::Kind::capped}) {
      UpdateRule rule;
      rule.kind = kind;
      for (Index size : {12866, 512 * 513}) {
        cases.push_back(std::make_unique<Update>(rule, 2048, size));
      }
    }
    return cases;
  }

 private:
  double cap() const {
    if (rule.cap > 0) return rule.cap;
    return batch_size == 1 ? 0.1 : batch_size < 256 ? 2 : 3;
  }
};

}  // namespace tagix::conformance
