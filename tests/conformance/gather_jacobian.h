#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"

namespace tagix::conformance {

/// jacobian[row][output][direction] = d mean[direction][row][output].
struct GatherJacobian final : Operation {
  Index n_directions, n_outputs;
  HostGaussians tangents;

  GatherJacobian(Index n_directions, Index batch, Index cols, Index n_outputs)
      : n_directions(n_directions), n_outputs(n_outputs) {
    tangents = RandomInputs(batch + 71 * cols).gaussians(n_directions * batch, cols);
  }

  std::string name() const override {
    return text("gather_jacobian ", n_directions, " directions, ", tangents.rows, " x ",
                tangents.cols, ", ", n_outputs, " outputs");
  }

  Cost cost() const override { return {0, 8.0 * static_cast<double>(tangents.rows * n_outputs)}; }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView d = arrays.input(tangents);
    float* jacobian = arrays.output(tangents.rows * n_outputs);
    return [=, this, &backend = arrays.backend()] {
      backend.gather_jacobian(d, n_directions, n_outputs, jacobian);
    };
  }

  std::vector<Expected> expected() const override {
    Expected jacobian{"jacobian", 0, {}};
    const Index batch = tangents.rows / n_directions;
    for (Index row = 0; row < batch; ++row) {
      for (Index output = 0; output < n_outputs; ++output) {
        for (Index direction = 0; direction < n_directions; ++direction) {
          const Index at = (direction * batch + row) * tangents.cols + output;
          jacobian.values.push_back(exactly(tangents.mean[static_cast<std::size_t>(at)]));
        }
      }
    }
    return {jacobian};
  }

  static Operations cases() {
    Operations cases;
    for (Index batch : {1, 3, 511, 512, 1025}) {
      for (Index n_directions : {1, 2, 5}) {
        cases.push_back(std::make_unique<GatherJacobian>(n_directions, batch, 3, 3));
        cases.push_back(std::make_unique<GatherJacobian>(n_directions, batch, 4, 2));
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
