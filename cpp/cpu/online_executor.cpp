#include "cpu/online_executor.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <variant>

#include "core/memory.h"
#include "cpu/step_places.h"

namespace tagix::cpu {
namespace {

/// An affine step with its places in memory, planes of max_online_rows rows.
struct OnlineAffine : PlacedAffine {
  PlanePair input;  ///< a_mean and a_mean^2
  PlanePair delta;  ///< innovations of the output
};

struct OnlineActivation {
  math::ActivationSpec spec;
  Index features;
  Index jacobian;
};

using OnlineStep = std::variant<OnlineAffine, OnlineActivation>;

class OnlineExecutor final : public Executor {
 public:
  OnlineExecutor(Backend& backend, const Kernels& kernels, const std::vector<ChainStep>& steps,
                 Executor& linearizer)
      : Executor(backend),
        kernels_(kernels),
        linearizer_(linearizer),
        memory_(backend),
        innovation_(backend) {
    in_features_ = input_features(steps);
    Index features = in_features_;
    Index widest = features;
    for (const ChainStep& step : steps) {
      if (const auto* affine = std::get_if<AffineStep>(&step)) {
        features = affine->out_features;
        widest = std::max(widest, features);
        const Index offset =
            std::exchange(parameter_count_, parameter_count_ + affine->parameter_count());
        steps_.emplace_back(
            OnlineAffine{{*affine, offset}, planes(affine->in_features), planes(features)});
      } else {
        steps_.emplace_back(
            OnlineActivation{std::get<math::ActivationSpec>(step), features, plane(features)});
      }
    }
    out_features_ = features;
    input_ = plane(widest);
    var_ = planes(widest);
    below_ = planes(in_features_);
    prediction_ = planes(out_features_);
    memory_.resize(arena_.size());
  }

  ConstMomentsView predict(ConstMomentsView parameters, ConstMomentsView input) override {
    parameters.var == nullptr ? forward_means(parameters, input) : forward(parameters, input);
    return prediction(input.rows);
  }

  Linearized linearize(ConstMomentsView parameters, ConstMomentsView input,
                       const Linearization& wanted) override {
    return linearize_with(linearizer_, *this, parameters, input, wanted);
  }

  Learned learn(ConstMomentsView parameters, ConstMomentsView input,
                const Observations& observations, bool need_input_delta) override {
    rows_ = input.rows;
    forward(parameters, input);
    // The innovation of the output starts where the last affine step, or what lies above it, has
    // it.
    const PlanePair top = above(n_steps());
    backend_.observe(prediction(rows_), observations.target, observations.noise,
                     observations.spread, {at(top.mean), at(top.var), rows_, out_features_});
    backward(parameters, need_input_delta);
    if (!need_input_delta) return {prediction(rows_), {}};
    return {prediction(rows_), {at(below_.mean), at(below_.var), rows_, in_features_}};
  }

  ConstMomentsView innovation() override {
    innovation_.resize(1, parameter_count_);
    const MomentsView innovation = innovation_.view();
    for (const OnlineStep& step : steps_) {
      if (const auto* affine = std::get_if<OnlineAffine>(&step)) {
        write_innovation(*affine,
                         innovation.slice(affine->parameters, 1, affine->shape.parameter_count()));
      }
    }
    return innovation;
  }

  void update(const UpdateRule& rule, Index batch_size, MomentsView parameters,
              TrainingState* state) override {
    if (!innovations_are_bounded()) backend_.check_finite(innovation(), state);
    if (state->failure != Failure::none) return;
    for (const OnlineStep& step : steps_) {
      const auto* affine = std::get_if<OnlineAffine>(&step);
      if (affine == nullptr) continue;
      const AffineStep& shape = affine->shape;
      const MomentsView own = parameters.slice(affine->parameters, 1, shape.parameter_count());
      const Index in = shape.in_features, out = shape.out_features;
      if (in % kernels_.layout.lanes != 0) {
        innovation_.resize(1, own.size());
        write_innovation(*affine, innovation_.view());
        backend_.update(rule, batch_size, innovation_.view(), own, state);
        continue;
      }
      kernels_.update_weight(rule.kind, rule.bound_for(batch_size),
                             {at(affine->delta.mean), at(affine->delta.var), at(affine->input.mean),
                              at(affine->input.var)},
                             rows_, out, in, own.mean, own.var);
      if (!shape.bias) continue;
      ConstMomentsView bias_innovation{at(affine->delta.mean), at(affine->delta.var), 1, out};
      if (rows_ > 1) {
        innovation_.resize(1, out);
        write_bias_innovation(*affine, innovation_.view());
        bias_innovation = innovation_.view();
      }
      backend_.update(rule, batch_size, bias_innovation, own.slice(shape.weight_size(), 1, out),
                      state);
    }
  }

