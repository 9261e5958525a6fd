#pragma once

#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "core/memory.h"
#include "cpu/burst_weights.h"
#include "cpu/step_places.h"

namespace tagix::cpu {

/// An affine step with its places in memory, planes of max_online_rows rows, and what a burst
/// (cpu/online_burst.h) keeps of it.
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

/// A network for a few rows at a time: its steps with their places in memory, and how an affine
/// step learns from what lies there.
class OnlineNetwork {
 public:
  OnlineNetwork(Backend& backend, const Kernels& kernels, const std::vector<ChainStep>& network);

  float* at(Index offset) { return memory_.data() + offset; }
  Index n_steps() const { return static_cast<Index>(steps.size()); }
  const OnlineStep& step(Index i) const { return steps[static_cast<std::size_t>(i)]; }
  OnlineStep& step(Index i) { return steps[static_cast<std::size_t>(i)]; }
  const OnlineAffine* affine_at(Index i) const {
    return i >= 0 && i < n_steps() ? std::get_if<OnlineAffine>(&step(i)) : nullptr;
  }
  ConstMomentsView prediction(Index n_rows) {
    return {at(prediction_planes.mean), at(prediction_planes.var), n_rows, out_features};
  }

  /// Where step i reads its means; past the last step, where the prediction has them.
  float* mean_into(Index i);
  /// Where the innovation of what enters step i lies: the step below keeps it if it is affine, and
  /// passes it on in place else.
  PlanePair above(Index i) const;

  /// Moments of the output of n_rows rows, whose means lie in mean_into(0); input_var is null where
  /// they are known exactly. Keeps Jacobians, and of what enters an affine step the means, their
  /// squares and second moments. affine(step, var, next_mean, next_var) takes an affine step's
  /// input to its output.
  template <class Affine>
  void forward(Index n_rows, const float* input_var, const Affine& affine);
  /// An affine step of n_rows rows by its parameters as they lie; the variances are null where
  /// those of the parameters are.
  void affine_rows(const OnlineAffine& affine, ConstMomentsView parameters, Index n_rows,
                   const float* input_var, float* output_mean, float* output_var);
  /// Passes the innovations of the output of step i on to its input, `target`, in `rows` rows; an
  /// affine step does so by its parameters as they lie.
  void pass_affine(const OnlineAffine& affine, ConstMomentsView parameters, PlanePair target);
  void pass_activation(const OnlineActivation& activation, PlanePair target);

  /// Changes the parameters of one step by what lies in its planes.
  void update_affine(const OnlineAffine& affine, const UpdateRule& rule, Index batch_size,
                     MomentsView parameters, TrainingState* state);
  /// Innovations of the weight, then of the bias.
  void write_innovation(const OnlineAffine& affine, MomentsView target);

  std::vector<OnlineStep> steps;
  Index in_features = 0;
  Index out_features = 0;
  Index parameter_count = 0;
  Index rows = 0;   ///< of what was learned last
  PlanePair var;    ///< variances on their way up, in turn
  PlanePair below;  ///< the innovation of the input
  PlanePair prediction_planes;
  Index input_var = 0;  ///< a plane for variances of the input

 private:
  /// A plane of `features` columns. A vector may be read past its end.
  Index plane(Index features);
  PlanePair planes(Index features) { return {plane(features), plane(features)}; }
  void write_bias_innovation(const OnlineAffine& affine, MomentsView target);

  Backend& backend_;
  const Kernels& kernels_;
  Arena arena_;      // of memory_
  Index input_ = 0;  // means that enter a step without a place of its own
  Buffer<float> memory_;
  Moments innovation_;
};

template <class Affine>
void OnlineNetwork::forward(Index n_rows, const float* input_var, const Affine& affine) {
  float *next_var = at(var.mean), *other_var = at(var.var);
  const float* known_or_var = input_var;
  const float* jacobian = nullptr;  // of the step below, where that is an activation
  for (Index i = 0; i < n_steps(); ++i) {
    float *mean = mean_into(i), *next_mean = mean_into(i + 1);
    if (i + 1 == n_steps()) next_var = at(prediction_planes.var);
    if (auto* map = std::get_if<OnlineAffine>(&step(i))) {
      map->jacobian = std::exchange(jacobian, nullptr);
      if (map->jacobian == nullptr) {
        const Index size = n_rows * map->shape.in_features;
        kernels_.square(mean, size, at(map->input.var));
        kernels_.second_moment(mean, known_or_var, size, at(map->second_moment));
      }
      affine(*map, known_or_var, next_mean, next_var);
    } else {
      const auto& activation = std::get<OnlineActivation>(step(i));
      ActivationOutput output{next_mean, next_var, at(activation.jacobian)};
      if (const OnlineAffine* map_above = affine_at(i + 1)) {
        output.square = at(map_above->input.var);
        output.second_moment = at(map_above->second_moment);
      }
      jacobian = output.jacobian;
      kernels_.activation(activation.spec, Format::float32, mean, known_or_var,
                          n_rows * activation.features, output);
    }
    known_or_var = next_var;
    std::swap(next_var, other_var);
  }
}

}  // namespace tagix::cpu
