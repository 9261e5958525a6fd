#include "cpu/online_network.h"

#include <algorithm>
#include <utility>

#include "cpu/online_executor.h"

namespace tagix::cpu {

OnlineNetwork::OnlineNetwork(Backend& backend, const Kernels& kernels,
                             const std::vector<ChainStep>& network)
    : backend_(backend), kernels_(kernels), memory_(backend), innovation_(backend) {
  in_features = input_features(network);
  Index features = in_features;
  Index widest = features;
  for (const ChainStep& step : network) {
    if (const auto* affine = std::get_if<AffineStep>(&step)) {
      features = affine->out_features;
      widest = std::max(widest, features);
      const Index offset =
          std::exchange(parameter_count, parameter_count + affine->parameter_count());
      OnlineAffine placed;
      placed.shape = *affine;
      placed.parameters = offset;
      placed.input = planes(affine->in_features);
      placed.delta = planes(features);
      placed.second_moment = plane(affine->in_features);
      if (features >= kernels_.layout.lanes) {
        placed.burst = std::make_unique<BurstWeights>(backend_, kernels_, *affine);
      }
      steps.emplace_back(std::move(placed));
    } else {
      steps.emplace_back(
          OnlineActivation{std::get<math::ActivationSpec>(step), features, plane(features)});
    }
  }
  out_features = features;
  input_ = plane(widest);
  var = planes(widest);
  below = planes(in_features);
  prediction_planes = planes(out_features);
  input_var = plane(in_features);
  memory_.resize(arena_.size());
}

Index OnlineNetwork::plane(Index features) {
  const Index end_padding = 2 * kernels_.layout.lanes;
  return arena_.take(max_online_rows * features + end_padding);
}

float* OnlineNetwork::mean_into(Index i) {
  if (i == n_steps()) return at(prediction_planes.mean);
  const OnlineAffine* affine = affine_at(i);
  return at(affine == nullptr ? input_ : affine->input.mean);
}

PlanePair OnlineNetwork::above(Index i) const {
  for (--i; i >= 0; --i) {
    if (const OnlineAffine* affine = affine_at(i)) return affine->delta;
  }
  return below;
}

void OnlineNetwork::affine_rows(const OnlineAffine& affine, ConstMomentsView parameters,
                                Index n_rows, const float* row_var, float* output_mean,
                                float* output_var) {
  kernels_.affine_rows({at(affine.input.mean), row_var, at(affine.input.var)}, n_rows,
                       affine.shape.in_features, affine.parameters_in(parameters),
                       affine.shape.out_features, output_mean, output_var);
}

void OnlineNetwork::pass_affine(const OnlineAffine& affine, ConstMomentsView parameters,
                                PlanePair target) {
  kernels_.affine_rows_backward(at(affine.delta.mean), at(affine.delta.var), rows,
                                affine.shape.out_features,
                                affine.parameters_in(parameters).weight_mean,
                                affine.shape.in_features, at(target.mean), at(target.var));
}

void OnlineNetwork::pass_activation(const OnlineActivation& activation, PlanePair target) {
  kernels_.scale_deltas(at(activation.jacobian), rows * activation.features, at(target.mean),
                        at(target.var));
}

void OnlineNetwork::update_affine(const OnlineAffine& affine, const UpdateRule& rule,
                                  Index batch_size, MomentsView parameters, TrainingState* state) {
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
      rows, out, in, own.mean, own.var);
  if (!shape.bias) return;
  ConstMomentsView bias_innovation{at(affine.delta.mean), at(affine.delta.var), 1, out};
  if (rows > 1) {
    innovation_.resize(1, out);
    write_bias_innovation(affine, innovation_.view());
    bias_innovation = innovation_.view();
  }
  backend_.update(rule, batch_size, bias_innovation, own.slice(shape.weight_size(), 1, out), state);
}

void OnlineNetwork::write_innovation(const OnlineAffine& affine, MomentsView target) {
  const Index in = affine.shape.in_features, out = affine.shape.out_features;
  kernels_.outer_product(Format::float32, {at(affine.delta.mean), out, out},
                         {at(affine.input.mean), in, in}, rows, false, target.mean, in);
  kernels_.outer_product(Format::float32, {at(affine.delta.var), out, out},
                         {at(affine.input.var), in, in}, rows, false, target.var, in);
  if (affine.shape.bias) {
    write_bias_innovation(affine, target.slice(affine.shape.weight_size(), 1, out));
  }
}

void OnlineNetwork::write_bias_innovation(const OnlineAffine& affine, MomentsView target) {
  const Index out = affine.shape.out_features;
  std::fill_n(target.mean, out, 0.0f);
  std::fill_n(target.var, out, 0.0f);
  kernels_.add_column_sums(at(affine.delta.mean), out, rows, out, target.mean);
  kernels_.add_column_sums(at(affine.delta.var), out, rows, out, target.var);
}

}  // namespace tagix::cpu