  Index prediction_rows() const override { return max_online_rows; }

 private:
  /// A plane of `features` columns. A vector may be read past its end.
  Index plane(Index features) {
    const Index end_padding = 2 * kernels_.layout.lanes;
    return arena_.take(max_online_rows * features + end_padding);
  }
  PlanePair planes(Index features) { return {plane(features), plane(features)}; }

  float* at(Index offset) { return memory_.data() + offset; }
  Index n_steps() const { return static_cast<Index>(steps_.size()); }
  const OnlineStep& step(Index i) const { return steps_[static_cast<std::size_t>(i)]; }
  const OnlineAffine* affine_at(Index i) const {
    return i >= 0 && i < n_steps() ? std::get_if<OnlineAffine>(&step(i)) : nullptr;
  }
  ConstMomentsView prediction(Index rows) {
    return {at(prediction_.mean), at(prediction_.var), rows, out_features_};
  }

  /// Where step i reads its means; past the last step, where the prediction has them.
  float* mean_into(Index i) {
    if (i == n_steps()) return at(prediction_.mean);
    const OnlineAffine* affine = affine_at(i);
    return at(affine == nullptr ? input_ : affine->input.mean);
  }

  /// Moments of the output; keeps inputs of affine steps and Jacobians.
  void forward(ConstMomentsView parameters, ConstMomentsView input) {
    const Index rows = input.rows;
    float *var = at(var_.mean), *next_var = at(var_.var);
    std::copy_n(input.mean, input.size(), mean_into(0));
    const float* known_or_var = input.var;
    for (Index i = 0; i < n_steps(); ++i) {
      float *mean = mean_into(i), *next_mean = mean_into(i + 1);
      if (i + 1 == n_steps()) next_var = at(prediction_.var);
      if (const OnlineAffine* affine = affine_at(i)) {
        const Index in = affine->shape.in_features, out = affine->shape.out_features;
        float* square = at(affine->input.var);
        kernels_.square(mean, rows * in, square);
        for (Index row = 0; row < rows; ++row) {
          const float* row_var = known_or_var == nullptr ? nullptr : known_or_var + row * in;
          kernels_.affine_row({mean + row * in, row_var, square + row * in}, in,
                              affine->parameters_in(parameters), out, next_mean + row * out,
                              next_var + row * out);
        }
      } else {
        const auto& activation = std::get<OnlineActivation>(step(i));
        kernels_.activation(activation.spec, mean, known_or_var, rows * activation.features,
                            next_mean, next_var, at(activation.jacobian));
      }
      known_or_var = next_var;
      std::swap(var, next_var);
    }
  }

  /// The means alone; the variances of the output are 0.
  void forward_means(ConstMomentsView parameters, ConstMomentsView input) {
    const Index rows = input.rows;
    std::copy_n(input.mean, input.size(), mean_into(0));
    for (Index i = 0; i < n_steps(); ++i) {
      const float* mean = mean_into(i);
      float* const next_mean = mean_into(i + 1);
      if (const OnlineAffine* affine = affine_at(i)) {
        const Index in = affine->shape.in_features, out = affine->shape.out_features;
        for (Index row = 0; row < rows; ++row) {
          kernels_.affine_row({mean + row * in, nullptr, nullptr}, in,
                              affine->parameters_in(parameters), out, next_mean + row * out,
                              nullptr);
        }
      } else {
        const auto& activation = std::get<OnlineActivation>(step(i));
        kernels_.activation_values(activation.spec, mean, rows * activation.features, next_mean);
      }
    }
    std::fill_n(at(prediction_.var), rows * out_features_, 0.0f);
  }

