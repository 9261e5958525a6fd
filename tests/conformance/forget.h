#pragma once

#include <algorithm>

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// Variances after a step of forgetting, and as they were after a failure:
///
///   var' = max(min(var + process_var, max(var, prior_var)), least),
///   least = least_var, and on drift at least drifted_var
struct Forget final : Operation {
  enum class Drift { untested, no, yes };

  ParameterWalk step;
  Drift drift;
  Failure failure;
  std::vector<float> var;

  Forget(Index size, ParameterWalk step, Drift drift, Failure failure = Failure::none)
      : step(step), drift(drift), failure(failure) {
    var = RandomInputs(size).log_uniforms(size, 1e-4, 2);
  }

  std::string name() const override {
    return text("forget ", var.size(), ", process ", step.process_var, ", least ", step.least_var,
                drift == Drift::yes ? ", drift" : "",
                failure == Failure::none ? "" : ", after a failure");
  }

  Cost cost() const override { return {0, 8.0 * static_cast<double>(var.size())}; }

  std::function<void()> prepare(Arrays& arrays) const override {
    TrainingState start;
    start.failure = failure;
    const TrainingState* state = arrays.values<TrainingState>({start}).data();
    math::DriftState tested;
    tested.drifts = drift == Drift::yes;
    const math::DriftState* drift_state =
        drift == Drift::untested ? nullptr : arrays.values<math::DriftState>({tested}).data();
    float* values = arrays.in_place(var);
    const Index size = static_cast<Index>(var.size());
    return [=, this, &backend = arrays.backend()] {
      backend.forget(step, drift_state, state, size, values);
    };
  }

  std::vector<Expected> expected() const override {
    Expected result{"var", 1, {}};
    const double least =
        drift == Drift::yes ? std::max(step.least_var, step.drifted_var) : step.least_var;
    for (double value : var) {
      const double walked =
          std::min(value + step.process_var, std::max<double>(value, step.prior_var));
      result.values.push_back(sum_of({failure == Failure::none ? std::max(walked, least) : value}));
    }
    return {result};
  }

  static Operations cases() {
    Operations cases;
    for (const auto& [rows, cols] : few_elementwise_shapes()) {
      for (Drift drift : {Drift::untested, Drift::no, Drift::yes}) {
        cases.push_back(
            std::make_unique<Forget>(rows * cols, ParameterWalk{1e-3f, 1.0f, 0.0f, 0.1f}, drift));
        cases.push_back(
            std::make_unique<Forget>(rows * cols, ParameterWalk{0.0f, 0.5f, 0.25f, 0.0f}, drift));
      }
      cases.push_back(std::make_unique<Forget>(rows * cols, ParameterWalk{1e-3f, 1.0f, 0.2f, 0.1f},
                                               Drift::yes, Failure::innovation));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(
        std::make_unique<Forget>(13000, ParameterWalk{1e-4f, 1.0f, 0.0f, 0.1f}, Drift::no));
    return cases;
  }
};

}  // namespace tagix::conformance
