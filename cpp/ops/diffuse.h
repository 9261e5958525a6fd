#pragma once

#include <cstdint>

#include "core/backend.h"
#include "math/denoising.h"
#include "math/philox.h"
#include "math/target.h"

namespace tagix::ops {

/// Backend::diffuse: `input` (rows x (n_features + conditions)) and `target` (rows x n_features)
/// from rows of `clean` (n_features columns). With x_0 a clean value and eps its noise,
///
///   x_t = signal x_0 + noise eps,   F = target_signal x_0 + target_noise eps
struct Diffuse {
  DiffusionTables tables;
  std::uint64_t seed;
  const float* clean;
  Index n_features;
  TrainingLabels labels;
  RowSelection rows;
  float* input;
  float* target;

  /// What a row of a batch is made of.
  struct Row {
    Index at;      ///< its place in the batch
    Index source;  ///< the clean row, by which its random numbers are keyed
    std::uint64_t epoch;
    Index timestep;
  };

  /// What row `at` of the batch draws, but for its label and its noise.
  TAGIX_HD TAGIX_INLINE Row row(Index at) const {
    const Index source = rows.row(at);
    const std::uint64_t epoch = rows.state->epoch;
    return {at, source, epoch,
            math::drawn_timestep(seed, epoch, static_cast<std::uint64_t>(source), tables.first_step,
                                 tables.n_steps)};
  }

  /// The label that the network sees, below 0 where there is none.
  TAGIX_HD TAGIX_INLINE Index label(const Row& row) const {
    if (labels.of_row == nullptr) return -1;
    const bool dropped = math::drops_label(seed, row.epoch, static_cast<std::uint64_t>(row.source),
                                           labels.dropped_below);
    return dropped ? -1 : labels.of_row[row.source];
  }

  /// Whose numbers are the noise of a row.
  TAGIX_HD TAGIX_INLINE math::NormalRow noise(const Row& row) const {
    return {seed, math::RandomStream::diffusion_noise, row.epoch,
            static_cast<std::uint64_t>(row.source)};
  }

  /// A value of a row and its target, from the noise of its column. `noise` may lie where the
  /// target is written; `level` is that of the row's timestep.
  TAGIX_HD TAGIX_INLINE void write_value(const Row& row, const math::NoiseLevel& level, Index col,
                                         float noise) const {
    const float x = clean[row.source * n_features + col];
    input[row.at * input_cols() + col] = math::diffused(x, noise, level);
    target[row.at * n_features + col] = math::diffusion_target(x, noise, level);
  }

  /// Column `col` of what the network sees beside the values.
  TAGIX_HD TAGIX_INLINE void write_condition(const Row& row, Index label, Index col) const {
    input[row.at * input_cols() + n_features + col] =
        tables.conditions.at(row.timestep, label, col);
  }

 private:
  TAGIX_HD TAGIX_INLINE Index input_cols() const { return n_features + tables.conditions.cols(); }
};

}  // namespace tagix::ops
