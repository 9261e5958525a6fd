#pragma once

#include "core/index.h"
#include "math/denoising.h"
#include "math/target.h"

namespace tagix::ops {

/// Backend::denoise_covariance, an element of matrices of n x n at a time. `matrix` is where the
/// elements of a row's matrix begin, `step` is stages[*stage], and `slope(row, col)` an element of
/// A, worked out or kept:
///
///   1. times_slopes              aleatoric = A epistemic, for the step after it
///   2. times_transposed_slopes   epistemic = aleatoric A^T + prediction_weight^2 W
///   3. tweedie                   aleatoric = Cov(x_0 | x)
struct DenoiseCovariance {
  const math::SamplerStage* stages;
  const Index* stage;
  const float* jacobian;
  const float* prediction_covariance;
  Index n;
  float* epistemic;
  float* aleatoric;

  /// Element (row, col) of A.
  TAGIX_HD TAGIX_INLINE float slope(const math::SamplerStage& step, Index matrix, Index row,
                                    Index col) const {
    return math::stage_slope(row == col ? 1.0f : 0.0f, jacobian[matrix + row * n + col], step);
  }

  TAGIX_ANY_CALLABLE
  template <class Slope>
  TAGIX_HD TAGIX_INLINE void times_slopes(const Slope& slope, Index matrix, Index row,
                                          Index col) const {
    float sum = 0;
    for (Index k = 0; k < n; ++k) sum += slope(row, k) * epistemic[matrix + k * n + col];
    aleatoric[matrix + row * n + col] = sum;
  }

  /// Of row <= col: it writes both sides of the diagonal.
  TAGIX_ANY_CALLABLE
  template <class Slope>
  TAGIX_HD TAGIX_INLINE void times_transposed_slopes(const math::SamplerStage& step,
                                                     const Slope& slope, Index matrix, Index row,
                                                     Index col) const {
    float sum = math::stage_var(prediction_covariance[matrix + row * n + col], step);
    for (Index k = 0; k < n; ++k) sum += aleatoric[matrix + row * n + k] * slope(col, k);
    epistemic[matrix + row * n + col] = sum;
    epistemic[matrix + col * n + row] = sum;
  }

  TAGIX_HD TAGIX_INLINE void tweedie(const math::SamplerStage& step, Index matrix, Index row,
                                     Index col) const {
    aleatoric[matrix + row * n + col] =
        math::tweedie_covariance(row == col ? 1.0f : 0.0f, jacobian[matrix + row * n + col],
                                 jacobian[matrix + col * n + row], step);
  }
};

}  // namespace tagix::ops
