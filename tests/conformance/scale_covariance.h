#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"

namespace tagix::conformance {

/// Covariances above an activation: J_i J_j Cov(z_i, z_j); on the diagonal the variances given.
struct ScaleCovariance final : Operation {
  Index n_outputs;
  HostGaussians output;
  std::vector<float> jacobian, covariance;

  ScaleCovariance(Index rows, Index cols, Index n_outputs) : n_outputs(n_outputs) {
    RandomInputs random(rows + 79 * cols);
    output = random.gaussians(rows, cols);
    jacobian = random.uniforms(rows * cols, -0.5, 1.5);
    covariance = random.uniforms(rows * n_outputs * n_outputs, -1, 1);
  }

  std::string name() const override {
    return text("scale_covariance ", output.rows, " x ", n_outputs, " of ", output.cols);
  }

  Cost cost() const override { return {0, 8.0 * static_cast<double>(covariance.size())}; }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView view = arrays.input(output);
    const float* slopes = arrays.input(jacobian);
    float* matrices = arrays.in_place(covariance);
    return [=, this, &backend = arrays.backend()] {
      backend.scale_covariance(slopes, view, n_outputs, matrices);
    };
  }

  std::vector<Expected> expected() const override {
    Expected scaled{"covariance", 4, {}};
    const auto n = static_cast<std::size_t>(n_outputs),
               cols = static_cast<std::size_t>(output.cols);
    for (std::size_t i = 0; i < covariance.size(); ++i) {
      const std::size_t row = i / (n * n) * cols, first = i / n % n, second = i % n;
      scaled.values.push_back(first == second ? exactly(output.var[row + first])
                                              : sum_of({double{jacobian[row + first]} *
                                                        jacobian[row + second] * covariance[i]}));
    }
    return {scaled};
  }

  static Operations cases() {
    Operations cases;
    for (Index rows : {1, 5, 511, 513}) {
      for (Index cols : {1, 2, 5}) {
        cases.push_back(std::make_unique<ScaleCovariance>(rows, cols, cols));
        cases.push_back(std::make_unique<ScaleCovariance>(rows, 2 * cols, cols));
      }
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<ScaleCovariance>(10000, 2, 2));
    return cases;
  }
};

}  // namespace tagix::conformance
