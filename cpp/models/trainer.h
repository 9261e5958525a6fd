#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "core/executor.h"
#include "core/memory.h"
#include "models/batch_source.h"
#include "models/burst.h"
#include "models/model.h"

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
  struct QueuedBatch {
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
  std::map<Index, QueuedBatch> steps_;  // by their rows
  std::uint64_t buffer_moves_ = 0;      // when the steps were recorded
  Burst burst_;
};

}  // namespace tagix
