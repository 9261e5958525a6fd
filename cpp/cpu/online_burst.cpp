#include "cpu/online_burst.h"

#include <algorithm>
#include <cmath>

namespace tagix::cpu {
namespace {

/// No innovation may come near what float32 holds, nor may their products with variances.
constexpr double largest_innovation = 1e28;
constexpr float largest_sd = 1e4f;

}  // namespace

bool OnlineBurst::begin(ConstMomentsView parameters, Index batch_size) {
  for (OnlineStep& step : network_.steps) {
    auto* affine = std::get_if<OnlineAffine>(&step);
    if (affine == nullptr) continue;
    const Index size = affine->shape.parameter_count();
    affine->largest_mean = kernels_.largest_magnitude(parameters.mean + affine->parameters, size);
    affine->largest_sd =
        std::sqrt(kernels_.largest_magnitude(parameters.var + affine->parameters, size));
    if (!(affine->largest_sd < largest_sd)) return false;
  }
  for (OnlineStep& step : network_.steps) {
    auto* affine = std::get_if<OnlineAffine>(&step);
    if (affine == nullptr || affine->burst == nullptr) continue;
    affine->burst->load(affine->parameters_in(parameters), affine->largest_sd);
  }
  start_rows(batch_size);
  return true;
}

void OnlineBurst::end(MomentsView parameters) {
  for (const OnlineStep& step : network_.steps) {
    const auto* affine = std::get_if<OnlineAffine>(&step);
    if (affine == nullptr || affine->burst == nullptr) continue;
    affine->burst->store(parameters.slice(affine->parameters, 1, affine->shape.parameter_count()));
  }
}

void OnlineBurst::start_rows(Index batch_size) {
  network_.rows = 1;
  while (network_.rows < batch_size) network_.rows *= 2;
  std::fill_n(network_.mean_into(0), network_.rows * network_.in_features, 0.0f);
  std::fill_n(network_.at(network_.input_var), network_.rows * network_.in_features, 0.0f);
  const PlanePair top = network_.above(network_.n_steps());
  std::fill_n(network_.at(top.mean), network_.rows * network_.out_features, 0.0f);
  std::fill_n(network_.at(top.var), network_.rows * network_.out_features, 0.0f);
}

bool OnlineBurst::learn(const UpdateRule& rule, const TrainingRows& batch, MomentsView parameters,
                        TrainingState* state) {
  const Index count = batch.input.rows;
  if (count < last_count_) start_rows(network_.rows);
  last_count_ = count;
  forward(parameters, batch.input);
  const PlanePair top = network_.above(network_.n_steps());
  backend_.observe(network_.prediction(count), batch.target, batch.noise,
                   rule.spread(count, batch.noise.mean_weight),
                   {network_.at(top.mean), network_.at(top.var), count, network_.out_features});
  if (!is_bounded()) {
    measure_weights(parameters);
    if (!is_bounded()) return false;
  }
  backend_.sum_predictions(network_.prediction(count), batch.target, batch.noise, state);
  if (state->failure == Failure::none) backward(rule, count, parameters, state);
  return true;
}

void OnlineBurst::forward(ConstMomentsView parameters, ConstMomentsView input) {
  std::copy_n(input.mean, input.size(), network_.mean_into(0));
  float* const input_var = input.var == nullptr ? nullptr : network_.at(network_.input_var);
  if (input_var != nullptr) std::copy_n(input.var, input.size(), input_var);
  network_.forward(
      network_.rows, input_var,
      [&](const OnlineAffine& affine, const float* var, float* next_mean, float* next_var) {
        if (affine.burst != nullptr) {
          affine.burst->forward(input_of(affine, var), affine.jacobian, network_.rows,
                                {next_mean, next_var});
        } else {
          network_.affine_rows(affine, parameters, network_.rows, var, next_mean, next_var);
        }
      });
}

BurstInput OnlineBurst::input_of(const OnlineAffine& affine, const float* var) const {
  return {network_.at(affine.input.mean), var, network_.at(affine.second_moment), nullptr,
          affine.shape.in_features};
}

bool OnlineBurst::is_bounded() {
  const PlanePair top = network_.above(network_.n_steps());
  const auto sum = [&](const float* values, Index features) {
    return static_cast<double>(kernels_.absolute_sum(values, network_.rows * features));
  };
  double mean = sum(network_.at(top.mean), network_.out_features);
  double var = sum(network_.at(top.var), network_.out_features);
  for (Index i = network_.n_steps() - 1; i >= 0; --i) {
    double factor = 0;
    if (const OnlineAffine* affine = network_.affine_at(i)) {
      const double input = 1 + sum(network_.at(affine->input.mean), affine->shape.in_features);
      const double largest = std::max(mean * input, var * input * input);
      if (!(largest < largest_innovation)) return false;
      factor = static_cast<double>(affine->largest_mean) *
               static_cast<double>(affine->shape.in_features);
    } else {
      const auto& activation = std::get<OnlineActivation>(network_.step(i));
      factor = static_cast<double>(kernels_.largest_magnitude(network_.at(activation.jacobian),
                                                              network_.rows * activation.features));
    }
    mean *= factor;
    var *= factor * factor;
  }
  return true;
}

void OnlineBurst::measure_weights(ConstMomentsView parameters) {
  for (OnlineStep& step : network_.steps) {
    auto* affine = std::get_if<OnlineAffine>(&step);
    if (affine == nullptr) continue;
    affine->largest_mean = affine->burst != nullptr
                               ? affine->burst->largest_mean()
                               : kernels_.largest_magnitude(parameters.mean + affine->parameters,
                                                            affine->shape.parameter_count());
  }
}

void OnlineBurst::backward(const UpdateRule& rule, Index batch_size, MomentsView parameters,
                           TrainingState* state) {
  const float clip = rule.bound_for(batch_size);
  for (Index i = network_.n_steps() - 1; i >= 0; --i) {
    const PlanePair target = network_.above(i);
    const bool at_input = target.mean == network_.below.mean;
    if (auto* affine = std::get_if<OnlineAffine>(&network_.step(i))) {
      if (affine->burst != nullptr) {
        affine->burst->learn(
            input_of(*affine, nullptr),
            {network_.at(affine->delta.mean), network_.at(affine->delta.var)}, network_.rows, clip,
            at_input ? BurstOutput{}
                     : BurstOutput{network_.at(target.mean), network_.at(target.var)});
      } else {
        if (!at_input) network_.pass_affine(*affine, parameters, target);
        network_.update_affine(*affine, rule, batch_size, parameters, state);
      }
      affine->largest_mean += clip * affine->largest_sd;
    } else if (!at_input) {
      network_.pass_activation(std::get<OnlineActivation>(network_.step(i)), target);
    }
  }
}

}  // namespace tagix::cpu
