#pragma once

#include <vector>

#include "core/executor.h"
#include "core/memory.h"
#include "cpu/kernels.h"
#include "cpu/tile_plan.h"

namespace tagix::cpu {

/// The adjoint of a tile of rows: what the tiled executor keeps on the way up, and the reverse pass
/// that turns it into Jacobians and covariances (formulas in graph/rules.h). A thread works in
/// memory_size() floats of its own.
class TileAdjoint {
 public:
  TileAdjoint(Backend& backend, const Kernels& kernels, Formats formats, const TilePlan& plan);

  /// Sets what is to be worked out from the next tile on, and packs the weights. `uncertain` says
  /// whether inputs have variances.
  void start(ConstMomentsView parameters, const Linearization& wanted, bool uncertain);
  /// The floats that a thread works in.
  Index memory_size() const { return memory_size_; }

  /// Where an affine step is to write what its parameters add to the variances, or null where
  /// nobody asks for covariances.
  float* spread_of(Index i, float* memory) const;
  /// What is kept of step i on the way up, for `rows` rows: of an affine step whose input is known
  /// exactly the variances that it gave; of an activation its input, before it runs, perhaps in
  /// place, its Jacobian, which it is to write to jacobian_of(i), and, after it, the rest.
  void keep_spread(Index i, const float* output_var, Index rows, float* memory) const;
  void keep_input(Index i, const float* mean, const float* var, Index rows, float* memory) const;
  float* jacobian_of(Index i, Index rows, float* memory) const;
  void keep_slopes(Index i, const float* output_mean, const float* output_var, Index rows,
                   float* memory) const;

  /// Goes down through a tile whose affine steps keep their input means at mean_of(step), and whose
  /// rows have these input variances (rows x in_features, or null). Writes the Jacobian (rows x
  /// n_outputs x n_directions) and the covariances (rows x n_covariances), as far as they are
  /// wanted.
  template <class MeanOf>
  void run(const MeanOf& mean_of, const float* input_var, Index rows, float* memory,
           float* jacobian, float* covariance) const {
    begin(rows, memory, covariance);
    for (Index i = plan_.n_steps() - 1; i >= 0; --i) {
      add_noise(i, rows, memory, covariance);
      if (i < lowest_) continue;
      const PlannedAffine* affine = plan_.affine_at(i);
      if (affine == nullptr) {
        pass_activation(i, rows, memory);
      } else {
        pass_affine(i, mean_of(*affine), rows, memory);
      }
    }
    end(input_var, rows, memory, jacobian, covariance);
  }

 private:
  /// Where an affine step has its packed weights, and what is kept of a step of a tile.
  struct Places {
    Index mean = 0, square = 0, var = 0;  ///< packed: W_mean, W_mean^2 and W_var, out x in
    Index noise = 0;                      ///< in memory: the variances that the step adds
    Index slopes = 0;                     ///< of an activation: four planes
    bool swapped = false;                 ///< which pair of planes holds the adjoint above it
    Index features = 0;  ///< columns of the result; a row may be longer, and holds anything beyond
  };

  /// The slopes of an activation. Until they are computed, a plane of them keeps its input's means.
  SlopesView slopes_of(Index i, Index rows, float* memory) const;
  static float* input_mean_in(SlopesView slopes) { return slopes.mean_by_var; }

  void begin(Index rows, float* memory, float* covariance) const;
  void add_noise(Index i, Index rows, float* memory, float* covariance) const;
  void pass_activation(Index i, Index rows, float* memory) const;
  void pass_affine(Index i, const float* input_mean, Index rows, float* memory) const;
  void end(const float* input_var, Index rows, float* memory, float* jacobian,
           float* covariance) const;

  /// Where the adjoint of an output lies above step i, and where an affine step writes that below:
  /// two pairs of planes in turn.
  PlanePair adjoint(Index output, Index i) const;
  PlanePair next(Index output, Index i) const;
  /// Whether the adjoint above step i has derivatives by variances: below the first activation.
  bool follows_var(Index i) const { return i < first_from_above_; }

  /// Adds G diag(noise) G^T, with G above a step.
  void add_spread(const float* noise, Index step, Index cols, Index stride, Index noise_stride,
                  Index rows, float* memory, float* covariance) const;
  /// output = values * packed plane, for padded planes of a tile.
  void multiply(Format format, const float* packed, const float* values, Index stride, Index rows,
                Index depth, Index columns, float* output, Index output_stride,
                float* memory) const;

  const Kernels& kernels_;
  Formats formats_;
  const TilePlan& plan_;
  std::vector<Places> places_;  // by step
  Index first_from_above_ = 0;  // the number of the topmost activation, or -1
  bool input_swapped_ = false;  // Places::swapped of the input
  Index fixed_size_ = 0;        // of memory, without the adjoints
  Index plane_size_ = 0;
  Index packed_size_ = 0;
  Index scratch_plane_ = 0;
  Index cells_ = 0;
  Buffer<float> packed_;
  Linearization wanted_{};
  Index memory_size_ = 0;
  Index lowest_ = 0;  // the lowest step that hands its adjoint on
};

}  // namespace tagix::cpu
