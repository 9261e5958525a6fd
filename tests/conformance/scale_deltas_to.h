#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// delta.mean J and delta.var J^2 in another place, written or added.
struct ScaleDeltasTo final : Operation {
  bool add;
  std::vector<float> jacobian;
  HostGaussians delta, below;

  ScaleDeltasTo(Index rows, Index cols, bool add) : add(add) {
    RandomInputs random(rows + 73 * cols);
    jacobian = random.uniforms(rows * cols, -0.5, 1.5);
    delta = random.innovations(rows, cols);
    below = random.innovations(rows, cols);
  }

  std::string name() const override {
    return text("scale_deltas_to ", delta.rows, " x ", delta.cols, add ? ", added" : "");
  }

  Cost cost() const override {
    const double size = static_cast<double>(jacobian.size());
    return {(add ? 5 : 3) * size, 4 * (add ? 7 : 5) * size};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const float* slopes = arrays.input(jacobian);
    const ConstMomentsView from = arrays.input(delta);
    const MomentsView to = add ? arrays.in_place(below) : arrays.output(delta.rows, delta.cols);
    return
        [=, this, &backend = arrays.backend()] { backend.scale_deltas_to(slopes, from, add, to); };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"mean", 2, {}}, var{"var", 3, {}};
    for (std::size_t i = 0; i < jacobian.size(); ++i) {
      const double slope = jacobian[i];
      mean.values.push_back(sum_of({delta.mean[i] * slope, add ? below.mean[i] : 0}));
      var.values.push_back(sum_of({delta.var[i] * slope * slope, add ? below.var[i] : 0}));
    }
    return {mean, var};
  }

  static Operations cases() {
    Operations cases;
    for (const auto& [rows, cols] : elementwise_shapes()) {
      for (bool add : {false, true}) {
        cases.push_back(std::make_unique<ScaleDeltasTo>(rows, cols, add));
      }
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<ScaleDeltasTo>(2048, 64, true));
    return cases;
  }
};

}  // namespace tagix::conformance
