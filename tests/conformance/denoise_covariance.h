#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "math/denoising.h"

namespace tagix::conformance {

/// One stage of covariances, with A = x_weight I + prediction_weight J:
///
///   epistemic' = A epistemic A^T + prediction_weight^2 W
///   aleatoric = aleatoric_identity I + aleatoric_jacobian (J + J^T) / 2
struct DenoiseCovariance final : Operation {
  math::SamplerStage weights;
  Index stage, rows, n;
  std::vector<float> jacobian, prediction_covariance, epistemic;

  DenoiseCovariance(Index rows, Index n, math::SamplerStage weights, Index stage)
      : weights(weights), stage(stage), rows(rows), n(n) {
    RandomInputs random(rows + 83 * n);
    const Index size = rows * n * n;
    jacobian = random.uniforms(size, -1, 1);
    prediction_covariance = symmetric(random.uniforms(size, -1, 1));
    epistemic = symmetric(random.uniforms(size, -1, 1));
  }

  std::string name() const override {
    return text("denoise_covariance ", rows, " x ", n, " x ", n, ", stage ", stage);
  }

  Cost cost() const override {
    const double size = static_cast<double>(jacobian.size());
    return {size * 4 * static_cast<double>(n), 4 * 5 * size};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const float* j = arrays.input(jacobian);
    const float* w = arrays.input(prediction_covariance);
    float* s = arrays.in_place(epistemic);
    float* left = arrays.output(rows * n * n);
    // Of the table only the stage in question may be read.
    std::vector<math::SamplerStage> table(static_cast<std::size_t>(stage + 2),
                                          {NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN});
    table[static_cast<std::size_t>(stage)] = weights;
    const math::SamplerStage* stages = arrays.values(table).data();
    const Index* which = arrays.input(std::vector<Index>{stage});
    return [=, this, &backend = arrays.backend()] {
      backend.denoise_covariance(stages, which, j, w, rows, n, s, left);
    };
  }

  std::vector<Expected> expected() const override {
    Expected carried{"epistemic", 8.0 + static_cast<double>(n), {}}, left{"aleatoric", 8, {}};
    const double scale = weights.x_weight, c = weights.prediction_weight;
    const double identity = weights.aleatoric_identity, half = weights.aleatoric_jacobian / 2.0;
    for (Index row = 0; row < rows; ++row) {
      const auto at = [&](const std::vector<float>& matrices, Index i, Index k) {
        return double{matrices[static_cast<std::size_t>((row * n + i) * n + k)]};
      };
      // An element of A, and the size of its terms.
      const auto slope = [&](Index i, Index k) {
        return sum_of({i == k ? scale : 0.0, c * at(jacobian, i, k)});
      };
      for (Index i = 0; i < n; ++i) {
        for (Index k = 0; k < n; ++k) {
          Sum sum = sum_of({c * c * at(prediction_covariance, i, k)});
          for (Index a = 0; a < n; ++a) {
            for (Index b = 0; b < n; ++b) {
              const Sum first = slope(i, a), second = slope(k, b);
              sum.value += first.value * at(epistemic, a, b) * second.value;
              sum.magnitude += first.magnitude * std::fabs(at(epistemic, a, b)) * second.magnitude;
            }
          }
          carried.values.push_back(sum);
          left.values.push_back(sum_of(
              {i == k ? identity : 0.0, half * at(jacobian, i, k), half * at(jacobian, k, i)}));
        }
      }
    }
    return {carried, left};
  }

  static Operations cases() {
    Operations cases;
    for (Index rows : {1, 7, 255, 257}) {
      for (Index n : {1, 2, 3, 6}) {
        cases.push_back(std::make_unique<DenoiseCovariance>(rows, n, early, 17));
        cases.push_back(std::make_unique<DenoiseCovariance>(rows, n, late, 1));
      }
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<DenoiseCovariance>(10000, 2, early, 17));
    return cases;
  }

 private:
  static constexpr math::SamplerStage early{1.2f, -0.48f, 0, 0.3f, 0, 0, 1.8f, -1.4f},
      late{1.01f, -0.1f, 0, 0, 0, 0, 0.02f, -0.003f};

  std::vector<float> symmetric(std::vector<float> matrices) const {
    for (Index row = 0; row < rows; ++row) {
      for (Index i = 0; i < n; ++i) {
        for (Index k = 0; k < i; ++k) {
          matrices[static_cast<std::size_t>((row * n + i) * n + k)] =
              matrices[static_cast<std::size_t>((row * n + k) * n + i)];
        }
      }
    }
    return matrices;
  }
};

}  // namespace tagix::conformance
