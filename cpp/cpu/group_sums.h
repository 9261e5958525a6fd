#pragma once

#include "core/backend.h"
#include "core/memory.h"
#include "cpu/kernels.h"
#include "cpu/tile_plan.h"

namespace tagix::cpu {

/// Where the innovations of an affine step are summed: those of the weight in rows `stride` floats
/// apart, those of the bias in one.
struct SumTarget {
  float* weight_mean;
  float* weight_var;
  float* bias_mean;
  float* bias_var;
  Index stride;
  bool transposed;  ///< the weight is in x out
  bool add;         ///< to what is there
};

/// The innovations of a network's parameters, which groups of tiles sum each in memory of its own:
/// their sums are added in the order of the groups, so that the bits do not depend on which thread
/// takes which group. A group that is alone sums right where the parameters have theirs.
class GroupSums {
 public:
  GroupSums(Backend& backend, const Kernels& kernels, const TilePlan& plan)
      : kernels_(kernels), plan_(plan), sums_(backend), innovation_(backend) {}

  /// Makes room for the sums of `n_groups` groups.
  void start(Index n_groups);

  /// Where a group sums the innovations of an affine step.
  SumTarget target(const PlannedAffine& affine, Index group, bool add);

  /// Adds up what the groups have summed.
  void finish();

  /// The innovations of all parameters (1 x their number).
  ConstMomentsView innovation() const { return innovation_.view(); }

 private:
  void add_groups();
  void write_innovation();

  const Kernels& kernels_;
  const TilePlan& plan_;
  Index n_groups_ = 0;
  Buffer<float> sums_;
  Moments innovation_;
};

}  // namespace tagix::cpu
