#pragma once

#include <variant>
#include <vector>

#include "core/chain_step.h"
#include "cpu/kernels.h"
#include "cpu/moments_product.h"
#include "cpu/step_places.h"

// How the tiled executor lays out its memory. Everything in it has its place from the start, as an
// offset in one of three buffers: the packed weights, what a thread keeps of a tile on its way
// forward and backward, and the sums of a group of tiles.

namespace tagix::cpu {

/// An affine step: where its packed weights are, and where a tile keeps its input for the way back.
struct PlannedAffine : PlacedAffine {
  Index packed_forward;
  Index packed_backward;
  Index input_stride;
  Index output_stride;
  Index input_mean;  ///< in the tile
  PlanePair factor;  ///< what outer products read of a_mean and a_mean^2, in the tile
  bool transposed;   ///< innovations are summed as in x out, which takes fewer vectors
  Index sum_rows;
  Index sum_cols;
  Index sum_stride;
  PlanePair sum;       ///< of the weight, in a group's sums
  PlanePair bias_sum;  ///< of the bias
};

/// An activation, in place but for its means.
struct PlannedActivation {
  std::variant<math::ActivationSpec, UserFunction> function;
  Index features;
  Index stride;
  Index jacobian;  ///< in the tile

  /// Of an activation that is not the user's own.
  const math::ActivationSpec& spec() const { return std::get<math::ActivationSpec>(function); }
};

/// Steps from `first` on, before `end`.
struct StepRange {
  Index first;
  Index end;
};

using PlannedStep = std::variant<PlannedAffine, PlannedActivation>;

/// The steps of a network with their places. Sizes are in floats; strides are the floats between
/// two rows of a tile, whose planes are padded to whole panels.
struct TilePlan {
  /// Rows that pass through the network together. Twice this many of width 64 fill the first-level
  /// cache in an outer product, and those of a deep network the second.
  static constexpr Index tile_rows = 64;

  TilePlan(const Kernels& kernels, Formats formats, const std::vector<ChainStep>& steps);

  Index n_steps() const { return static_cast<Index>(steps.size()); }
  const PlannedStep& step(Index i) const { return steps[static_cast<std::size_t>(i)]; }
  /// Step i if it is affine, else null.
  const PlannedAffine* affine_at(Index i) const { return std::get_if<PlannedAffine>(&step(i)); }
  const PlannedActivation& activation_at(Index i) const {
    return std::get<PlannedActivation>(step(i));
  }
  /// Floats between two rows of what enters step i; past the last step, of the output.
  Index stride_into(Index i) const;

  /// Whether step i hands its innovation on to the step below.
  bool passes_delta(Index i, bool need_input_delta) const {
    return need_input_delta || i > first_affine;
  }

  Index n_phases() const { return static_cast<Index>(phases.size()); }
  StepRange phase(Index i) const { return phases[static_cast<std::size_t>(i)]; }
  /// The function of the user's own above a phase, which is not the last one.
  const PlannedActivation& function_above(Index phase) const {
    return activation_at(this->phase(phase).end);
  }

  std::vector<PlannedStep> steps;
  /// What a tile runs without a break: the steps between functions of the user's own, which belong
  /// to none. One phase where there are no such functions; one may be empty.
  std::vector<StepRange> phases;
  Index in_features = 0;
  Index in_stride = 0;
  Index out_features = 0;
  Index out_stride = 0;
  Index first_affine = -1;  ///< the number of that step; -1 where there is none
  Index parameter_count = 0;
  Index packed_size = 0;
  Index tile_size = 0;
  Index kept_size = 0;  ///< of the places before the last phase, which come first in the tile
  Index group_size = 0;

  // In the tile.
  PlanePair delta;   ///< the innovation on its way down; forward keeps moments there
  PlanePair other;   ///< where a product writes what becomes current
  Index moment = 0;  ///< a_mean^2 + a_var of what enters an affine step
  // Cells of bfloat16 in the tile: of what enters a product, and of an innovation that enters an
  // outer product.
  PlanePair by_row;
  Index moment_by_row = 0;
  PlanePair by_sample;
};

}  // namespace tagix::cpu
