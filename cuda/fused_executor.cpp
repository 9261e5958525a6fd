#include "fused_executor.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "core/memory.h"
#include "fused_network.h"
#include "runtime.h"

namespace tagix::cuda {
namespace {

class FusedExecutor final : public Executor {
 public:
  FusedExecutor(Backend& backend, const FusedPlan& plan, std::optional<FusedPlan> online_plan,
                bool has_clusters, std::unique_ptr<Executor> by_graph)
      : Executor(backend),
        plan_(plan),
        online_plan_(std::move(online_plan)),
        has_clusters_(has_clusters),
        by_graph_(std::move(by_graph)),
        prediction_(backend),
        partial_(backend) {}

  ConstMomentsView predict(ConstMomentsView parameters, ConstMomentsView input) override {
    return by_graph_->predict(parameters, input);
  }
  Linearized linearize(ConstMomentsView parameters, ConstMomentsView input,
                       const Linearization& wanted) override {
    return by_graph_->linearize(parameters, input, wanted);
  }
  Learned learn(ConstMomentsView parameters, ConstMomentsView input,
                const Observations& observations, bool need_input_delta) override {
    return by_graph_->learn(parameters, input, observations, need_input_delta);
  }
  ConstMomentsView innovation() override { return by_graph_->innovation(); }
  void update(const UpdateRule& rule, Index batch_size, MomentsView parameters,
              TrainingState* state) override {
    by_graph_->update(rule, batch_size, parameters, state);
  }
  Index prediction_rows() const override { return by_graph_->prediction_rows(); }

  void train(const UpdateRule& rule, const TrainingRows& rows, Index batch_size,
             MomentsView parameters, TrainingState* state) override {
    const NoiseView& noise = rows.noise;
    if (noise.head.link == math::NoiseLink::softplus || noise.classes.exists() ||
        rows.input.var != nullptr) {
      by_graph_->train(rule, rows, batch_size, parameters, state);
      return;
    }
    const Index outputs = plan_.layer[plan_.n_layers - 1].out;
    if (batch_size == 1 && online_plan_) {
      prediction_.resize(rows.input.rows, outputs);
      fused_online(*online_plan_, rows, rule, prediction_.view(), parameters, state);
      backend_.sum_predictions(prediction_.view(), rows.target, rows.noise, state);
      return;
    }
    for (Index first = 0; first < rows.input.rows; first += batch_size) {
      const Index count = std::min(batch_size, rows.input.rows - first);
      const TrainingRows batch = rows.slice(first, count, outputs);
      const FusedPieces pieces = fused_pieces(count, has_clusters_);
      prediction_.resize(count, outputs);
      partial_.resize(pieces.count * 2 * plan_.plane_stride);
      fused_learn(plan_, parameters, batch, rule.spread(count, rows.noise.mean_weight),
                  prediction_.view(), pieces, partial_.data(), state);
      fused_update(plan_, partial_.data(), pieces.count, rule, batch, prediction_.view(),
                   parameters, state);
    }
  }

  // A few milliseconds of rows at a time.
  Index training_rows(Index batch_size) const override {
    return batch_size == 1 && online_plan_ ? 1024 : batch_size;
  }

 private:
  FusedPlan plan_;
  std::optional<FusedPlan> online_plan_;
  bool has_clusters_;
  std::unique_ptr<Executor> by_graph_;
  Moments prediction_;
  Buffer<float> partial_;
};

}  // namespace

std::unique_ptr<Executor> make_fused_executor(Backend& backend, const std::vector<ChainStep>& steps,
                                              std::unique_ptr<Executor> by_graph,
                                              std::optional<bool> use_clusters) {
  int shared_bytes = 0;
  check(cudaDeviceGetAttribute(&shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0),
        "asking what the device has");
  const bool has_clusters = compute_capability() >= 90;
  const auto limit = static_cast<std::size_t>(shared_bytes);
  const std::optional<FusedPlan> plan = plan_fused(steps, fused_rows, limit);
  if (!plan) return by_graph;
  std::optional<FusedPlan> online_plan = plan_fused(steps, 1, limit);
  if (fused_online_floats(*online_plan) * sizeof(float) > limit) online_plan.reset();
  return std::make_unique<FusedExecutor>(backend, *plan, online_plan,
                                         use_clusters.value_or(has_clusters), std::move(by_graph));
}

}  // namespace tagix::cuda
