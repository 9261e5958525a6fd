#pragma once

#include "core/executor.h"

namespace tagix {

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

}  // namespace tagix
