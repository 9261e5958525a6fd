#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// target = values, for means and variances.
struct Copy final : Operation {
  HostGaussians values;

  Copy(Index rows, Index cols) { values = RandomInputs(rows + 61 * cols).gaussians(rows, cols); }

  std::string name() const override { return text("copy ", values.rows, " x ", values.cols); }

  Cost cost() const override { return {0, 4.0 * 4 * static_cast<double>(values.mean.size())}; }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView from = arrays.input(values);
    const MomentsView to = arrays.output(values.rows, values.cols);
    return [=, &backend = arrays.backend()] { backend.copy(from, to); };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"mean", 0, {}}, var{"var", 0, {}};
    for (float value : values.mean) mean.values.push_back(exactly(value));
    for (float value : values.var) var.values.push_back(exactly(value));
    return {mean, var};
  }

  static Operations cases() {
    Operations cases;
    for (const auto& [rows, cols] : elementwise_shapes()) {
      cases.push_back(std::make_unique<Copy>(rows, cols));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<Copy>(2048, 64));
    return cases;
  }
};

}  // namespace tagix::conformance
