#pragma once

#include <algorithm>

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// Moments of z + f(z) and 1 + J, in place of those of f(z) and J. Var f is at least J^2 Var z.
struct ResidualActivation final : Operation {
  HostGaussians input, output;
  std::vector<float> jacobian;

  ResidualActivation(Index rows, Index cols, bool known) {
    RandomInputs random(rows + 79 * cols);
    input = random.gaussians(rows, cols);
    output = random.gaussians(rows, cols);
    jacobian = random.uniforms(rows * cols, -1.2, 1.2);
    for (std::size_t i = 0; i < jacobian.size(); ++i) {
      const float least = jacobian[i] * jacobian[i] * input.var[i];
      output.var[i] = i % 3 == 0 ? least : std::max(least, output.var[i]);
    }
    if (known) input.var.clear();
  }

  std::string name() const override {
    return text("residual_activation ", input.rows, " x ", input.cols,
                input.var.empty() ? ", known" : "");
  }

  Cost cost() const override {
    const double size = static_cast<double>(jacobian.size());
    return {8 * size, 4 * 8 * size};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView z = arrays.input(input);
    const MomentsView moments = arrays.in_place(output);
    float* slopes = arrays.in_place(jacobian);
    return [=, &backend = arrays.backend()] { backend.residual_activation(z, moments, slopes); };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"mean", 1, {}}, var{"var", 6, {}}, total{"jacobian", 1, {}};
    for (std::size_t i = 0; i < jacobian.size(); ++i) {
      const double slope = jacobian[i], z_var = input.var.empty() ? 0 : input.var[i];
      mean.values.push_back(sum_of({input.mean[i], output.mean[i]}));
      // Var z + Var f + 2 J Var z, of terms that are summed as they are worked out.
      Sum sum = sum_of({(1 + slope) * (1 + slope) * z_var, output.var[i], -slope * slope * z_var});
      sum.value = z_var + output.var[i] + 2 * slope * z_var;
      var.values.push_back(sum);
      total.values.push_back(sum_of({1, slope}));
    }
    return {mean, var, total};
  }

  static Operations cases() {
    Operations cases;
    for (const auto& [rows, cols] : elementwise_shapes()) {
      cases.push_back(std::make_unique<ResidualActivation>(rows, cols, false));
    }
    for (const auto& [rows, cols] : few_elementwise_shapes()) {
      cases.push_back(std::make_unique<ResidualActivation>(rows, cols, true));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<ResidualActivation>(2048, 64, false));
    return cases;
  }
};

}  // namespace tagix::conformance
