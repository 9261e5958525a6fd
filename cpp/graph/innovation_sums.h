#pragma once

#include <vector>

#include "core/memory.h"
#include "graph/plan.h"

namespace tagix::graph {

/// What the parameters of a graph have to learn from a batch, which goes through the graph in one
/// piece or in several: the sums of their innovations. Where the backend sums innovations together,
/// those of a single piece are not summed before they are asked for, and an update need not write
/// them out.
class InnovationSums {
 public:
  /// With `together` those of all maps of a piece are summed at once, else each when it is taken.
  InnovationSums(Backend& backend, const Plan& for_learning, bool together);

  /// Begins with another batch, for so many parameters.
  void start(Index n_parameters, bool in_pieces);

  /// Takes what an affine map has learned from a piece. It is read now or when the piece ends; that
  /// of a single piece is read later, by `sums` or `update`.
  void take(const AffinePass& pass);
  void end_piece();

  /// 1 x n_parameters. The view stays valid until the next batch.
  ConstMomentsView sums();

  /// Executor::update.
  void update(const UpdateRule& rule, Index batch_size, MomentsView parameters,
              TrainingState* state);

 private:
  void make_room();
  void sum_passes();

  Backend& backend_;
  const Plan& plan_;
  bool together_;
  Index n_parameters_ = 0;
  Index n_pieces_ = 0;      // that have ended
  bool is_summed_ = false;  // whether sums_ holds what has been taken
  Moments sums_;
  std::vector<AffinePass> passes_;  // that are not in sums_
  Buffer<float> scratch_;
};

}  // namespace tagix::graph
