#pragma once

#include <cstdint>

#include "core/index.h"
#include "math/denoising.h"
#include "math/target.h"

namespace tagix {

/// What a diffusion network sees beside the noisy values of a row, as rows of two tables in a
/// backend's memory: a row of input is [values, time features, class features].
struct Conditions {
  const float* time_features = nullptr;   ///< n_time_features for each timestep or stage
  const float* class_features = nullptr;  ///< n_class_features for each class, then for none
  Index n_time_features = 0;
  Index n_classes = 0;
  Index n_class_features = 0;

  TAGIX_HD constexpr Index cols() const { return n_time_features + n_class_features; }
  /// Feature `col` of cols() at timestep t for a label, which is below 0 where there is none.
  TAGIX_HD constexpr float at(Index t, Index label, Index col) const {
    if (col < n_time_features) return time_features[t * n_time_features + col];
    const Index row = label < 0 ? n_classes : label;
    return class_features[row * n_class_features + col - n_time_features];
  }
};

/// Tables of a diffusion model by timestep, in a backend's memory.
struct DiffusionTables {
  const math::NoiseLevel* levels = nullptr;  ///< n_steps
  Conditions conditions;
  Index n_steps = 0;
  Index first_step = 0;  ///< training draws t uniformly from first_step .. n_steps - 1
};

/// The classes of rows of training data, each in [0, n_classes), or below 0 where it is unknown.
struct TrainingLabels {
  const Index* of_row = nullptr;    ///< null: there are no classes
  std::uint64_t dropped_below = 0;  ///< 2^32 times the probability that a row goes without
};

}  // namespace tagix
