#include "cpu/executor_choice.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "cpu/denormals.h"
#include "cpu/online_executor.h"
#include "cpu/tiled_executor.h"

namespace tagix::cpu {
namespace {

/// A call of a network that is arithmetic alone is in one mode as a whole. Where it has functions
/// of the user's own, which run in the caller's mode, each loop sets the mode for itself.
class ModeOfCall {
 public:
  explicit ModeOfCall(bool is_arithmetic) {
    if (is_arithmetic) as_zero_.emplace();
  }

 private:
  std::optional<DenormalsAsZero> as_zero_;
};

class FusedExecutor final : public Executor {
 public:
  FusedExecutor(Backend& backend, const Kernels& kernels, const std::vector<ChainStep>& steps,
                std::unique_ptr<Executor> by_graph)
      : Executor(backend),
        by_graph_(std::move(by_graph)),
        tiled_(make_tiled_executor(backend, kernels, steps, *by_graph_)),
        few_rows_(tagix::calls_the_host(steps)
                      ? nullptr
                      : make_online_executor(backend, kernels, steps, many_rows())) {}

  ConstMomentsView predict(ConstMomentsView parameters, ConstMomentsView input) override {
    const ModeOfCall mode(is_arithmetic());
    return executor_for(input.rows).predict(parameters, input);
  }

  Linearized linearize(ConstMomentsView parameters, ConstMomentsView input,
                       const Linearization& wanted) override {
    const ModeOfCall mode(is_arithmetic());
    return executor_for(input.rows).linearize(parameters, input, wanted);
  }

  Learned learn(ConstMomentsView parameters, ConstMomentsView input,
                const Observations& observations, bool need_input_delta) override {
    const ModeOfCall mode(is_arithmetic());
    learned_ = &executor_for(input.rows);
    return learned_->learn(parameters, input, observations, need_input_delta);
  }

  void train(const UpdateRule& rule, const TrainingRows& rows, Index batch_size,
             MomentsView parameters, TrainingState* state) override {
    const ModeOfCall mode(is_arithmetic());
    if (batch_size <= max_online_rows) {
      few_rows().train(rule, rows, batch_size, parameters, state);
    } else {
      Executor::train(rule, rows, batch_size, parameters, state);
    }
  }

  Index training_rows(Index batch_size) const override {
    return executor_for(batch_size).training_rows(batch_size);
  }

  ConstMomentsView innovation() override { return learned_->innovation(); }

  void update(const UpdateRule& rule, Index batch_size, MomentsView parameters,
              TrainingState* state) override {
    const ModeOfCall mode(is_arithmetic());
    learned_->update(rule, batch_size, parameters, state);
  }

  Index prediction_rows() const override { return many_rows().prediction_rows(); }

  bool calls_the_host() const override { return by_graph_->calls_the_host(); }

 private:
  bool is_arithmetic() const { return few_rows_ != nullptr; }
  Executor& many_rows() const { return tiled_ != nullptr ? *tiled_ : *by_graph_; }
  Executor& few_rows() const { return few_rows_ != nullptr ? *few_rows_ : *by_graph_; }
  Executor& executor_for(Index rows) const {
    return rows <= max_online_rows ? few_rows() : many_rows();
  }

  std::unique_ptr<Executor> by_graph_;
  std::unique_ptr<Executor> tiled_;  // null for a network that is too wide
  // Null for a network with functions of the user's own: to call them takes longer than all else.
  std::unique_ptr<Executor> few_rows_;
  Executor* learned_ = nullptr;  // that of the last batch that was learned
};

}  // namespace

std::unique_ptr<Executor> make_fused_executor(Backend& backend, const Kernels& kernels,
                                              const std::vector<ChainStep>& steps,
                                              std::unique_ptr<Executor> by_graph) {
  const bool has_parameters = std::any_of(steps.begin(), steps.end(), [](const ChainStep& step) {
    return std::holds_alternative<AffineStep>(step);
  });
  if (!has_parameters) return by_graph;
  return std::make_unique<FusedExecutor>(backend, kernels, steps, std::move(by_graph));
}

}  // namespace tagix::cpu
