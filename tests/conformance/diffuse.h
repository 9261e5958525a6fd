#pragma once

#include "conformance/diffusion_tables.h"
#include "conformance/operation.h"
#include "conformance/random_truth.h"

namespace tagix::conformance {

/// A training batch of noise prediction: for clean row r, t = first_step + floor(u (n_steps -
/// first_step)) and noise eps keyed by (seed; epoch, r),
///
///   input = [signal_scale[t] x_r + noise_scale[t] eps, time_features[t]],   target = eps
struct Diffuse final : Operation {
  static constexpr std::uint64_t seed = 0xfeedface12345;
  Index n_features;
  std::uint64_t epoch;
  std::vector<Index> rows;
  std::vector<float> clean;
  HostDiffusionTables tables;

  Diffuse(Index n_rows, Index n_features, Index n_steps, Index first_step, Index n_time_features,
          std::uint64_t epoch)
      : Diffuse(n_rows, n_features, n_steps, first_step, n_time_features, epoch,
                RandomInputs(n_rows + 79 * n_features)) {}

  std::string name() const override {
    return text("diffuse ", rows.size(), " x ", n_features, ", ", tables.n_steps, " steps from ",
                tables.first_step, ", ", tables.n_time_features, " time features, epoch ", epoch);
  }

  Cost cost() const override {
    const double floats = static_cast<double>(3 * n_features + 2 * tables.n_time_features);
    return {0, 4 * static_cast<double>(rows.size()) * floats};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const DiffusionTables device_tables = tables.upload(arrays);
    const float* x = arrays.input(clean);
    const TrainingState state{{}, 0, epoch, Failure::none};
    const RowSelection which{arrays.input(rows), arrays.values<TrainingState>({state}).data()};
    const Index n_rows = static_cast<Index>(rows.size());
    float* input = arrays.output(n_rows * (n_features + tables.n_time_features));
    float* target = arrays.output(n_rows * n_features);
    return [=, this, &backend = arrays.backend()] {
      backend.diffuse(device_tables, seed, x, n_features, which, n_rows, input, target);
    };
  }

  std::vector<Expected> expected() const override {
    Expected input{"input", 4, {}}, target{"target", 4, {}};
    for (Index row : rows) {
      const double share =
          random_word(seed, math::RandomStream::timestep, epoch, row, 0, 0) * 0x1p-32;
      const auto t = static_cast<std::size_t>(
          tables.first_step +
          static_cast<Index>(share * static_cast<double>(tables.n_steps - tables.first_step)));
      for (Index col = 0; col < n_features; ++col) {
        const double x = clean[static_cast<std::size_t>(row * n_features + col)];
        const Sum noise = normal_number(seed, math::RandomStream::diffusion_noise, epoch, row, col);
        const double signal = tables.signal_scale[t] * x, scale = tables.noise_scale[t];
        input.values.push_back(
            {signal + scale * noise.value, std::fabs(signal) + scale * noise.magnitude});
        target.values.push_back(noise);
      }
      for (Index col = 0; col < tables.n_time_features; ++col) {
        const auto i = t * static_cast<std::size_t>(tables.n_time_features);
        input.values.push_back(exactly(tables.time_features[i + static_cast<std::size_t>(col)]));
      }
    }
    return {input, target};
  }

  static Operations cases() {
    Operations cases;
    for (Index n_rows : {1, 2, 3, 5, 17, 96, 255, 511, 512, 513, 2048}) {
      cases.push_back(std::make_unique<Diffuse>(n_rows, 1 + n_rows % 7, 40, 1, 5, n_rows));
    }
    cases.push_back(std::make_unique<Diffuse>(97, 100, 2, 1, 1, 0));
    cases.push_back(std::make_unique<Diffuse>(257, 33, 1000, 0, 16, 3));
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<Diffuse>(2048, 2, 40, 1, 5, 1));
    return cases;
  }

 private:
  Diffuse(Index n_rows, Index n_features, Index n_steps, Index first_step, Index n_time_features,
          std::uint64_t epoch, RandomInputs random)
      : n_features(n_features),
        epoch(epoch),
        clean(random.uniforms((n_rows + 3) * n_features, -2, 2)),
        tables(n_steps, first_step, n_time_features, random) {
    for (Index i = 0; i < n_rows; ++i) rows.push_back(random.below(n_rows + 3));
  }
};

}  // namespace tagix::conformance
