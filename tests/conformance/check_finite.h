#pragma once

#include <limits>

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// Sets a failure, if there was none, where a mean or a variance is not finite.
struct CheckFinite final : Operation {
  HostGaussians moments;
  bool finite;

  /// Finite numbers up to the largest there are, of which element `position` of the means or of the
  /// variances is replaced by `value`.
  CheckFinite(Index rows, Index cols, float value, bool in_mean, Index position)
      : finite(std::isfinite(value)) {
    constexpr float largest = std::numeric_limits<float>::max();
    RandomInputs random(rows + 97 * cols);
    moments = {rows, cols, random.uniforms(rows * cols, -largest, largest),
               random.uniforms(rows * cols, -largest, largest)};
    (in_mean ? moments.mean : moments.var)[static_cast<std::size_t>(position)] = value;
  }

  std::string name() const override {
    return text("check_finite ", moments.rows, " x ", moments.cols, finite ? "" : ", one is not");
  }

  Cost cost() const override {
    const double size = static_cast<double>(moments.mean.size());
    return {0, 4 * 2 * size};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView view = arrays.input(moments);
    std::vector<double>& returned = arrays.returned();
    Buffer<TrainingState>& state = arrays.values<TrainingState>({{}});
    return [=, &returned, &state, &backend = arrays.backend()] {
      backend.check_finite(view, state.data());
      returned = {static_cast<double>(state.first().failure)};
    };
  }

  std::vector<Expected> expected() const override {
    const Failure failure = finite ? Failure::none : Failure::innovation;
    return {{"failure", 0, {exactly(static_cast<double>(failure))}}};
  }

  static Operations cases() {
    using Limits = std::numeric_limits<float>;
    Operations cases;
    for (const auto& [rows, cols] : elementwise_shapes()) {
      const Index size = rows * cols;
      for (float value : {0.0f, -0.0f, Limits::denorm_min(), Limits::max(), Limits::infinity(),
                          -Limits::infinity(), Limits::quiet_NaN()}) {
        for (Index position : {Index{0}, size / 2, size - 1}) {
          cases.push_back(std::make_unique<CheckFinite>(rows, cols, value, true, position));
          cases.push_back(std::make_unique<CheckFinite>(rows, cols, value, false, position));
        }
      }
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<CheckFinite>(1, 12866, 0.0f, true, 0));
    return cases;
  }
};

}  // namespace tagix::conformance