  /// Where the innovation of what enters step i lies: the step below keeps it if it is affine, and
  /// passes it on in place else.
  PlanePair above(Index i) const {
    for (--i; i >= 0; --i) {
      if (const OnlineAffine* affine = affine_at(i)) return affine->delta;
    }
    return below_;
  }

  /// Passes the innovation of the output down to the lowest affine step, or to the input.
  void backward(ConstMomentsView parameters, bool need_input_delta) {
    for (Index i = n_steps() - 1; i >= 0; --i) {
      const PlanePair target = above(i);
      const bool at_input = target.mean == below_.mean;
      if (at_input && !need_input_delta) return;
      if (const OnlineAffine* affine = affine_at(i)) {
        const Index in = affine->shape.in_features, out = affine->shape.out_features;
        const float* weight = affine->parameters_in(parameters).weight_mean;
        for (Index row = 0; row < rows_; ++row) {
          kernels_.affine_row_backward(at(affine->delta.mean) + row * out,
                                       at(affine->delta.var) + row * out, out, weight, in,
                                       at(target.mean) + row * in, at(target.var) + row * in);
        }
      } else {
        const auto& activation = std::get<OnlineActivation>(step(i));
        kernels_.scale_deltas(at(activation.jacobian), rows_ * activation.features, at(target.mean),
                              at(target.var));
      }
    }
  }

  /// Whether it is plain that no innovation overflows: none is larger than the product of the sums
  /// of its factors.
  bool innovations_are_bounded() {
    for (const OnlineStep& step : steps_) {
      const auto* affine = std::get_if<OnlineAffine>(&step);
      if (affine == nullptr) continue;
      const auto bounded = [&](Index delta, Index input) {
        const double largest = static_cast<double>(kernels_.absolute_sum(
                                   at(delta), rows_ * affine->shape.out_features)) *
                               (1 + static_cast<double>(kernels_.absolute_sum(
                                        at(input), rows_ * affine->shape.in_features)));
        return largest < std::numeric_limits<float>::max();
      };
      if (!bounded(affine->delta.mean, affine->input.mean) ||
          !bounded(affine->delta.var, affine->input.var)) {
        return false;
      }
    }
    return true;
  }

  /// Innovations of the weight, then of the bias.
  void write_innovation(const OnlineAffine& affine, MomentsView target) {
    const Index in = affine.shape.in_features, out = affine.shape.out_features;
    kernels_.outer_product(Format::float32, {at(affine.delta.mean), out, out},
                           {at(affine.input.mean), in, in}, rows_, false, target.mean, in);
    kernels_.outer_product(Format::float32, {at(affine.delta.var), out, out},
                           {at(affine.input.var), in, in}, rows_, false, target.var, in);
    if (affine.shape.bias) {
      write_bias_innovation(affine, target.slice(affine.shape.weight_size(), 1, out));
    }
  }

  void write_bias_innovation(const OnlineAffine& affine, MomentsView target) {
    const Index out = affine.shape.out_features;
    std::fill_n(target.mean, out, 0.0f);
    std::fill_n(target.var, out, 0.0f);
    kernels_.add_column_sums(at(affine.delta.mean), out, rows_, out, target.mean);
    kernels_.add_column_sums(at(affine.delta.var), out, rows_, out, target.var);
  }

  const Kernels& kernels_;
  Executor& linearizer_;
  std::vector<OnlineStep> steps_;
  Index in_features_ = 0;
  Index out_features_ = 0;
  Index parameter_count_ = 0;
  Index rows_ = 0;   // of what was learned last
  Arena arena_;      // of memory_
  Index input_ = 0;  // means that enter a step without a place of its own
  PlanePair var_;    // variances on their way up, in turn
  PlanePair below_;  // the innovation of the input
  PlanePair prediction_;
  Buffer<float> memory_;
  Moments innovation_;
};

}  // namespace

std::unique_ptr<Executor> make_online_executor(Backend& backend, const Kernels& kernels,
                                               const std::vector<ChainStep>& steps,
                                               Executor& linearizer) {
  return std::make_unique<OnlineExecutor>(backend, kernels, steps, linearizer);
}

}  // namespace tagix::cpu
