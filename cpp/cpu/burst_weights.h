#pragma once

#include <vector>

#include "core/memory.h"
#include "cpu/kernels.h"
#include "cpu/step_places.h"

namespace tagix::cpu {

/// The parameters of an affine map by its inputs, for as long as a network learns a few rows after
/// the other: copied from where they lie, changed by many updates, and written back.
class BurstWeights {
 public:
  BurstWeights(Backend& backend, const Kernels& kernels, const AffineStep& shape);

  /// Takes the parameters; `largest_sd` bounds the standard deviations of its weights.
  void load(const AffineParameters& from, float largest_sd);
  /// Writes them back, to the weight and then the bias.
  void store(MomentsView parameters) const;

  /// The moments of the output, rows of `out`, of all inputs. Those of a lone row that are 0 with
  /// certainty and, where there is a Jacobian of the activation below, have a Jacobian of 0 are
  /// left out, here and in `learn`.
  void forward(const BurstInput& input, const float* jacobian, Index rows,
               const BurstOutput& output);

  /// Takes innovations of the output (rows of `out`; 1, 2, 4 or 8 rows) to those of the input and
  /// changes the parameters by the information rule (Kernels::update_burst). The input is that of
  /// `forward` before it.
  void learn(const BurstInput& input, const BurstOutput& delta, Index rows, float clip,
             const BurstOutput& below);

  /// The largest mean of a weight.
  float largest_mean() const;

 private:
  bool is_padded() const { return weight_.padded_out != shape_.out_features; }
  /// The inputs that are not left out.
  BurstInput live_of(const BurstInput& input) const;
  /// Copies rows from planes of `from` columns to planes of `to` columns.
  static void copy_rows(const BurstOutput& source, Index from, const BurstOutput& target, Index to,
                        Index rows);

  const Kernels& kernels_;
  AffineStep shape_;
  Buffer<float> memory_;
  BurstWeight weight_;
  BurstOutput padded_;    // rows of padded_out, where that is not `out`
  BurstOutput bias_sum_;  // innovations of the bias
  std::vector<Index> live_;
  Index n_live_ = 0;
};

}  // namespace tagix::cpu
