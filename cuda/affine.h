#pragma once

#include <vector>

#include "core/backend.h"
#include "core/precision.h"

// Affine maps on device memory, with what surrounds them in a network done on the way. All are
// queued on the calling thread's stream.

namespace tagix::cuda {

/// How products are worked out: as their shape and the GPU suggest; by float32 multiply-adds; or on
/// tensor cores, whatever the shape, on a GPU of compute capability 8.0 or more.
enum class Products { automatic, multiply_adds, tensor_cores };

/// The tiles that they are cut into: as many tiles as it takes suggests, or these wherever there is
/// a choice.
enum class TileSize { automatic, narrow, wide };

/// For tests: holds for everything that is queued, or recorded, by the process from now on.
void use_products(Products products, TileSize tiles = TileSize::automatic);

// What runs on tensor cores rounds its factors as `precision` says; what does not, rounds nothing.

/// Moments of f(a W^T + b) and the Jacobian of f there: Backend::affine_forward and
/// Backend::activation_forward in one kernel, for a fused activation.
void affine_activation_forward(Precision precision, ConstMomentsView input, ConstMomentsView weight,
                               ConstMomentsView bias, const math::ActivationSpec& activation,
                               MomentsView output, float* jacobian);

/// Backend::affine_forward.
void affine_forward(Precision precision, ConstMomentsView input, ConstMomentsView weight,
                    ConstMomentsView bias, MomentsView output);

/// Backend::affine_backward, and then, unless `jacobian` is null, Backend::scale_deltas by it.
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
  InnovationTile tile;
  Index piece_rows;  ///< rows of the batch in a piece, but for the last
  Index n_pieces;
  Index partial_offset;    ///< of its partial sums among those of all problems
  Index parameter_offset;  ///< of its parameters among those of the network

  constexpr Index weight_size() const { return input.cols * delta.cols; }
  constexpr Index parameter_count() const { return weight_size() + (bias ? delta.cols : 0); }
};

/// Chooses the kernel of each problem and cuts its batch into pieces, by its shape alone, and says
/// how many floats the partial sums of all the problems take.
Index plan_innovations(Precision precision, std::vector<InnovationProblem>& problems);

/// Sums the innovations of every problem, piece by piece. Sets the failure of `state`, unless null,
/// where a sum, or what the pieces together may give, overflows float32.
void sum_innovations(Precision precision, const std::vector<InnovationProblem>& problems,
                     float* partial, TrainingState* state);

/// Adds the pieces up in their order, and writes the sums to `innovation` (1 x parameters of the
/// network), or adds them to what it holds.
void reduce_innovations(const std::vector<InnovationProblem>& problems, const float* partial,
                        MomentsView innovation, bool add);

/// Adds the pieces up and updates the parameters by them, unless something has failed.
void reduce_and_update(const std::vector<InnovationProblem>& problems, const float* partial,
                       const UpdateRule& rule, Index batch_size, MomentsView parameters,
                       const TrainingState* state);

}  // namespace tagix::cuda
