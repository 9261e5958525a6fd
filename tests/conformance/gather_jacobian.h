#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"

namespace tagix::conformance {

/// jacobian[row][output][input] = G[output][row][input].
struct GatherJacobian final : Operation {
  Index n_outputs, n_inputs;
  HostGaussians adjoint;

  GatherJacobian(Index n_outputs, Index batch, Index cols, Index n_inputs)
      : n_outputs(n_outputs), n_inputs(n_inputs) {
    adjoint = RandomInputs(batch + 71 * cols).gaussians(n_outputs * batch, cols);
  }

  std::string name() const override {
    return text("gather_jacobian ", n_outputs, " outputs, ", adjoint.rows, " x ", adjoint.cols,
                ", ", n_inputs, " inputs");
  }

  Cost cost() const override { return {0, 8.0 * static_cast<double>(adjoint.rows * n_inputs)}; }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView g = arrays.input(adjoint);
    float* jacobian = arrays.output(adjoint.rows * n_inputs);
    return [=, this, &backend = arrays.backend()] {
      backend.gather_jacobian(g, n_outputs, n_inputs, jacobian);
    };
  }

  std::vector<Expected> expected() const override {
    Expected jacobian{"jacobian", 0, {}};
    const Index batch = adjoint.rows / n_outputs;
    for (Index row = 0; row < batch; ++row) {
      for (Index output = 0; output < n_outputs; ++output) {
        for (Index input = 0; input < n_inputs; ++input) {
          const Index at = (output * batch + row) * adjoint.cols + input;
          jacobian.values.push_back(exactly(adjoint.mean[static_cast<std::size_t>(at)]));
        }
      }
    }
    return {jacobian};
  }

  static Operations cases() {
    Operations cases;
    for (Index batch : {1, 3, 511, 512, 1025}) {
      for (Index n_outputs : {1, 2, 5}) {
        cases.push_back(std::make_unique<GatherJacobian>(n_outputs, batch, 3, 3));
        cases.push_back(std::make_unique<GatherJacobian>(n_outputs, batch, 4, 2));
      }
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<GatherJacobian>(2, 10000, 2, 2));
    return cases;
  }
};

}  // namespace tagix::conformance
