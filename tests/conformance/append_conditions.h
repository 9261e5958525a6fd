#pragma once

#include "conformance/diffusion_tables.h"
#include "conformance/operation.h"

namespace tagix::conformance {

/// input row i = [noisy row i, features of the timestep and of labels[i]].
struct AppendConditions final : Operation {
  static constexpr Index n_steps = 40;
  Index n_rows, n_features, timestep;
  std::vector<Index> labels;  ///< empty: none
  std::vector<float> noisy;
  HostConditions conditions;

  AppendConditions(Index n_rows, Index n_features, Index n_time_features, Index n_classes,
                   Index n_class_features)
      : AppendConditions(n_rows, n_features, n_time_features, n_classes, n_class_features,
                         RandomInputs(n_rows + 83 * n_features)) {}

  std::string name() const override {
    return text("append_conditions ", n_rows, " x ", n_features, ", ", conditions.n_time_features,
                " time features, ", conditions.n_class_features, " features of ",
                conditions.n_classes, " classes");
  }

  Cost cost() const override {
    const double floats = static_cast<double>(2 * n_features + 2 * conditions.cols());
    return {0, 4 * static_cast<double>(n_rows) * floats};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const Conditions tables = conditions.upload(arrays);
    const float* x = arrays.input(noisy);
    const Index* t = arrays.input(std::vector<Index>{timestep});
    const Index* classes = labels.empty() ? nullptr : arrays.input(labels);
    float* input = arrays.output(n_rows * (n_features + conditions.cols()));
    return [=, this, &backend = arrays.backend()] {
      backend.append_conditions(tables, x, n_features, t, classes, n_rows, input);
    };
  }

  std::vector<Expected> expected() const override {
    Expected input{"input", 0, {}};
    for (Index row = 0; row < n_rows; ++row) {
      for (Index col = 0; col < n_features; ++col) {
        input.values.push_back(exactly(noisy[static_cast<std::size_t>(row * n_features + col)]));
      }
      const Index label = labels.empty() ? -1 : labels[static_cast<std::size_t>(row)];
      for (float feature : conditions.at(timestep, label)) {
        input.values.push_back(exactly(feature));
      }
    }
    return {input};
  }

  static Operations cases() {
    Operations cases;
    for (Index n_rows : {1, 2, 5, 17, 96, 257}) {
      cases.push_back(std::make_unique<AppendConditions>(n_rows, 1 + n_rows % 7, 5, 0, 0));
      cases.push_back(std::make_unique<AppendConditions>(n_rows, 33, 1, 0, 3));
      cases.push_back(std::make_unique<AppendConditions>(n_rows, 2, 5, 8, 8));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<AppendConditions>(10000, 2, 5, 0, 0));
    return cases;
  }

 private:
  AppendConditions(Index n_rows, Index n_features, Index n_time_features, Index n_classes,
                   Index n_class_features, RandomInputs random)
      : n_rows(n_rows),
        n_features(n_features),
        timestep(random.below(n_steps)),
        noisy(random.uniforms(n_rows * n_features, -2, 2)),
        conditions(n_steps, n_time_features, n_classes, n_class_features, random) {
    for (Index i = 0; i < n_rows && n_classes > 0; ++i) {
      labels.push_back(random.below(n_classes + 1) - 1);  // -1: none
    }
  }
};

}  // namespace tagix::conformance
