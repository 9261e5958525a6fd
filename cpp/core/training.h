#pragma once

#include <functional>
#include <vector>

#include "core/memory.h"
#include "core/model.h"

namespace tagix {

/// What one epoch gave. Means run over the observed targets; predictions are those made just
/// before each update.
struct EpochRecord {
  Index epoch = 0;            ///< epochs this model had been trained for before
  Index n_rows = 0;           ///< rows seen
  double mse = 0;             ///< mean squared error
  double predicted_var = 0;   ///< mean predicted variance, noise left out
  double log_likelihood = 0;  ///< mean log density of a target, noise included
  double seconds = 0;
  bool stopped = false;  ///< the progress callback ended the epoch early
};

/// Gives training batches in the backend's memory.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  virtual Index n_rows() const = 0;
  virtual Index in_features() const = 0;
  virtual Index out_features() const = 0;

  struct Batch {
    ConstMomentsView input;
    const float* target;
    BroadcastView noise_var;
  };
  /// The batch of the given rows (row numbers in the backend's memory) in epoch `epoch`. The views
  /// stay valid until the next call.
  virtual Batch load(Index epoch, const Index* rows, Index n_rows) = 0;
};

/// Called now and then with the rows done in this epoch; true ends the epoch.
using ProgressCallback = std::function<bool(Index rows_done)>;

/// One pass over the rows of `source` in batches, the last one partial. With `shuffle`, the order
/// follows from the model's seed and its number of epochs. Counts the epoch in the model unless
/// the callback ended it. Throws std::invalid_argument, before the first batch, for a source that
/// does not fit the model, and as Model::train_step does.
EpochRecord train_epoch(Model& model, BatchSource& source, Index batch_size, bool shuffle,
                        const ProgressCallback& progress);

/// Rows of inputs and targets, with one noise variance, one for each output, or one for each
/// target.
class RegressionSource final : public BatchSource {
 public:
  /// Uploads host arrays: x (rows x in), y (rows x out, NaN = missing). Throws
  /// std::invalid_argument on values that no model can take.
  RegressionSource(Backend& backend, const float* x, const float* y, Index rows, Index in_features,
                   Index out_features);

  /// Noise variances in force from the next batch on: 1 or out_features values.
  void set_noise_var(const std::vector<float>& noise_var);
  /// One noise variance for each target: a host array, rows x out.
  void set_noise_var_per_target(const float* noise_var);

  Index n_rows() const override { return rows_; }
  Index in_features() const override { return in_features_; }
  Index out_features() const override { return out_features_; }
  Batch load(Index epoch, const Index* rows, Index n_rows) override;

 private:
  Backend& backend_;
  Index rows_;
  Index in_features_;
  Index out_features_;
  Buffer<float> x_;
  Buffer<float> y_;
  Buffer<float> noise_var_;
  bool noise_per_target_ = false;
  Buffer<float> batch_x_;
  Buffer<float> batch_y_;
  Buffer<float> batch_noise_var_;
};

}  // namespace tagix
