#pragma once

#include "core/executor.h"
#include "cpu/online_network.h"

namespace tagix::cpu {

/// Learns many batches of a few rows on copies of the parameters that are read once a step
/// (BurstWeights): an innovation passes down and changes a layer at once. So that a failed update
/// changes nothing, a step is taken where no innovation can overflow whatever the weights are, up
/// to their largest.
class OnlineBurst {
 public:
  OnlineBurst(Backend& backend, const Kernels& kernels, OnlineNetwork& network)
      : backend_(backend), kernels_(kernels), network_(network) {}

  /// Copies the parameters for batches of so many rows at most; false, and nothing is copied, where
  /// some are so uncertain that products with their variances might overflow.
  bool begin(ConstMomentsView parameters, Index batch_size);
  /// Learns a batch by the information rule; false, and nothing has happened, where an innovation
  /// might overflow.
  bool learn(const UpdateRule& rule, const TrainingRows& batch, MomentsView parameters,
             TrainingState* state);
  /// Writes the parameters back.
  void end(MomentsView parameters);

 private:
  /// The rows that steps work on: those that a batch does not have are rows of zeros about which
  /// nothing is learned.
  void start_rows(Index batch_size);
  /// Moments of the output of all rows, by the copies of the weights where there are some.
  void forward(ConstMomentsView parameters, ConstMomentsView input);
  /// What enters an affine step; a null `var` is an input known exactly.
  BurstInput input_of(const OnlineAffine& affine, const float* var) const;
  /// Whether no innovation can overflow: those of an affine step are products of the innovations of
  /// its output, at most their sum, with what entered it, at most 1 + its sum; and the innovations
  /// of its input come to the sum times the largest mean of a weight.
  bool is_bounded();
  /// Looks at the means of the weights as they are now.
  void measure_weights(ConstMomentsView parameters);
  /// Passes the innovation of the output down, and changes the parameters on the way.
  void backward(const UpdateRule& rule, Index batch_size, MomentsView parameters,
                TrainingState* state);

  Backend& backend_;
  const Kernels& kernels_;
  OnlineNetwork& network_;
  Index last_count_ = 0;  // the rows of the last batch
};

}  // namespace tagix::cpu
