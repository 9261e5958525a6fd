#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// Innovations below an activation: delta_mean J, delta_var J^2.
struct ScaleDeltas final : Operation {
  std::vector<float> jacobian;
  HostGaussians delta;

  ScaleDeltas(Index rows, Index cols) {
    RandomInputs random(rows + 59 * cols);
    jacobian = random.uniforms(rows * cols, -0.5, 1.5);
    for (std::size_t i = 0; i < jacobian.size(); i += 3) jacobian[i] = 0;  // a ReLU that is off
    delta = random.innovations(rows, cols);
  }

  std::string name() const override { return text("scale_deltas ", delta.rows, " x ", delta.cols); }

  Cost cost() const override {
    const double size = static_cast<double>(jacobian.size());
    return {3 * size, 4 * 5 * size};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const float* slope = arrays.input(jacobian);
    const MomentsView d = arrays.in_place(delta);
    return [=, &backend = arrays.backend()] { backend.scale_deltas(slope, d); };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"delta_mean", 1, {}}, var{"delta_var", 2, {}};
    for (std::size_t i = 0; i < jacobian.size(); ++i) {
      const double slope = jacobian[i];
      mean.values.push_back(sum_of({delta.mean[i] * slope}));
      var.values.push_back(sum_of({delta.var[i] * slope * slope}));
    }
    return {mean, var};
  }

  static Operations cases() {
    Operations cases;
    for (const auto& [rows, cols] : elementwise_shapes()) {
      cases.push_back(std::make_unique<ScaleDeltas>(rows, cols));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<ScaleDeltas>(2048, 64));
    return cases;
  }
};

}  // namespace tagix::conformance
