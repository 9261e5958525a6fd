#include "core/executor.h"

#include <utility>
#include <vector>

namespace tagix {
namespace {

class LayerwiseExecutor final : public Executor {
 public:
  LayerwiseExecutor(Backend& backend, std::shared_ptr<const Layer> network)
      : backend_(backend), network_(std::move(network)), trace_(backend), deltas_(backend) {}

  ConstMomentsView predict(ConstMomentsView parameters, ConstMomentsView input) override {
    network_->forward(backend_, parameters, input, trace_);
    return trace_.result;
  }

  Learned learn(ConstMomentsView parameters, ConstMomentsView input,
                const Observations& observations, bool need_input_delta,
                MomentsView innovation) override {
    const ConstMomentsView prediction = predict(parameters, input);
    backend_.observe(prediction, observations.target, observations.noise_var, observations.spread,
                     deltas_.start(prediction.rows, prediction.cols));
    network_->backward(backend_, parameters, input, trace_, need_input_delta, deltas_, innovation);
    return {prediction, need_input_delta ? deltas_.current() : MomentsView{}};
  }

  // Activations of every layer are kept whole: this keeps those of common widths in cache.
  Index prediction_rows() const override { return 1024; }

 private:
  Backend& backend_;
  std::shared_ptr<const Layer> network_;
  Trace trace_;
  Deltas deltas_;
};

}  // namespace

std::unique_ptr<Executor> make_layerwise_executor(Backend& backend,
                                                  std::shared_ptr<const Layer> network) {
  return std::make_unique<LayerwiseExecutor>(backend, std::move(network));
}

std::unique_ptr<Executor> make_executor(Backend& backend, std::shared_ptr<const Layer> network) {
  std::vector<Step> steps;
  if (network->append_steps(steps)) {
    if (std::unique_ptr<Executor> fused = backend.fuse(steps)) return fused;
  }
  return make_layerwise_executor(backend, std::move(network));
}

}  // namespace tagix
