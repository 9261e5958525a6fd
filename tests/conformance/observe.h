#pragma once

#include <cmath>

#include "conformance/noise_variances.h"
#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// Innovations of the outputs, with S = var spread + noise_var:
///
///   delta_mean = (target - mean) / S,   delta_var = -1 / S,   both 0 where the target is missing
struct Observe final : Operation {
  HostGaussians prediction;
  float spread;
  std::vector<float> target;
  NoiseVariances noise;

  Observe(Index rows, Index cols, NoiseShape shape, float spread)
      : Observe(rows, cols, shape, spread, RandomInputs(rows + 61 * cols)) {}

  std::string name() const override {
    return text("observe ", prediction.rows, " x ", prediction.cols, ", ", noise_name(noise.shape),
                ", spread ", spread);
  }

  Cost cost() const override {
    const double size = static_cast<double>(target.size());
    return {6 * size, 4 * (5 * size + static_cast<double>(noise.values.size()))};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView z = arrays.input(prediction);
    const float* y = arrays.input(target);
    const BroadcastView noise_var = noise.view(arrays);
    const MomentsView delta = arrays.output(prediction.rows, prediction.cols);
    return
        [=, this, &backend = arrays.backend()] { backend.observe(z, y, noise_var, spread, delta); };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"delta_mean", 4, {}}, var{"delta_var", 4, {}};
    for (Index row = 0; row < prediction.rows; ++row) {
      for (Index col = 0; col < prediction.cols; ++col) {
        const auto i = static_cast<std::size_t>(row * prediction.cols + col);
        if (std::isnan(target[i])) {
          mean.values.push_back(exactly(0));
          var.values.push_back(exactly(0));
          continue;
        }
        const double total = static_cast<double>(prediction.var[i]) * spread + noise.at(row, col);
        mean.values.push_back(sum_of({target[i] / total, -prediction.mean[i] / total}));
        var.values.push_back(sum_of({-1 / total}));
      }
    }
    return {mean, var};
  }

  static Operations cases() {
    Operations cases;
    for (const auto& [rows, cols] : elementwise_shapes()) {
      for (NoiseShape shape : noise_shapes) {
        const float spread = rows % 2 == 0 ? 1.0f : 21.47f;
        cases.push_back(std::make_unique<Observe>(rows, cols, shape, spread));
      }
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<Observe>(2048, 2, NoiseShape::one, 21.47f));
    cases.push_back(std::make_unique<Observe>(2048, 2, NoiseShape::per_output, 21.47f));
    cases.push_back(std::make_unique<Observe>(2048, 64, NoiseShape::per_target, 21.47f));
    return cases;
  }

 private:
  Observe(Index rows, Index cols, NoiseShape shape, float spread, RandomInputs random)
      : prediction(random.gaussians(rows, cols)),
        spread(spread),
        target(random.targets(rows * cols, 0.2)),
        noise(shape, rows, cols, random) {}
};

}  // namespace tagix::conformance
