#pragma once

#include <memory>

#include "core/backend.h"
#include "core/layer.h"

namespace tagix {

/// Runs one network on one backend, with buffers of its own that are reused from call to call.
/// One executor serves one call at a time.
class Executor {
 public:
  virtual ~Executor() = default;

  /// The moments of the output; the view stays valid until the next forward.
  virtual ConstMomentsView forward(ConstMomentsView parameters, ConstMomentsView input) = 0;

  /// Where the innovation of the output (rows x cols) is to be written before backward.
  virtual MomentsView output_delta(Index rows, Index cols) = 0;

  /// Turns the innovation of the output, after a forward pass with the same parameters and input,
  /// into that of the parameters (same shape as `parameters`). Returns the innovation of the input
  /// if `need_input_delta`, else an empty view.
  virtual MomentsView backward(ConstMomentsView parameters, ConstMomentsView input,
                               bool need_input_delta, MomentsView innovation) = 0;
};

/// The executor that runs any network on any backend, one layer after the other. It is the oracle
/// of every executor that fuses layers.
std::unique_ptr<Executor> make_layerwise_executor(Backend& backend,
                                                  std::shared_ptr<const Layer> network);

}  // namespace tagix
