#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "core/burst.h"
#include "core/executor.h"
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
  double noise_var = 0;       ///< mean noise variance
  double surprise = 0;        ///< mean of (target - mean)^2 / (variance, noise included)
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

  using Batch = TrainingRows;

  /// The batch of the next `n_rows` rows. The views stay valid until the next call, and are the
  /// same for every batch of that size.
  virtual Batch load(RowSelection rows, Index n_rows) = 0;
};

/// Called now and then with the rows done in this epoch; true ends the epoch.
using ProgressCallback = std::function<bool(Index rows_done)>;

/// Trains a model on the rows of a source, epoch by epoch.
///
/// Steps are queued without asking how the last one went, for some milliseconds at a time; between
/// those the parameters are free for predictions of other threads. From the third step of a size
/// on, where the backend can record, it is queued as one operation.
class Trainer {
 public:
  /// Batches have `batch_size` rows, the last one of an epoch what is left. With `shuffle`, the
  /// order of an epoch follows from the model's seed and its number of epochs. Model and source
  /// must outlive the trainer. Throws std::invalid_argument for a source that does not fit the
  /// model.
  Trainer(Model& model, BatchSource& source, Index batch_size, bool shuffle);

  /// One pass over the rows. Counts the epoch in the model unless the callback ended it. Throws
  /// std::invalid_argument when predictions or innovations overflow float32: batches up to the one
  /// that did stay learned.
  EpochRecord run_epoch(const ProgressCallback& progress);

 private:
  /// A step on some number of rows: done once to make room, then recorded.
  struct Step {
    bool has_run = false;
    std::unique_ptr<Recording> recording;
  };

  /// To be called when buffers have moved: the steps will be recorded anew.
  void forget_recordings();

  /// Queues `n_steps` steps from the row `position` on; returns where they end.
  Index queue_steps(MomentsView parameters, Index position, Index n_steps);

  Model& model_;
  BatchSource& source_;
  Index batch_size_;
  bool shuffle_;
  std::unique_ptr<Executor> executor_;
  Buffer<Index> order_;
  Buffer<TrainingState> state_;
  Index step_rows_;
  std::map<Index, Step> steps_;     // by their rows
  std::uint64_t buffer_moves_ = 0;  // when the steps were recorded
  Burst burst_;
};

/// The noise that holds for all rows of a source.
class SharedNoise {
 public:
  explicit SharedNoise(Backend& backend) : var_(backend) {}

  /// Variances: 1 or n_outputs values; throws std::invalid_argument for another number.
  void set_var(const std::vector<float>& var, Index n_outputs);
  /// What the network's head infers, and what its outputs say of classes, if it does either.
  void set_heads(math::NoiseHead head, math::ClassHead classes) {
    head_ = head;
    classes_ = classes;
  }
  /// Whether the outputs say all that there is to say.
  bool is_known_by_heads() const { return head_.exists() || classes_.exists(); }

  /// Throws std::invalid_argument if none has been set.
  NoiseView view() const;

 private:
  Buffer<float> var_;
  math::NoiseHead head_;
  math::ClassHead classes_;
};

/// Rows of inputs, known or uncertain, and targets, with one noise variance, one for each output,
/// or one for each target.
class RegressionSource final : public BatchSource {
 public:
  /// Uploads x (rows x in) and y (rows x out, NaN = missing). Throws
  /// std::invalid_argument on values that no model can take.
  RegressionSource(Backend& backend, HostPointer<const float> x, HostPointer<const float> y,
                   Index rows, Index in_features, Index out_features);
  /// Takes arrays that lie in the backend's memory, and keep their values as long as `owner` lives,
  /// as they are: x (rows x in) and y (rows x out_features). Throws std::invalid_argument unless x
  /// is finite; of y an infinite value fails in training.
  RegressionSource(Backend& backend, const float* x, const float* y, Index rows, Index in_features,
                   Index out_features, std::shared_ptr<const void> owner);

  /// Noise variances in force from the next batch on: 1 or out_features values.
  void set_noise_var(const std::vector<float>& noise_var);
  /// One noise variance for each target: rows x out.
  void set_noise_var_per_target(HostPointer<const float> noise_var);
  /// Weights of the rows, finite and at least 0.
  void set_weight(HostPointer<const float> weight);
  /// Variances of the inputs: rows x in, finite and at least 0.
  void set_x_var(HostPointer<const float> x_var);
  /// What the network's outputs say of noise or of classes, if they do.
  void set_heads(math::NoiseHead head, math::ClassHead classes = {}) {
    noise_.set_heads(head, classes);
  }

  Index n_rows() const override { return rows_; }
  Index in_features() const override { return in_features_; }
  Index out_features() const override { return out_features_; }
  Batch load(RowSelection rows, Index n_rows) override;

 private:
  Backend& backend_;
  Index rows_;
  Index in_features_;
  Index out_features_;
  Buffer<float> own_x_;
  Buffer<float> own_y_;
  std::shared_ptr<const void> owner_;  // of x_ and y_, where they are not the source's own
  const float* x_;
  const float* y_;
  SharedNoise noise_;
  Buffer<float> noise_var_per_target_;  // empty unless it is in force
  Buffer<float> weight_;                // empty where all rows count as one
  float mean_weight_ = 1;
  Buffer<float> x_var_;  // empty where inputs are known
  Buffer<float> batch_x_;
  Buffer<float> batch_x_var_;
  Buffer<float> batch_y_;
  Buffer<float> batch_noise_var_;
  Buffer<float> batch_weight_;
};

}  // namespace tagix
