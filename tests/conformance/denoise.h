#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/random_truth.h"
#include "conformance/shapes.h"
#include "math/denoising.h"

namespace tagix::conformance {

/// One stage of a sampler, with numbers n of (seed; stage, row):
///
///   x' = x_weight x + prediction_weight mean + carry_weight y + noise_std n
///   y' = carry_x x + carry_prediction mean,   var = prediction_weight^2 prediction_var
struct Denoise final : Operation {
  static constexpr std::uint64_t seed = 0x1234567890;
  math::SamplerStage weights;
  Index n_features, stage, first_row;
  bool has_carry;
  std::vector<float> noisy, carry;
  HostGaussians prediction;

  Denoise(Index rows, Index cols, math::SamplerStage weights, Index stage, Index first_row,
          Index other_outputs = 0)
      : weights(weights),
        n_features(cols),
        stage(stage),
        first_row(first_row),
        has_carry(weights.carry_weight != 0) {
    RandomInputs random(rows + 89 * cols);
    noisy = random.uniforms(rows * cols, -3, 3);
    carry = random.uniforms(rows * cols, -3, 3);
    prediction = random.gaussians(rows, cols + other_outputs);
  }

  std::string name() const override {
    return text("denoise ", prediction.rows, " x ", n_features, " of ", prediction.cols, ", stage ",
                stage, ", first row ", first_row, has_carry ? ", with a carry" : "");
  }

  Cost cost() const override { return {0, 4.0 * 5 * static_cast<double>(noisy.size())}; }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView predicted = arrays.input(prediction);
    float* x = arrays.in_place(noisy);
    float* y = has_carry ? arrays.in_place(carry) : nullptr;
    float* var = arrays.output(prediction.rows * n_features);
    // Of the table only the stage in question may be read.
    std::vector<math::SamplerStage> table(static_cast<std::size_t>(stage + 2),
                                          {NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN});
    table[static_cast<std::size_t>(stage)] = weights;
    const math::SamplerStage* stages = arrays.values(table).data();
    const Index* which = arrays.input(std::vector<Index>{stage});
    const Index* first = arrays.input(std::vector<Index>{first_row});
    return [=, this, &backend = arrays.backend()] {
      backend.denoise(stages, which, predicted, n_features, seed, first, x, y, var);
    };
  }

  std::vector<Expected> expected() const override {
    Expected x{"x", 6, {}}, y{"carry", 4, {}}, var{"var", 4, {}};
    for (Index row = 0; row < prediction.rows; ++row) {
      for (Index col = 0; col < n_features; ++col) {
        const auto i = static_cast<std::size_t>(row * n_features + col);
        const auto k = static_cast<std::size_t>(row * prediction.cols + col);
        const double mean = prediction.mean[k];
        Sum sum = sum_of({double{weights.x_weight} * noisy[i], weights.prediction_weight * mean,
                          has_carry ? double{weights.carry_weight} * carry[i] : 0.0});
        if (weights.noise_std != 0) {
          const Sum noise = normal_number(seed, math::RandomStream::sampler_noise,
                                          static_cast<std::uint64_t>(stage), first_row + row, col);
          sum.value += weights.noise_std * noise.value;
          sum.magnitude += weights.noise_std * noise.magnitude;
        }
        x.values.push_back(sum);
        y.values.push_back(
            sum_of({double{weights.carry_x} * noisy[i], weights.carry_prediction * mean}));
        const double weight = weights.prediction_weight;
        var.values.push_back(sum_of({weight * weight * prediction.var[k]}));
      }
    }
    if (!has_carry) return {x, var};
    return {x, y, var};
  }

  static Operations cases() {
    const math::SamplerStage stochastic{1.2f, -0.48f, 0, 0.3f, 0, 0, 0, 0},
        last{1.01f, -0.1f, 0, 0, 0, 0, 0, 0}, carrying{0.7f, 0.2f, 0.9f, 0, 0.4f, -0.3f, 0, 0};
    Operations cases;
    for (const auto& [rows, cols] : elementwise_shapes()) {
      cases.push_back(std::make_unique<Denoise>(rows, cols, stochastic, 17, 8192));
      cases.push_back(std::make_unique<Denoise>(rows, cols, last, 1, 0, cols));
      cases.push_back(std::make_unique<Denoise>(rows, cols, carrying, 2, 0));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<Denoise>(
        10000, 2, math::SamplerStage{1.2f, -0.48f, 0, 0.3f, 0, 0, 0, 0}, 17, 0));
    return cases;
  }
};

}  // namespace tagix::conformance
