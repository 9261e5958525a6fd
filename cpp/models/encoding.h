#pragma once

#include <vector>

#include "core/index.h"
#include "math/piecewise_linear.h"

namespace tagix {

/// What networks see of standardized rows of a table: inputs that are piecewise linear in its
/// columns (docs/estimators.md).
///
/// The first inputs are the columns, each as it is or by its score; then come ramps,
/// clip((z - start) / (end - start), 0, 1) - centre of a column z; then columns that were added to
/// the table later, as they are.
class Encoding {
 public:
  /// A column's score: knots and values there, and the slope beyond them.
  struct Score {
    Index column;
    double slope;
    std::vector<double> knots;
    std::vector<double> values;
  };
  struct Ramp {
    Index column;
    double start;
    double end;
    double centre;
  };

  /// Throws std::invalid_argument for columns that are not among `n_columns`, fewer than two knots,
  /// knots that do not rise, ramps that do not, and numbers that are not finite.
  Encoding(Index n_columns, std::vector<Score> scores, const std::vector<Ramp>& ramps);

  Index n_columns() const { return n_columns_; }
  /// Inputs for rows of so many columns, at least n_columns().
  Index n_inputs(Index columns) const { return columns + n_ramps(); }

  /// Writes the n_inputs(columns) inputs of a row that is known.
  void encode(const float* row, Index columns, float* inputs) const;
  /// The same of a row of Gaussians, and variances. Inputs of a column whose variance is 0 are
  /// those of `encode`.
  void encode(const float* row, const float* row_var, Index columns, float* inputs,
              float* inputs_var) const;
  /// The derivative of each input by the one column that it depends on.
  void slopes(const float* row, Index columns, float* slopes) const;

 private:
  Index n_ramps() const { return static_cast<Index>(ramp_columns_.size()); }
  math::PiecewiseLinear score(const Score& score) const {
    return {score.knots.data(), score.values.data(), static_cast<int>(score.knots.size()),
            score.slope};
  }

  Index n_columns_;
  std::vector<Score> scores_;
  // Of ramps; as z * rise + offset, clipped.
  std::vector<Index> ramp_columns_;
  std::vector<float> start_, rise_, centre_;
  std::vector<double> ends_;  // two knots of each
};

}  // namespace tagix
