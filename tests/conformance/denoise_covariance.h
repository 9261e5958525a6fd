#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "math/diffusion.h"

namespace tagix::conformance {

/// One reverse step of covariances, with A = (I - c J) / sqrt(alpha):
///
///   epistemic' = A epistemic A^T + (c^2 / alpha) W
///   aleatoric = (1 - abar) / abar (I - sqrt(1 - abar) (J + J^T) / 2)
struct DenoiseCovariance final : Operation {
  math::ReverseStep step;
  Index timestep, rows, n;
  float signal_scale, noise_scale;
  std::vector<float> jacobian, prediction_covariance, epistemic;

  DenoiseCovariance(Index rows, Index n, math::ReverseStep step, Index timestep, float signal_scale)
      : step(step),
        timestep(timestep),
        rows(rows),
        n(n),
        signal_scale(signal_scale),
        noise_scale(std::sqrt(1 - signal_scale * signal_scale)) {
    RandomInputs random(rows + 83 * n);
    const Index size = rows * n * n;
    jacobian = random.uniforms(size, -1, 1);
    prediction_covariance = symmetric(random.uniforms(size, -1, 1));
    epistemic = symmetric(random.uniforms(size, -1, 1));
  }

  std::string name() const override {
    return text("denoise_covariance ", rows, " x ", n, " x ", n, ", timestep ", timestep);
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
    // Of the tables only the step in question may be read.
    const auto size = static_cast<std::size_t>(timestep + 2),
               at = static_cast<std::size_t>(timestep);
    std::vector<math::ReverseStep> steps(size, {NAN, NAN, NAN});
    steps[at] = step;
    std::vector<float> signal(size, NAN), noise(size, NAN);
    signal[at] = signal_scale;
    noise[at] = noise_scale;
    DiffusionTables tables;
    tables.n_steps = timestep + 2;
    tables.reverse_steps = arrays.values(steps).data();
    tables.signal_scale = arrays.input(signal);
    tables.noise_scale = arrays.input(noise);
    const Index* t = arrays.input(std::vector<Index>{timestep});
    return [=, this, &backend = arrays.backend()] {
      backend.denoise_covariance(tables, t, j, w, rows, n, s, left);
    };
  }

  std::vector<Expected> expected() const override {
    Expected carried{"epistemic", 8.0 + static_cast<double>(n), {}}, left{"aleatoric", 8, {}};
    const double scale = step.inverse_sqrt_alpha, c = step.noise_coefficient;
    const double ratio = std::pow(double{noise_scale} / signal_scale, 2);
    for (Index row = 0; row < rows; ++row) {
      const auto at = [&](const std::vector<float>& matrices, Index i, Index k) {
        return double{matrices[static_cast<std::size_t>((row * n + i) * n + k)]};
      };
      // An element of A, and the size of its terms.
      const auto slope = [&](Index i, Index k) {
        return sum_of({i == k ? scale : 0.0, -c * at(jacobian, i, k) * scale});
      };
      for (Index i = 0; i < n; ++i) {
        for (Index k = 0; k < n; ++k) {
          Sum sum = sum_of({c * c * scale * scale * at(prediction_covariance, i, k)});
          for (Index a = 0; a < n; ++a) {
            for (Index b = 0; b < n; ++b) {
              const Sum first = slope(i, a), second = slope(k, b);
              sum.value += first.value * at(epistemic, a, b) * second.value;
              sum.magnitude += first.magnitude * std::fabs(at(epistemic, a, b)) * second.magnitude;
            }
          }
          carried.values.push_back(sum);
          left.values.push_back(
              sum_of({i == k ? ratio : 0.0, -ratio * noise_scale * at(jacobian, i, k) / 2,
                      -ratio * noise_scale * at(jacobian, k, i) / 2}));
        }
      }
    }
    return {carried, left};
  }

  static Operations cases() {
    Operations cases;
    for (Index rows : {1, 7, 255, 257}) {
      for (Index n : {1, 2, 3, 6}) {
        cases.push_back(std::make_unique<DenoiseCovariance>(
            rows, n, math::ReverseStep{1.2f, 0.4f, 0.3f}, 17, 0.6f));
        cases.push_back(std::make_unique<DenoiseCovariance>(
            rows, n, math::ReverseStep{1.01f, 0.1f, 0.0f}, 1, 0.99f));
      }
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<DenoiseCovariance>(
        10000, 2, math::ReverseStep{1.2f, 0.4f, 0.3f}, 17, 0.6f));
    return cases;
  }

 private:
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
