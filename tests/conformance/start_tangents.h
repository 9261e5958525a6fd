#pragma once

#include "conformance/operation.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// Unit tangents: d mean = 1 in the column of the direction, else 0; d var = 0.
struct StartTangents final : Operation {
  Index n_directions, batch, cols;

  StartTangents(Index n_directions, Index batch, Index cols)
      : n_directions(n_directions), batch(batch), cols(cols) {}

  std::string name() const override {
    return text("start_tangents ", n_directions, " x ", batch, " x ", cols);
  }

  Cost cost() const override {
    return {0, 4.0 * 2 * static_cast<double>(n_directions * batch * cols)};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const MomentsView tangents = arrays.output(n_directions * batch, cols);
    return
        [=, this, &backend = arrays.backend()] { backend.start_tangents(n_directions, tangents); };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"mean", 0, {}}, var{"var", 0, {}};
    for (Index direction = 0; direction < n_directions; ++direction) {
      for (Index row = 0; row < batch; ++row) {
        for (Index col = 0; col < cols; ++col) {
          mean.values.push_back(exactly(col == direction ? 1 : 0));
          var.values.push_back(exactly(0));
        }
      }
    }
    return {mean, var};
  }

  static Operations cases() {
    Operations cases;
    for (const auto& [rows, cols] : elementwise_shapes()) {
      for (Index n_directions : {Index{1}, std::min<Index>(cols, 3)}) {
        cases.push_back(std::make_unique<StartTangents>(n_directions, rows, cols));
      }
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<StartTangents>(2, 10000, 7));
    return cases;
  }
};

}  // namespace tagix::conformance
