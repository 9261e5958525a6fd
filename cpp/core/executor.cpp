#include "core/executor.h"

#include <utility>
#include <vector>

namespace tagix {
namespace {

class LayerwiseExecutor final : public Executor {
 public:
  LayerwiseExecutor(Backend& backend, std::shared_ptr<const Layer> network)
      : backend_(backend),
        network_(std::move(network)),
        trace_(backend),
        deltas_(backend),
        innovation_(backend) {}

  ConstMomentsView predict(ConstMomentsView parameters, ConstMomentsView input) override {
    network_->forward(backend_, parameters, input, trace_);
    return trace_.result;
  }

  Learned learn(ConstMomentsView parameters, ConstMomentsView input,
                const Observations& observations, bool need_input_delta) override {
    const ConstMomentsView prediction = predict(parameters, input);
    backend_.observe(prediction, observations.target, observations.noise_var, observations.spread,
                     deltas_.start(prediction.rows, prediction.cols));
    innovation_.resize(1, parameters.size());
    network_->backward(backend_, parameters, input, trace_, need_input_delta, deltas_,
                       innovation_.view());
    return {prediction, need_input_delta ? deltas_.current() : MomentsView{}};
  }

  ConstMomentsView innovation() override { return innovation_.view(); }

  bool update(const UpdateRule& rule, Index batch_size, MomentsView parameters) override {
    return update_by(innovation(), backend_, rule, batch_size, parameters);
  }

  // Activations of every layer are kept whole: this keeps those of common widths in cache.
  Index prediction_rows() const override { return 1024; }

 private:
  Backend& backend_;
  std::shared_ptr<const Layer> network_;
  Trace trace_;
  Deltas deltas_;
  Moments innovation_;
};

}  // namespace

bool update_by(ConstMomentsView innovation, Backend& backend, const UpdateRule& rule,
               Index batch_size, MomentsView parameters) {
  if (!backend.all_finite(innovation)) return false;
  backend.update(rule, batch_size, innovation, parameters);
  return true;
}

std::unique_ptr<Executor> make_layerwise_executor(Backend& backend,
                                                  std::shared_ptr<const Layer> network) {
  return std::make_unique<LayerwiseExecutor>(backend, std::move(network));
}

std::unique_ptr<Executor> make_executor(Backend& backend, std::shared_ptr<const Layer> network) {
  std::vector<Step> steps;
  const bool has_steps = network->append_steps(steps);
  std::unique_ptr<Executor> layerwise = make_layerwise_executor(backend, std::move(network));
  return has_steps ? backend.fuse(steps, std::move(layerwise)) : std::move(layerwise);
}

}  // namespace tagix
