#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// Tangents above an activation: each direction by the same slopes.
struct ScaleTangents final : Operation {
  std::vector<float> slopes[4];  // mean_by_mean, mean_by_var, var_by_mean, var_by_var
  HostGaussians tangents;

  ScaleTangents(Index n_directions, Index rows, Index cols) {
    RandomInputs random(rows + 67 * cols);
    for (std::vector<float>& plane : slopes) plane = random.uniforms(rows * cols, -1, 1);
    const Index size = n_directions * rows * cols;
    tangents = {n_directions * rows, cols, random.uniforms(size, -1, 1),
                random.uniforms(size, -1, 1)};
  }

  std::string name() const override {
    return text("scale_tangents ", tangents.mean.size() / slopes[0].size(), " directions, ",
                tangents.rows, " x ", tangents.cols);
  }

  Cost cost() const override {
    const double size = static_cast<double>(tangents.mean.size());
    return {6 * size, 4 * (4 * size + 4 * static_cast<double>(slopes[0].size()))};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstSlopesView view{arrays.input(slopes[0]), arrays.input(slopes[1]),
                               arrays.input(slopes[2]), arrays.input(slopes[3])};
    const auto size = static_cast<Index>(slopes[0].size());
    const MomentsView d = arrays.in_place(tangents);
    return [=, &backend = arrays.backend()] { backend.scale_tangents(view, size, d); };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"mean", 4, {}}, var{"var", 4, {}};
    for (std::size_t i = 0; i < tangents.mean.size(); ++i) {
      const std::size_t at = i % slopes[0].size();
      const double d_mean = tangents.mean[i], d_var = tangents.var[i];
      mean.values.push_back(sum_of({slopes[0][at] * d_mean, slopes[1][at] * d_var}));
      var.values.push_back(sum_of({slopes[2][at] * d_mean, slopes[3][at] * d_var}));
    }
    return {mean, var};
  }

  static Operations cases() {
    Operations cases;
    for (const auto& [rows, cols] : elementwise_shapes()) {
      cases.push_back(std::make_unique<ScaleTangents>(1 + rows % 3, rows, cols));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<ScaleTangents>(2, 2048, 64));
    return cases;
  }
};

}  // namespace tagix::conformance
