#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"

namespace tagix::conformance {

/// The variance of an activation beyond its linear part, max(0, var - jacobian^2 input_var).
struct ActivationExcess final : Operation {
  std::vector<float> input_var, jacobian, var;

  explicit ActivationExcess(Index size) {
    RandomInputs random(size);
    input_var = random.uniforms(size, 0, 2);
    jacobian = random.uniforms(size, -1, 1);
    var = random.uniforms(size, 0, 1);
  }

  std::string name() const override { return text("activation_excess ", var.size()); }

  Cost cost() const override {
    const double size = static_cast<double>(var.size());
    return {3 * size, 16 * size};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const float* const below = arrays.values(input_var).data();
    const float* const slope = arrays.values(jacobian).data();
    const float* const above = arrays.values(var).data();
    const auto size = static_cast<Index>(var.size());
    float* const excess = arrays.output(size);
    return [=, &backend = arrays.backend()] {
      backend.activation_excess(below, slope, above, size, excess);
    };
  }

  std::vector<Expected> expected() const override {
    Expected excess{"excess", 8, {}};
    for (std::size_t i = 0; i < var.size(); ++i) {
      const double slope = jacobian[i];
      Sum sum;
      sum.add(var[i]);
      sum.add(-slope * slope * input_var[i]);
      sum.value = std::fmax(sum.value, 0);
      excess.values.push_back(sum);
    }
    return {excess};
  }

  static Operations cases() {
    Operations cases;
    for (Index size : {1, 17, 4096, 20000}) {
      cases.push_back(std::make_unique<ActivationExcess>(size));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<ActivationExcess>(2048 * 64));
    return cases;
  }
};

}  // namespace tagix::conformance
