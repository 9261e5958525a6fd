#pragma once

#include "conformance/diffusion_tables.h"
#include "conformance/operation.h"

namespace tagix::conformance {

/// input row i = [noisy row i, time_features[timesteps[i * stride]]].
struct EmbedTimesteps final : Operation {
  Index n_rows, n_features, stride;
  std::vector<Index> timesteps;
  std::vector<float> noisy;
  HostDiffusionTables tables;

  EmbedTimesteps(Index n_rows, Index n_features, Index stride, Index n_time_features)
      : EmbedTimesteps(n_rows, n_features, stride, n_time_features,
                       RandomInputs(n_rows + 83 * n_features)) {}

  std::string name() const override {
    return text("embed_timesteps ", n_rows, " x ", n_features,
                stride == 0 ? ", one timestep" : ", a timestep per row", ", ",
                tables.n_time_features, " time features");
  }

  Cost cost() const override {
    const double floats = static_cast<double>(2 * n_features + 2 * tables.n_time_features);
    return {0, 4 * static_cast<double>(n_rows) * floats};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const DiffusionTables device_tables = tables.upload(arrays);
    const float* x = arrays.input(noisy);
    const Index* t = arrays.input(timesteps);
    float* input = arrays.output(n_rows * (n_features + tables.n_time_features));
    return [=, this, &backend = arrays.backend()] {
      backend.embed_timesteps(device_tables, x, n_features, t, stride, n_rows, input);
    };
  }

  std::vector<Expected> expected() const override {
    Expected input{"input", 0, {}};
    for (Index row = 0; row < n_rows; ++row) {
      for (Index col = 0; col < n_features; ++col) {
        input.values.push_back(exactly(noisy[static_cast<std::size_t>(row * n_features + col)]));
      }
      const Index t = timesteps[static_cast<std::size_t>(row * stride)];
      for (Index col = 0; col < tables.n_time_features; ++col) {
        const auto i = static_cast<std::size_t>(t * tables.n_time_features + col);
        input.values.push_back(exactly(tables.time_features[i]));
      }
    }
    return {input};
  }

  static Operations cases() {
    Operations cases;
    for (Index n_rows : {1, 2, 5, 17, 96, 257}) {
      for (Index stride : {0, 1}) {
        cases.push_back(std::make_unique<EmbedTimesteps>(n_rows, 1 + n_rows % 7, stride, 5));
        cases.push_back(std::make_unique<EmbedTimesteps>(n_rows, 33, stride, 1));
      }
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<EmbedTimesteps>(10000, 2, 0, 5));
    return cases;
  }

 private:
  EmbedTimesteps(Index n_rows, Index n_features, Index stride, Index n_time_features,
                 RandomInputs random)
      : n_rows(n_rows),
        n_features(n_features),
        stride(stride),
        noisy(random.uniforms(n_rows * n_features, -2, 2)),
        tables(40, 1, n_time_features, random) {
    for (Index i = 0; i < (stride == 0 ? 1 : n_rows); ++i) {
      timesteps.push_back(random.below(tables.n_steps));
    }
  }
};

}  // namespace tagix::conformance
