#include "cpu/online_executor.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <variant>

#include "core/memory.h"
#include "cpu/burst_weights.h"
#include "cpu/step_places.h"

namespace tagix::cpu {
namespace {

/// Fewer rows are not worth the copies that a burst makes.
constexpr Index min_burst_rows = 32;

/// What bounds a burst: no innovation may come near what float32 holds, nor may their products with
/// variances.
constexpr double largest_burst_innovation = 1e28;
constexpr float largest_burst_sd = 1e4f;

/// An affine step with its places in memory, planes of max_online_rows rows.
struct OnlineAffine : PlacedAffine {
  PlanePair input;                      ///< a_mean and a_mean^2
  PlanePair delta;                      ///< innovations of the output
  Index second_moment;                  ///< of the input, a_mean^2 + a_var
  const float* jacobian = nullptr;      ///< of the activation below, null where there is none
  float largest_mean = 0;               ///< in a burst: no weight has a larger mean,
  float largest_sd = 0;                 ///< nor a larger standard deviation
  std::unique_ptr<BurstWeights> burst;  ///< null where it learns from its parameters as they lie
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
        OnlineAffine placed;
        placed.shape = *affine;
        placed.parameters = offset;
        placed.input = planes(affine->in_features);
        placed.delta = planes(features);
        placed.second_moment = plane(affine->in_features);
        if (features >= kernels.layout.lanes) {
          placed.burst = std::make_unique<BurstWeights>(backend, kernels, *affine);
        }
        widest_input_ = std::max(widest_input_, affine->in_features);
        steps_.emplace_back(std::move(placed));
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
    input_var_ = plane(in_features_);
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
      if (affine != nullptr) update_affine(*affine, rule, batch_size, parameters, state);
    }
  }

  /// As Executor::train, for many rows on copies of the parameters that are read once a step
  /// (BurstWeights): an innovation passes down and changes a layer at once. So that a failed update
  /// changes nothing, a step is taken where no innovation can overflow whatever the weights are, up
  /// to their largest; one that might is left to Executor::train, with all rows after it.
  void train(const UpdateRule& rule, const TrainingRows& rows, Index batch_size,
             MomentsView parameters, TrainingState* state) override {
    Index first = 0;
    if (rule.kind == math::UpdateKind::information && rows.input.rows >= min_burst_rows &&
        state->failure == Failure::none && begin_burst(parameters)) {
      start_rows(batch_size);
      while (first < rows.input.rows && state->failure == Failure::none) {
        const Index count = std::min(batch_size, rows.input.rows - first);
        if (!burst_step(rule, rows.slice(first, count, out_features_), parameters, state)) break;
        first += count;
      }
      end_burst(parameters);
    }
    const TrainingRows rest = rows.slice(first, rows.input.rows - first, out_features_);
    if (rest.input.rows > 0 && state->failure == Failure::none) {
      Executor::train(rule, rest, batch_size, parameters, state);
    }
  }

