#pragma once

#include "conformance/operation.h"

namespace tagix::conformance {

/// 1 by the mean of column k for output k, all else 0.
struct StartAdjoint final : Operation {
  Index n_outputs, batch, cols;

  StartAdjoint(Index n_outputs, Index batch, Index cols)
      : n_outputs(n_outputs), batch(batch), cols(cols) {}

  std::string name() const override {
    return text("start_adjoint ", n_outputs, " of ", batch, " x ", cols);
  }

  Cost cost() const override { return {0, 8.0 * static_cast<double>(n_outputs * batch * cols)}; }

  std::function<void()> prepare(Arrays& arrays) const override {
    const MomentsView adjoint = arrays.output(n_outputs * batch, cols);
    return [=, this, &backend = arrays.backend()] { backend.start_adjoint(n_outputs, adjoint); };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"mean", 0, {}}, var{"var", 0, {}};
    for (Index output = 0; output < n_outputs; ++output) {
      for (Index i = 0; i < batch * cols; ++i) {
        mean.values.push_back(exactly(i % cols == output ? 1 : 0));
        var.values.push_back(exactly(0));
      }
    }
    return {mean, var};
  }

  static Operations cases() {
    Operations cases;
    for (Index batch : {1, 3, 200}) {
      cases.push_back(std::make_unique<StartAdjoint>(1, batch, 1));
      cases.push_back(std::make_unique<StartAdjoint>(2, batch, 7));
      cases.push_back(std::make_unique<StartAdjoint>(5, batch, 5));
    }
    return cases;
  }

  static Operations benchmarks() { return {}; }
};

}  // namespace tagix::conformance
