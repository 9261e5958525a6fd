#pragma once

#include "core/memory.h"
#include "cpu/tile_plan.h"

namespace tagix::cpu {

/// The functions of the user's own in a network that runs in tiles. Each is called for many tiles
/// at once, on the calling thread, between two phases of the plan: here are the moments on either
/// side of it, and what the tiles keep until the next phase.
class UserFunctions {
 public:
  UserFunctions(Backend& backend, const TilePlan& plan);

  bool exist() const { return plan_.n_phases() > 1; }

  /// The rows of a batch that go through the phases together, whole tiles: all of them without such
  /// functions, else as many as take a bounded memory. It depends on the plan alone.
  Index rows_at_once(Index batch_size) const;

  /// Makes room for what the tiles of so many rows keep.
  void keep(Index rows);
  /// Where a tile keeps it: plan.kept_size floats.
  float* kept(Index tile) { return kept_.data() + tile * plan_.kept_size; }

  /// Where the moments go that the function above a phase reads: rows x its features.
  MomentsView room(Index phase, Index rows);

  /// Calls the function above a phase and returns the moments of its values (rows x features). What
  /// the function throws passes through. Both stay valid until the next call.
  ConstMomentsView call(Index phase, ConstMomentsView input);
  /// The Jacobian that belongs to them, Cov(z, f(z)) / Var z: rows x features.
  const float* jacobian() const { return jacobian_.data(); }

 private:
  Backend& backend_;
  const TilePlan& plan_;
  Index floats_per_row_ = 0;
  Buffer<float> kept_;
  Moments input_;
  Moments output_;
  Buffer<float> jacobian_;
};

}  // namespace tagix::cpu
