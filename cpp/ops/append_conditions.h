#pragma once

#include "core/backend.h"
#include "math/target.h"

namespace tagix::ops {

/// Backend::append_conditions: `input` (rows x (n_features + conditions)) from `noisy`
/// (rows x n_features).
struct AppendConditions {
  Conditions conditions;
  const float* noisy;
  Index n_features;
  const Index* timestep;
  const Index* labels;
  float* input;

  TAGIX_HD TAGIX_INLINE Index cols() const { return n_features + conditions.cols(); }

  /// The label that the network sees of a row, below 0 where there is none.
  TAGIX_HD TAGIX_INLINE Index label(Index row) const {
    return labels == nullptr ? -1 : labels[row];
  }

  /// Column `col` of the values.
  TAGIX_HD TAGIX_INLINE void write_value(Index row, Index col) const {
    input[row * cols() + col] = noisy[row * n_features + col];
  }

  /// Column `col` of what the network sees beside the values.
  TAGIX_HD TAGIX_INLINE void write_condition(Index row, Index label, Index col) const {
    input[row * cols() + n_features + col] = conditions.at(*timestep, label, col);
  }
};

}  // namespace tagix::ops
