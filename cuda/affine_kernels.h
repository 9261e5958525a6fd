#pragma once

#include <optional>
#include <span>
#include <vector>

#include "core/backend.h"
#include "core/precision.h"

// Affine maps on device memory, with what surrounds them in a network done on the way. All are
// queued on the calling thread's stream.

namespace tagix::cuda {

// What runs on tensor cores rounds its factors as `precision` says; what does not, rounds nothing.

/// Backend::affine_forward; of epilogues, those of fused activations.
void affine_forward(Precision precision, ConstMomentsView input, ConstMomentsView weight,
                    ConstMomentsView bias, const std::optional<Epilogue>& epilogue,
                    MomentsView output);

/// Backend::affine_means.
void affine_means(Precision precision, ConstMomentsView input, ConstMomentsView weight,
                  ConstMomentsView bias, float* output);

/// Backend::affine_backward.
void affine_backward(Precision precision, ConstMomentsView delta, ConstMomentsView weight,
                     const float* jacobian, MomentsView delta_input);

/// The kernel that sums a problem's innovations.
enum class InnovationTile { multiply_adds, tensor_cores_narrow, tensor_cores_wide };

/// The innovations of one affine map's parameters: what they are summed from, in pieces of the
/// batch, and where the sums of the pieces go.
///
/// Piece s of n_pieces has its sums at partial + s * 2 * parameter_count: the plane of delta_mean
/// (weight, then bias), then that of delta_var.
struct InnovationProblem {
  ConstMomentsView input;  ///< batch x in; the means count
  ConstMomentsView delta;  ///< batch x out
  bool bias;
  bool add;  ///< to what is there
  InnovationTile tile;
  Index piece_rows;  ///< rows of the batch in a piece, but for the last
  Index n_pieces;
  Index partial_offset;  ///< of its partial sums among those of all problems
  Index weight_offset;   ///< of its weight among the parameters of the network
  Index bias_offset;     ///< likewise of its bias

  constexpr Index weight_size() const { return input.cols * delta.cols; }
  constexpr Index bias_size() const { return bias ? delta.cols : 0; }
  constexpr Index parameter_count() const { return weight_size() + bias_size(); }
  /// Where among the parameters of the network its parameter i (weight, then bias) is.
  constexpr Index place(Index i) const {
    return i < weight_size() ? weight_offset + i : bias_offset + (i - weight_size());
  }
};

/// The problems of some affine maps, and the floats that their partial sums take.
struct InnovationPlan {
  std::vector<InnovationProblem> problems;
  Index scratch = 0;
};

/// Chooses the kernel of each problem and cuts its batch into pieces, by its shape alone.
InnovationPlan plan_innovations(Precision precision, std::span<const AffinePass> passes);

/// Sums the innovations of every problem, piece by piece. Sets the failure of `state`, unless null,
/// where a sum, or what the pieces together may give, overflows float32.
void sum_innovations(Precision precision, const InnovationPlan& plan, float* partial,
                     TrainingState* state);

/// Adds the pieces up in their order, and writes the sums to `innovation` (1 x parameters of the
/// network), or adds them to what it holds, one problem after the other where they share
/// parameters.
void reduce_innovations(const InnovationPlan& plan, const float* partial, MomentsView innovation);

/// Adds the pieces up and updates the parameters by them, unless something has failed. No two
/// problems may share parameters.
void reduce_and_update(const InnovationPlan& plan, const float* partial, const UpdateRule& rule,
                       Index batch_size, MomentsView parameters, const TrainingState* state);

}  // namespace tagix::cuda
