#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/random_truth.h"
#include "conformance/shapes.h"
#include "math/diffusion.h"

namespace tagix::conformance {

/// One reverse step, with numbers n of (seed; timestep, row):
///
///   x' = (x - c eps_mean) / sqrt(alpha) + sigma n,   var = (c^2 / alpha) eps_var
struct Denoise final : Operation {
  static constexpr std::uint64_t seed = 0x1234567890;
  math::ReverseStep step;
  Index n_features, timestep, first_row;
  std::vector<float> noisy;
  HostGaussians prediction;

  Denoise(Index rows, Index cols, math::ReverseStep step, Index timestep, Index first_row,
          Index other_outputs = 0)
      : step(step), n_features(cols), timestep(timestep), first_row(first_row) {
    RandomInputs random(rows + 89 * cols);
    noisy = random.uniforms(rows * cols, -3, 3);
    prediction = random.gaussians(rows, cols + other_outputs);
  }

  std::string name() const override {
    return text("denoise ", prediction.rows, " x ", n_features, " of ", prediction.cols,
                ", timestep ", timestep, ", first row ", first_row);
  }

  Cost cost() const override { return {0, 4.0 * 5 * static_cast<double>(noisy.size())}; }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView eps = arrays.input(prediction);
    float* x = arrays.in_place(noisy);
    float* var = arrays.output(prediction.rows * n_features);
    // Of the table only the step in question may be read.
    std::vector<math::ReverseStep> steps(static_cast<std::size_t>(timestep + 2), {NAN, NAN, NAN});
    steps[static_cast<std::size_t>(timestep)] = step;
    DiffusionTables tables;
    tables.n_steps = timestep + 2;
    tables.reverse_steps = arrays.values(steps).data();
    const Index* t = arrays.input(std::vector<Index>{timestep});
    const Index* first = arrays.input(std::vector<Index>{first_row});
    return [=, this, &backend = arrays.backend()] {
      backend.denoise(tables, t, eps, n_features, seed, first, x, var);
    };
  }

  std::vector<Expected> expected() const override {
    Expected x{"x", 6, {}}, var{"var", 4, {}};
    const double scale = step.inverse_sqrt_alpha, c = step.noise_coefficient;
    for (Index row = 0; row < prediction.rows; ++row) {
      for (Index col = 0; col < n_features; ++col) {
        const auto i = static_cast<std::size_t>(row * n_features + col);
        const auto k = static_cast<std::size_t>(row * prediction.cols + col);
        const Sum noise = normal_number(seed, math::RandomStream::sampler_noise,
                                        static_cast<std::uint64_t>(timestep), first_row + row, col);
        Sum sum = sum_of({noisy[i] * scale, -c * prediction.mean[k] * scale});
        sum.value += step.noise_std * noise.value;
        sum.magnitude += step.noise_std * noise.magnitude;
        x.values.push_back(sum);
        var.values.push_back(sum_of({c * c * scale * scale * prediction.var[k]}));
      }
    }
    return {x, var};
  }

  static Operations cases() {
    Operations cases;
    for (const auto& [rows, cols] : elementwise_shapes()) {
      cases.push_back(
          std::make_unique<Denoise>(rows, cols, math::ReverseStep{1.2f, 0.4f, 0.3f}, 17, 8192));
      cases.push_back(
          std::make_unique<Denoise>(rows, cols, math::ReverseStep{1.01f, 0.1f, 0.0f}, 1, 0, cols));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(
        std::make_unique<Denoise>(10000, 2, math::ReverseStep{1.2f, 0.4f, 0.3f}, 17, 0));
    return cases;
  }
};

}  // namespace tagix::conformance
