#pragma once

#include <memory>
#include <vector>

#include "models/model.h"

namespace tagix {

/// Mean and variance of the numbers seen so far, by Welford's recurrence (Technometrics, 1962);
/// missing numbers do not count.
struct RunningMoments {
  double count = 0;
  double mean = 0;
  double sum_of_squares = 0;  ///< of deviations from the mean

  void add(double value);
};

/// A column of a stream: how it is standardized, z = (value - mean) / scale, and what has been seen
/// of it.
struct StreamColumn {
  double mean = 0;
  double scale = 1;
  RunningMoments seen;
};

/// Sums over what was predicted just before each row was learned, in the units of the data.
struct PrequentialSums {
  double n_rows = 0;
  double n_observed = 0;      ///< rows whose target was not missing
  double log_likelihood = 0;  ///< of the targets, noise included
  double squared_error = 0;   ///< of numbers; of classes (1 - p)^2
  double absolute_error = 0;  ///< of numbers; of classes 1 - p
  double n_covered = 0;       ///< numbers inside the central 90 % of their predictions
  double n_correct = 0;       ///< classes that were the most probable
};

/// What a stream expects of a number, in its units; `var` counts the noise.
struct StreamPrediction {
  double mean;
  double var;
};

/// One row after the other for a model on the CPU, from numbers as they come: columns are
/// standardized, features that are missing count as their mean with their variance, and what was
/// predicted before each update is summed up.
///
/// The standardization stays as it is until `columns` and `target` are set anew, and then the
/// model's parameters are to follow.
class Stream {
 public:
  /// Throws std::invalid_argument for a model on another device, one that neither infers its noise
  /// nor has classes, one of several targets, a number of columns that does not fit, means that are
  /// not finite, and scales that are not positive.
  Stream(std::shared_ptr<Model> model, std::vector<StreamColumn> columns, StreamColumn target,
         const PrequentialSums& sums);

  Index n_features() const { return static_cast<Index>(columns_.size()); }
  bool has_classes() const { return classes_.exists(); }

  /// What is expected of a row's target; x has n_features() values, NaN where missing. Throws
  /// std::invalid_argument for infinite values.
  StreamPrediction predict(const double* x);
  /// The probabilities of classes, written to n_classes values.
  void predict_proba(const double* x, HostPointer<float> probabilities);

  /// Predicts a row, updates the model, and adds to the sums and to what has been seen; y is a
  /// number or a class, NaN where missing. Returns whether the number of rows is now a power of
  /// two: the time to standardize anew. Throws std::invalid_argument as Model::update, and then
  /// nothing has changed.
  bool learn(const double* x, double y);

  const std::vector<StreamColumn>& columns() const { return columns_; }
  const StreamColumn& target() const { return target_; }
  /// Changes the standardization: `mean` and `scale` are taken over, and what was seen stays.
  void set_scaling(const std::vector<StreamColumn>& columns, const StreamColumn& target);
  const PrequentialSums& sums() const { return sums_; }

 private:
  /// The row standardized, in input_; its variances are null where nothing is missing.
  HostMoments standardized(const double* x);
  /// Where the model writes what it had expected of a number, or the outputs of classes.
  HostPredictionArrays prediction();
  StreamPrediction in_units() const;
  /// Adds what the model had expected, which lies in prediction_, of a target.
  void sum_number(double y);
  void record_class(Index label);

  std::shared_ptr<Model> model_;
  math::ClassHead classes_;
  std::vector<StreamColumn> columns_;
  StreamColumn target_;
  PrequentialSums sums_;
  std::vector<float> input_;       // means, then variances
  std::vector<float> prediction_;  // mean, var, noise_var, total_var of each output
  std::vector<float> probabilities_;
};

}  // namespace tagix
