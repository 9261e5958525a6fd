#pragma once

#include <memory>

#include "core/backend.h"
#include "core/layer.h"

namespace tagix {

/// The targets of a batch: rows x outputs (NaN = missing), with noise variances that broadcast to
/// them and the rule's factor on the prior variance (UpdateRule::spread).
struct Observations {
  const float* target;
  BroadcastView noise_var;
  float spread;
};

/// What Executor::learn gives beside the innovations of the parameters; the views stay valid until
/// the executor's next call.
struct Learned {
  ConstMomentsView prediction;
  ConstMomentsView input_delta;  ///< empty unless asked for
};

/// Runs one network on one backend, with buffers of its own that are reused from call to call.
/// One executor serves one call at a time. All views are in the backend's memory.
class Executor {
 public:
  virtual ~Executor() = default;

  /// The moments of the output; the view stays valid until the next call.
  virtual ConstMomentsView predict(ConstMomentsView parameters, ConstMomentsView input) = 0;

  /// Predicts, meets the observations, and writes the innovations of the parameters (same shape as
  /// `parameters`, which stay as they are). Those of the input come back with `need_input_delta`.
  virtual Learned learn(ConstMomentsView parameters, ConstMomentsView input,
                        const Observations& observations, bool need_input_delta,
                        MomentsView innovation) = 0;

  /// The rows of a prediction that are best given at a time: more of them take more memory.
  virtual Index prediction_rows() const = 0;
};

/// The executor that runs any network on any backend, one layer after the other. It is the oracle
/// of every executor that fuses layers.
std::unique_ptr<Executor> make_layerwise_executor(Backend& backend,
                                                  std::shared_ptr<const Layer> network);

/// The executor of a network: fused where the backend can fuse it whole, else layerwise.
std::unique_ptr<Executor> make_executor(Backend& backend, std::shared_ptr<const Layer> network);

}  // namespace tagix