  Index training_rows(Index batch_size) const override {
    // Some milliseconds: other calls wait, and copies count little.
    constexpr Index parameter_rows = 1 << 24, most_rows = 4096;
    const Index rows = std::min(most_rows, parameter_rows / parameter_count_);
    return std::max<Index>(1, rows / batch_size) * batch_size;
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
  OnlineStep& step(Index i) { return steps_[static_cast<std::size_t>(i)]; }
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
        kernels_.activation(activation.spec, Format::float32, mean, known_or_var,
                            rows * activation.features,
                            {next_mean, next_var, at(activation.jacobian)});
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

  /// Changes the parameters of one step by what lies in its planes.
  void update_affine(const OnlineAffine& affine, const UpdateRule& rule, Index batch_size,
                     MomentsView parameters, TrainingState* state) {
    const AffineStep& shape = affine.shape;
    const MomentsView own = parameters.slice(affine.parameters, 1, shape.parameter_count());
    const Index in = shape.in_features, out = shape.out_features;
    if (in % kernels_.layout.lanes != 0) {
      innovation_.resize(1, own.size());
      write_innovation(affine, innovation_.view());
      backend_.update(rule, batch_size, innovation_.view(), own, state);
      return;
    }
    kernels_.update_weight(
        rule.kind, rule.bound_for(batch_size),
        {at(affine.delta.mean), at(affine.delta.var), at(affine.input.mean), at(affine.input.var)},
        rows_, out, in, own.mean, own.var);
    if (!shape.bias) return;
    ConstMomentsView bias_innovation{at(affine.delta.mean), at(affine.delta.var), 1, out};
    if (rows_ > 1) {
      innovation_.resize(1, out);
      write_bias_innovation(affine, innovation_.view());
      bias_innovation = innovation_.view();
    }
    backend_.update(rule, batch_size, bias_innovation, own.slice(shape.weight_size(), 1, out),
                    state);
  }

  /// Copies the parameters for a burst; false, and nothing is copied, where some are so uncertain
  /// that products with their variances might overflow.
  bool begin_burst(ConstMomentsView parameters) {
    for (OnlineStep& step : steps_) {
      auto* affine = std::get_if<OnlineAffine>(&step);
      if (affine == nullptr) continue;
      const Index size = affine->shape.parameter_count();
      affine->largest_mean = kernels_.largest_magnitude(parameters.mean + affine->parameters, size);
      affine->largest_sd =
          std::sqrt(kernels_.largest_magnitude(parameters.var + affine->parameters, size));
      if (!(affine->largest_sd < largest_burst_sd)) return false;
    }
    for (OnlineStep& step : steps_) {
      auto* affine = std::get_if<OnlineAffine>(&step);
      if (affine == nullptr || affine->burst == nullptr) continue;
      affine->burst->load(affine->parameters_in(parameters), affine->largest_sd);
    }
    live_.resize(static_cast<std::size_t>(widest_input_));
    return true;
  }

  void end_burst(MomentsView parameters) {
    for (const OnlineStep& step : steps_) {
      const auto* affine = std::get_if<OnlineAffine>(&step);
      if (affine == nullptr || affine->burst == nullptr) continue;
      affine->burst->store(
          parameters.slice(affine->parameters, 1, affine->shape.parameter_count()));
    }
  }

  /// The rows that the steps of a burst work on: those that a batch does not have are rows of zeros
  /// about which nothing is learned.
  void start_rows(Index batch_size) {
    rows_ = 1;
    while (rows_ < batch_size) rows_ *= 2;
    std::fill_n(mean_into(0), rows_ * in_features_, 0.0f);
    std::fill_n(at(input_var_), rows_ * in_features_, 0.0f);
    const PlanePair top = above(n_steps());
    std::fill_n(at(top.mean), rows_ * out_features_, 0.0f);
    std::fill_n(at(top.var), rows_ * out_features_, 0.0f);
  }

  /// Learns a batch; false, and nothing has happened, where an innovation might overflow.
  bool burst_step(const UpdateRule& rule, const TrainingRows& batch, MomentsView parameters,
                  TrainingState* state) {
    const Index count = batch.input.rows;
    if (count < last_count_) start_rows(rows_);
    last_count_ = count;
    burst_forward(parameters, batch.input);
    const PlanePair top = above(n_steps());
    backend_.observe(prediction(count), batch.target, batch.noise,
                     rule.spread(count, batch.noise.mean_weight),
                     {at(top.mean), at(top.var), count, out_features_});
    if (!burst_is_bounded()) {
      measure_weights(parameters);
      if (!burst_is_bounded()) return false;
    }
    backend_.sum_predictions(prediction(count), batch.target, batch.noise, state);
    if (state->failure == Failure::none) burst_backward(rule, count, parameters, state);
    return true;
  }

  /// Moments of the output of rows_ rows, by the copies of the weights where there are some.
  void burst_forward(ConstMomentsView parameters, ConstMomentsView input) {
    float *var = at(var_.mean), *next_var = at(var_.var);
    std::copy_n(input.mean, input.size(), mean_into(0));
    const float* known_or_var = nullptr;
    if (input.var != nullptr) {
      std::copy_n(input.var, input.size(), at(input_var_));
      known_or_var = at(input_var_);
    }
    bool has_squares = false;
    const float* jacobian = nullptr;
    for (Index i = 0; i < n_steps(); ++i) {
      float *mean = mean_into(i), *next_mean = mean_into(i + 1);
      if (i + 1 == n_steps()) next_var = at(prediction_.var);
      if (auto* affine = std::get_if<OnlineAffine>(&step(i))) {
        const Index in = affine->shape.in_features, out = affine->shape.out_features;
        float *const square = at(affine->input.var), *const moment = at(affine->second_moment);
        if (!has_squares) {
          kernels_.square(mean, rows_ * in, square);
          kernels_.second_moment(mean, known_or_var, rows_ * in, moment);
        }
        affine->jacobian = std::exchange(jacobian, nullptr);
        if (affine->burst != nullptr) {
          affine->burst->forward(burst_input(*affine, known_or_var), rows_, {next_mean, next_var});
        } else {
          for (Index row = 0; row < rows_; ++row) {
            const float* row_var = known_or_var == nullptr ? nullptr : known_or_var + row * in;
            kernels_.affine_row({mean + row * in, row_var, square + row * in}, in,
                                affine->parameters_in(parameters), out, next_mean + row * out,
                                next_var + row * out);
          }
        }
        has_squares = false;
      } else {
        const auto& activation = std::get<OnlineActivation>(step(i));
        ActivationOutput output{next_mean, next_var, at(activation.jacobian)};
        if (const OnlineAffine* above = affine_at(i + 1)) {
          output.square = at(above->input.var);
          output.second_moment = at(above->second_moment);
        }
        has_squares = output.square != nullptr;
        jacobian = output.jacobian;
        kernels_.activation(activation.spec, Format::float32, mean, known_or_var,
                            rows_ * activation.features, output);
      }
      known_or_var = next_var;
      std::swap(var, next_var);
    }
  }

  /// What enters an affine step, in one row but those that are 0.
  BurstInput burst_input(const OnlineAffine& affine, const float* var) {
    const Index in = affine.shape.in_features;
    BurstInput input{at(affine.input.mean), var, at(affine.second_moment), nullptr, in};
    if (rows_ == 1) {
      input.n_live = kernels_.find_live(input.second_moment, affine.jacobian, in, live_.data());
      if (input.n_live < in) input.live = live_.data();
    }
    return input;
  }

  /// Whether no innovation of a burst can overflow: those of an affine step are products of the
  /// innovations of its output, at most their sum, with what entered it, at most 1 + its sum; and
  /// the innovations of its input come to the sum times the largest mean of a weight.
  bool burst_is_bounded() {
    const PlanePair top = above(n_steps());
    const auto sum = [&](const float* values, Index features) {
      return static_cast<double>(kernels_.absolute_sum(values, rows_ * features));
    };
    double mean = sum(at(top.mean), out_features_), var = sum(at(top.var), out_features_);
    for (Index i = n_steps() - 1; i >= 0; --i) {
      double factor = 0;
      if (const OnlineAffine* affine = affine_at(i)) {
        const double input = 1 + sum(at(affine->input.mean), affine->shape.in_features);
        const double largest = std::max(mean * input, var * input * input);
        if (!(largest < largest_burst_innovation)) return false;
        factor = static_cast<double>(affine->largest_mean) *
                 static_cast<double>(affine->shape.in_features);
      } else {
        const auto& activation = std::get<OnlineActivation>(step(i));
        factor = static_cast<double>(
            kernels_.largest_magnitude(at(activation.jacobian), rows_ * activation.features));
      }
      mean *= factor;
      var *= factor * factor;
    }
    return true;
  }

  /// Looks at the means of the weights as they are now.
  void measure_weights(ConstMomentsView parameters) {
    for (OnlineStep& step : steps_) {
      auto* affine = std::get_if<OnlineAffine>(&step);
      if (affine == nullptr) continue;
      affine->largest_mean = affine->burst != nullptr
                                 ? affine->burst->largest_mean()
                                 : kernels_.largest_magnitude(parameters.mean + affine->parameters,
                                                              affine->shape.parameter_count());
    }
  }

  /// Passes the innovation of the output down, and changes the parameters on the way.
  void burst_backward(const UpdateRule& rule, Index batch_size, MomentsView parameters,
                      TrainingState* state) {
    const float clip = rule.bound_for(batch_size);
    for (Index i = n_steps() - 1; i >= 0; --i) {
      const PlanePair target = above(i);
      const bool at_input = target.mean == below_.mean;
      if (auto* affine = std::get_if<OnlineAffine>(&step(i))) {
        const BurstOutput below =
            at_input ? BurstOutput{} : BurstOutput{at(target.mean), at(target.var)};
        burst_backward_affine(*affine, rule, batch_size, below, parameters, state);
        affine->largest_mean += clip * affine->largest_sd;
      } else if (!at_input) {
        const auto& activation = std::get<OnlineActivation>(step(i));
        kernels_.scale_deltas(at(activation.jacobian), rows_ * activation.features, at(target.mean),
                              at(target.var));
      }
    }
  }

  void burst_backward_affine(const OnlineAffine& affine, const UpdateRule& rule, Index batch_size,
                             const BurstOutput& below, MomentsView parameters,
                             TrainingState* state) {
    const Index in = affine.shape.in_features, out = affine.shape.out_features;
    const BurstOutput delta{at(affine.delta.mean), at(affine.delta.var)};
    if (affine.burst != nullptr) {
      const BurstInput input = burst_input(affine, nullptr);
      if (input.live != nullptr && below.mean != nullptr) {
        std::fill_n(below.mean, in, 0.0f);
        std::fill_n(below.var, in, 0.0f);
      }
      affine.burst->learn(input, delta, rows_, rule.bound_for(batch_size), below);
      return;
    }
    if (below.mean != nullptr) {
      const float* const weight = affine.parameters_in(parameters).weight_mean;
      for (Index row = 0; row < rows_; ++row) {
        kernels_.affine_row_backward(delta.mean + row * out, delta.var + row * out, out, weight, in,
                                     below.mean + row * in, below.var + row * in);
      }
    }
    update_affine(affine, rule, batch_size, parameters, state);
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
  Index widest_input_ = 0;
  Index rows_ = 0;        // of what was learned last
  Index last_count_ = 0;  // the rows of a burst's last batch
  Arena arena_;           // of memory_
  Index input_ = 0;       // means that enter a step without a place of its own
  PlanePair var_;         // variances on their way up, in turn
  PlanePair below_;       // the innovation of the input
  PlanePair prediction_;
  Index input_var_ = 0;  // variances of the input of a burst
  std::vector<Index> live_;
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
