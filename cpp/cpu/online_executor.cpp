#include "cpu/online_executor.h"

#include <algorithm>
#include <limits>
#include <variant>

#include "core/memory.h"
#include "cpu/online_burst.h"

namespace tagix::cpu {
namespace {

/// Fewer rows are not worth the copies that a burst makes.
constexpr Index min_burst_rows = 32;

class OnlineExecutor final : public Executor {
 public:
  OnlineExecutor(Backend& backend, const Kernels& kernels, const std::vector<ChainStep>& steps,
                 Executor& linearizer)
      : Executor(backend),
        kernels_(kernels),
        linearizer_(linearizer),
        network_(backend, kernels, steps),
        burst_(backend, kernels, network_),
        innovation_(backend) {}

  ConstMomentsView predict(ConstMomentsView parameters, ConstMomentsView input) override {
    parameters.var == nullptr ? forward_means(parameters, input) : forward(parameters, input);
    return network_.prediction(input.rows);
  }

  Linearized linearize(ConstMomentsView parameters, ConstMomentsView input,
                       const Linearization& wanted) override {
    return linearize_with(linearizer_, *this, parameters, input, wanted);
  }

  Learned learn(ConstMomentsView parameters, ConstMomentsView input,
                const Observations& observations, bool need_input_delta) override {
    network_.rows = input.rows;
    forward(parameters, input);
    // The innovation of the output starts where the last affine step, or what lies above it, has
    // it.
    const PlanePair top = network_.above(network_.n_steps());
    backend_.observe(
        network_.prediction(network_.rows), observations.target, observations.noise,
        observations.spread,
        {network_.at(top.mean), network_.at(top.var), network_.rows, network_.out_features});
    backward(parameters, need_input_delta);
    if (!need_input_delta) return {network_.prediction(network_.rows), {}};
    return {network_.prediction(network_.rows),
            {network_.at(network_.below.mean), network_.at(network_.below.var), network_.rows,
             network_.in_features}};
  }

  ConstMomentsView innovation() override {
    innovation_.resize(1, network_.parameter_count);
    const MomentsView innovation = innovation_.view();
    for (const OnlineStep& step : network_.steps) {
      if (const auto* affine = std::get_if<OnlineAffine>(&step)) {
        network_.write_innovation(
            *affine, innovation.slice(affine->parameters, 1, affine->shape.parameter_count()));
      }
    }
    return innovation;
  }

  void update(const UpdateRule& rule, Index batch_size, MomentsView parameters,
              TrainingState* state) override {
    if (!innovations_are_bounded()) backend_.check_finite(innovation(), state);
    if (state->failure != Failure::none) return;
    for (const OnlineStep& step : network_.steps) {
      const auto* affine = std::get_if<OnlineAffine>(&step);
      if (affine != nullptr) network_.update_affine(*affine, rule, batch_size, parameters, state);
    }
  }

  /// As Executor::train, for many rows in a burst. A batch whose innovations might overflow, and
  /// all after it, are left to Executor::train.
  void train(const UpdateRule& rule, const TrainingRows& rows, Index batch_size,
             MomentsView parameters, TrainingState* state) override {
    const Index n_rows = rows.input.rows, outputs = network_.out_features;
    Index first = 0;
    if (rule.kind == math::UpdateKind::information && n_rows >= min_burst_rows &&
        state->failure == Failure::none && burst_.begin(parameters, batch_size)) {
      while (first < n_rows && state->failure == Failure::none) {
        const Index count = std::min(batch_size, n_rows - first);
        if (!burst_.learn(rule, rows.slice(first, count, outputs), parameters, state)) break;
        first += count;
      }
      burst_.end(parameters);
    }
    if (first < n_rows && state->failure == Failure::none) {
      Executor::train(rule, rows.slice(first, n_rows - first, outputs), batch_size, parameters,
                      state);
    }
  }

  Index training_rows(Index batch_size) const override {
    // Some milliseconds: other calls wait, and copies count little.
    constexpr Index parameter_rows = 1 << 24, most_rows = 4096;
    const Index rows = std::min(most_rows, parameter_rows / network_.parameter_count);
    return std::max<Index>(1, rows / batch_size) * batch_size;
  }

  Index prediction_rows() const override { return max_online_rows; }

 private:
  /// Moments of the output.
  void forward(ConstMomentsView parameters, ConstMomentsView input) {
    std::copy_n(input.mean, input.size(), network_.mean_into(0));
    network_.forward(
        input.rows, input.var,
        [&](const OnlineAffine& affine, const float* var, float* next_mean, float* next_var) {
          network_.affine_rows(affine, parameters, input.rows, var, next_mean, next_var);
        });
  }

  /// The means alone; the variances of the output are 0.
  void forward_means(ConstMomentsView parameters, ConstMomentsView input) {
    const Index rows = input.rows;
    std::copy_n(input.mean, input.size(), network_.mean_into(0));
    for (Index i = 0; i < network_.n_steps(); ++i) {
      const float* mean = network_.mean_into(i);
      float* const next_mean = network_.mean_into(i + 1);
      if (const OnlineAffine* affine = network_.affine_at(i)) {
        network_.affine_rows(*affine, parameters, rows, nullptr, next_mean, nullptr);
      } else {
        const auto& activation = std::get<OnlineActivation>(network_.step(i));
        kernels_.activation_values(activation.spec, mean, rows * activation.features, next_mean);
      }
    }
    std::fill_n(network_.at(network_.prediction_planes.var), rows * network_.out_features, 0.0f);
  }

  /// Passes the innovation of the output down to the lowest affine step, or to the input.
  void backward(ConstMomentsView parameters, bool need_input_delta) {
    for (Index i = network_.n_steps() - 1; i >= 0; --i) {
      const PlanePair target = network_.above(i);
      const bool at_input = target.mean == network_.below.mean;
      if (at_input && !need_input_delta) return;
      if (const OnlineAffine* affine = network_.affine_at(i)) {
        network_.pass_affine(*affine, parameters, target);
      } else {
        network_.pass_activation(std::get<OnlineActivation>(network_.step(i)), target);
      }
    }
  }

  /// Whether it is plain that no innovation overflows: none is larger than the product of the sums
  /// of its factors.
  bool innovations_are_bounded() {
    for (const OnlineStep& step : network_.steps) {
      const auto* affine = std::get_if<OnlineAffine>(&step);
      if (affine == nullptr) continue;
      const auto bounded = [&](Index delta, Index input) {
        const double largest =
            static_cast<double>(kernels_.absolute_sum(network_.at(delta),
                                                      network_.rows * affine->shape.out_features)) *
            (1 + static_cast<double>(kernels_.absolute_sum(
                     network_.at(input), network_.rows * affine->shape.in_features)));
        return largest < std::numeric_limits<float>::max();
      };
      if (!bounded(affine->delta.mean, affine->input.mean) ||
          !bounded(affine->delta.var, affine->input.var)) {
        return false;
      }
    }
    return true;
  }

  const Kernels& kernels_;
  Executor& linearizer_;
  OnlineNetwork network_;
  OnlineBurst burst_;
  Moments innovation_;
};

}  // namespace

std::unique_ptr<Executor> make_online_executor(Backend& backend, const Kernels& kernels,
                                               const std::vector<ChainStep>& steps,
                                               Executor& linearizer) {
  return std::make_unique<OnlineExecutor>(backend, kernels, steps, linearizer);
}

}  // namespace tagix::cpu
