#pragma once

#include <optional>
#include <vector>

#include "core/backend.h"
#include "core/chain_step.h"
#include "core/executor.h"

// Small networks that run whole within a block of threads: weights, activations and innovations of
// all layers lie in its shared memory.

namespace tagix::cuda {

constexpr int most_fused_layers = 8;

/// An affine map and the activation behind it, with the places of its arrays in shared memory
/// (offsets in floats). Rows of arrays begin at multiples of their strides; what pads them is 0.
struct FusedLayer {
  int in, out;
  bool bias;
  bool has_activation;
  math::ActivationSpec activation;
  int parameters;     ///< offset of the weight among the network's parameters; the bias follows
  int weight_mean;    ///< padded out x weight_stride
  int weight_var;     ///< the same
  int weight_stride;  ///< an odd multiple of 4: neither rows nor columns of a warp share banks
  int bias_mean;      ///< padded out
  int bias_var;       ///< padded out
  int input;          ///< rows x input_stride: means of the input
  int input_stride;
  int jacobian;  ///< rows x stride of the output: the activation's, where there is one
};

/// A network of such layers for some rows at a time.
struct FusedPlan {
  FusedLayer layer[most_fused_layers];
  int n_layers;
  int rows;
  int parameter_count;
  int plane_stride;  ///< of the two planes of the network's summed innovations
  int output;        ///< rows x output_stride: means of the output
  int output_stride;
  int wide_stride;    ///< of the arrays below, for any layer
  int var[2];         ///< rows x wide_stride: variances of a layer's input and output, in turn
  int delta_mean[2];  ///< the same: innovations of a layer's output and input, in turn
  int delta_var[2];
  int shared_floats;
};

/// The plan of a network for `rows` rows, if it consists of at most 8 affine maps of at most 128
/// features, each followed by at most one activation of the ReLU kind, and fits into
/// `shared_bytes`.
std::optional<FusedPlan> plan_fused(const std::vector<ChainStep>& steps, int rows,
                                    std::size_t shared_bytes);

/// The rows that fused_learn gives a block at a time, and its most blocks.
constexpr int fused_rows = 16, most_fused_blocks = 128;

/// The pieces in which fused_learn sums the innovations of a batch: one for each block, or for each
/// cluster of so many blocks.
struct FusedPieces {
  Index count;
  unsigned cluster;
};

/// The pieces of a batch, on a GPU with clusters or without.
FusedPieces fused_pieces(Index batch_size, bool has_clusters);

/// Predicts a batch, observes its targets, and sums the innovations of all parameters, in one
/// kernel. Writes the predictions (rows x outputs), and piece s of the sums to partial + s * 2 *
/// plane_stride: the plane of delta_mean, then that of delta_var. Sets the failure of `state` where
/// a prediction or an innovation overflows.
void fused_learn(const FusedPlan& plan, ConstMomentsView parameters, const TrainingRows& rows,
                 float spread, MomentsView prediction, const FusedPieces& pieces, float* partial,
                 TrainingState* state);

/// Adds the pieces up in a fixed order and updates the parameters, unless something has failed; and
/// records the predictions (Backend::sum_predictions).
void fused_update(const FusedPlan& plan, const float* partial, Index n_pieces,
                  const UpdateRule& rule, const TrainingRows& rows, ConstMomentsView prediction,
                  MomentsView parameters, TrainingState* state);

/// The floats of shared memory that fused_online takes.
std::size_t fused_online_floats(const FusedPlan& plan);

/// Trains on rows one after the other, each a batch of its own, in one kernel of one block. The
/// plan is for one row. Writes the predictions; does not record them.
void fused_online(const FusedPlan& plan, const TrainingRows& rows, const UpdateRule& rule,
                  MomentsView prediction, MomentsView parameters, TrainingState* state);

}  // namespace tagix::cuda
