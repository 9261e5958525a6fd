#pragma once

#include "conformance/activation_specs.h"
#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"
#include "math/activations.h"

namespace tagix::conformance {

/// f(z), whose truth is that of ActivationForward: the double instantiation of its formula. Its
/// magnitude is |f| + |f' z|, what a z that is known to one part in 2^24 says about it.
struct ActivationValues final : Operation {
  math::ActivationSpec spec;
  std::vector<float> input;

  ActivationValues(math::ActivationSpec spec, Index size) : spec(spec) {
    RandomInputs random(size + 1019 * static_cast<Index>(spec.kind));
    for (Index i = 0; i < size; ++i) input.push_back(random.uniform(-8, 8));
  }

  std::string name() const override {
    return text("activation_values ", math::activation_name(spec.kind), " ", input.size());
  }

  Cost cost() const override { return {0, 4.0 * 2 * static_cast<double>(input.size())}; }

  std::function<void()> prepare(Arrays& arrays) const override {
    const float* z = arrays.input(input);
    const auto size = static_cast<Index>(input.size());
    float* const values = arrays.output(size);
    return [=, this, &backend = arrays.backend()] {
      backend.activation_values(spec, z, size, values);
    };
  }

  std::vector<Expected> expected() const override {
    Expected values{"value", 16, {}};
    math::visit_activation(spec, [&](const auto& function) {
      for (const float each : input) {
        const double z = each, value = function.value(z);
        const double slope = function.activation.derivative(z);
        values.values.push_back({value, std::fabs(value) + std::fabs(slope * z)});
      }
    });
    return {values};
  }

  static Operations cases() {
    Operations cases;
    for (const math::ActivationSpec& spec : activation_specs()) {
      for (const auto& [rows, cols] : few_elementwise_shapes()) {
        cases.push_back(std::make_unique<ActivationValues>(spec, rows * cols));
      }
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    using enum math::ActivationKind;
    for (math::ActivationKind kind : {relu, tanh}) {
      const math::ActivationSpec spec{kind, math::MomentsForm::exact};
      cases.push_back(std::make_unique<ActivationValues>(spec, 2048 * 64));
    }
    return cases;
  }
};

}  // namespace tagix::conformance
