#pragma once

#include <cstdint>

#include "core/moments.h"
#include "math/denoising.h"
#include "math/philox.h"
#include "math/target.h"

namespace tagix::ops {

/// Backend::denoise of `noisy`, `carry` (or null) and `var`, each prediction.rows x cols. A loop
/// over several elements reads `step`, which is stages[*stage], once.
struct Denoise {
  const math::SamplerStage* stages;
  const Index* stage;
  ConstMomentsView prediction;
  Index cols;
  std::uint64_t seed;
  const Index* first_row;
  float* noisy;
  float* carry;
  float* var;

  /// Whose numbers are the noise of a row.
  TAGIX_HD TAGIX_INLINE math::NormalRow noise(Index row) const {
    return {seed, math::RandomStream::sampler_noise, static_cast<std::uint64_t>(*stage),
            static_cast<std::uint64_t>(*first_row + row)};
  }

  /// Column `col` of a row, from its standard normal number, which may lie where `var` is written.
  TAGIX_HD TAGIX_INLINE void operator()(const math::SamplerStage& step, Index row, Index col,
                                        float number) const {
    const Index i = row * cols + col, predicted = row * prediction.cols + col;
    const float x = noisy[i], mean = prediction.mean[predicted];
    noisy[i] = math::stage_result(x, mean, carry == nullptr ? 0.0f : carry[i], number, step);
    if (carry != nullptr) carry[i] = math::stage_carry(x, mean, step);
    var[i] = math::stage_var(prediction.var[predicted], step);
  }
};

}  // namespace tagix::ops
