#include "launch.h"
#include "operations.h"
#include "ops/denoise_covariance.h"

namespace tagix::cuda {
namespace {

/// Element (row, col) of a matrix of n x n among many of them.
struct Element {
  Index matrix;  ///< where it begins
  Index row;
  Index col;

  __device__ Element(Index i, Index n) : matrix(i / (n * n) * n * n), row(i / n % n), col(i % n) {}
};

/// The three steps of ops::DenoiseCovariance, each by a kernel of its own. A is not kept: each
/// thread works out the elements that it needs.
struct TimesSlopes {
  ops::DenoiseCovariance op;

  __device__ void operator()(Index i) const {
    const Element at(i, op.n);
    const math::SamplerStage& step = op.stages[*op.stage];
    const auto slope = [&](Index row, Index col) { return op.slope(step, at.matrix, row, col); };
    op.times_slopes(slope, at.matrix, at.row, at.col);
  }
};

struct TimesTransposedSlopes {
  ops::DenoiseCovariance op;

  __device__ void operator()(Index i) const {
    const Element at(i, op.n);
    if (at.row > at.col) return;
    const math::SamplerStage& step = op.stages[*op.stage];
    const auto slope = [&](Index row, Index col) { return op.slope(step, at.matrix, row, col); };
    op.times_transposed_slopes(step, slope, at.matrix, at.row, at.col);
  }
};

struct Tweedie {
  ops::DenoiseCovariance op;

  __device__ void operator()(Index i) const {
    const Element at(i, op.n);
    op.tweedie(op.stages[*op.stage], at.matrix, at.row, at.col);
  }
};

}  // namespace

void denoise_covariance(const math::SamplerStage* stages, const Index* stage, const float* jacobian,
                        const float* prediction_covariance, Index n_rows, Index n_features,
                        float* epistemic, float* aleatoric) {
  const ops::DenoiseCovariance op{stages,     stage,     jacobian, prediction_covariance,
                                  n_features, epistemic, aleatoric};
  const Index size = n_rows * n_features * n_features;
  for_each("denoise_covariance", size, TimesSlopes{op});
  for_each("denoise_covariance", size, TimesTransposedSlopes{op});
  for_each("denoise_covariance", size, Tweedie{op});
}

}  // namespace tagix::cuda
