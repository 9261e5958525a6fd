#pragma once

#include "conformance/diffusion_tables.h"
#include "conformance/operation.h"
#include "conformance/random_truth.h"

namespace tagix::conformance {

/// A training batch of denoising: for clean row r, t = first_step + floor(u (n_steps -
/// first_step)), noise eps and whether its label counts, v >= dropped_below / 2^32, keyed by (seed;
/// epoch, r),
///
///   input = [signal[t] x_r + noise[t] eps, features of t and of the label],
///   target = target_signal[t] x_r + target_noise[t] eps
struct Diffuse final : Operation {
  static constexpr std::uint64_t seed = 0xfeedface12345;
  Index n_features, n_steps, first_step;
  std::uint64_t epoch, dropped_below;
  std::vector<Index> rows;
  std::vector<float> clean;
  std::vector<Index> labels;
  std::vector<math::NoiseLevel> levels;
  HostConditions conditions;

  struct Classes {
    Index count = 0, n_features = 0;
    double dropped = 0;
  };

  Diffuse(Index n_rows, Index n_features, Index n_steps, Index first_step, Index n_time_features,
          std::uint64_t epoch, Classes classes)
      : Diffuse(n_rows, n_features, n_steps, first_step, n_time_features, epoch, classes,
                RandomInputs(n_rows + 79 * n_features)) {}

  std::string name() const override {
    return text("diffuse ", rows.size(), " x ", n_features, ", ", n_steps, " steps from ",
                first_step, ", ", conditions.n_time_features, " time features, ",
                conditions.n_classes, " classes, epoch ", epoch);
  }

  Cost cost() const override {
    const double floats = static_cast<double>(3 * n_features + 2 * conditions.cols());
    return {0, 4 * static_cast<double>(rows.size()) * floats};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const DiffusionTables tables{arrays.values(levels).data(), conditions.upload(arrays), n_steps,
                                 first_step};
    const float* x = arrays.input(clean);
    const TrainingLabels all{labels.empty() ? nullptr : arrays.input(labels), dropped_below};
    const TrainingState state{{}, 0, epoch, Failure::none};
    const RowSelection which{arrays.input(rows), arrays.values<TrainingState>({state}).data()};
    const Index n_rows = static_cast<Index>(rows.size());
    float* input = arrays.output(n_rows * (n_features + conditions.cols()));
    float* target = arrays.output(n_rows * n_features);
    return [=, this, &backend = arrays.backend()] {
      backend.diffuse(tables, seed, x, n_features, all, which, n_rows, input, target);
    };
  }

  std::vector<Expected> expected() const override {
    Expected input{"input", 4, {}}, target{"target", 4, {}};
    for (Index row : rows) {
      const auto share = [&](int word) {
        return random_word(seed, math::RandomStream::timestep, epoch, row, 0, word) * 0x1p-32;
      };
      const Index t =
          first_step + static_cast<Index>(share(0) * static_cast<double>(n_steps - first_step));
      const math::NoiseLevel& level = levels[static_cast<std::size_t>(t)];
      for (Index col = 0; col < n_features; ++col) {
        const double x = clean[static_cast<std::size_t>(row * n_features + col)];
        const Sum noise = normal_number(seed, math::RandomStream::diffusion_noise, epoch, row, col);
        const auto sum = [&](double signal, double scale) {
          return Sum{signal * x + scale * noise.value,
                     std::fabs(signal * x) + std::fabs(scale) * noise.magnitude};
        };
        input.values.push_back(sum(level.signal, level.noise));
        target.values.push_back(sum(level.target_signal, level.target_noise));
      }
      const bool dropped =
          labels.empty() || share(1) < static_cast<double>(dropped_below) * 0x1p-32;
      const Index label = dropped ? -1 : labels[static_cast<std::size_t>(row)];
      for (float feature : conditions.at(t, label)) input.values.push_back(exactly(feature));
    }
    return {input, target};
  }

  static Operations cases() {
    Operations cases;
    for (Index n_rows : {1, 2, 3, 5, 17, 96, 255, 511, 512, 513, 2048}) {
      cases.push_back(
          std::make_unique<Diffuse>(n_rows, 1 + n_rows % 7, 40, 1, 5, n_rows, Classes{}));
      cases.push_back(std::make_unique<Diffuse>(n_rows, 2, 40, 1, 5, 2, Classes{4, 4, 0.3}));
    }
    cases.push_back(std::make_unique<Diffuse>(97, 100, 2, 1, 1, 0, Classes{}));
    cases.push_back(std::make_unique<Diffuse>(257, 33, 1000, 0, 16, 3, Classes{1, 9, 0}));
    cases.push_back(std::make_unique<Diffuse>(257, 2, 10, 1, 1, 3, Classes{2, 1, 1}));
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<Diffuse>(2048, 2, 40, 1, 5, 1, Classes{}));
    return cases;
  }

 private:
  Diffuse(Index n_rows, Index n_features, Index n_steps, Index first_step, Index n_time_features,
          std::uint64_t epoch, Classes classes, RandomInputs random)
      : n_features(n_features),
        n_steps(n_steps),
        first_step(first_step),
        epoch(epoch),
        dropped_below(static_cast<std::uint64_t>(classes.dropped * 0x1p32)),
        clean(random.uniforms((n_rows + 3) * n_features, -2, 2)),
        conditions(n_steps, n_time_features, classes.count, classes.n_features, random) {
    const std::vector<float> numbers = random.uniforms(4 * n_steps, -1, 1);
    for (std::size_t i = 0; i < numbers.size(); i += 4) {
      levels.push_back({numbers[i], numbers[i + 1], numbers[i + 2], numbers[i + 3]});
    }
    for (Index i = 0; i < n_rows; ++i) rows.push_back(random.below(n_rows + 3));
    for (Index i = 0; i < n_rows + 3 && classes.count > 0; ++i) {
      labels.push_back(random.below(classes.count + 1) - 1);  // -1: unknown
    }
  }
};

}  // namespace tagix::conformance
