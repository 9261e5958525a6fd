#include <utility>

#include "core/executor.h"

namespace tagix {
namespace {

class LayerwiseExecutor final : public Executor {
 public:
  LayerwiseExecutor(Backend& backend, std::shared_ptr<const Layer> network)
      : backend_(backend), network_(std::move(network)), trace_(backend), deltas_(backend) {}

  ConstMomentsView forward(ConstMomentsView parameters, ConstMomentsView input) override {
    network_->forward(backend_, parameters, input, trace_);
    return trace_.result;
  }

  MomentsView output_delta(Index rows, Index cols) override { return deltas_.start(rows, cols); }

  MomentsView backward(ConstMomentsView parameters, ConstMomentsView input, bool need_input_delta,
                       MomentsView innovation) override {
    network_->backward(backend_, parameters, input, trace_, need_input_delta, deltas_, innovation);
    return need_input_delta ? deltas_.current() : MomentsView{};
  }

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

}  // namespace tagix
