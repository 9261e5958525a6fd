#include "failure.h"
#include "launch.h"
#include "math/quadrature.h"
#include "operations.h"
#include "ops/weigh_rows.h"
#include "target_noise.h"

namespace tagix::cuda {
namespace {

template <class Function>
struct ActivationForward {
  Function function;
  ConstMomentsView input;
  MomentsView output;
  float* jacobian;

  __device__ void operator()(Index i) const {
    const float var = input.var == nullptr ? 0.0f : input.var[i];
    const math::ActivationMoments<float> moments = function(input.mean[i], var);
    output.mean[i] = moments.mean;
    output.var[i] = moments.var;
    jacobian[i] = moments.jacobian;
  }
};

template <class Function>
struct ActivationValues {
  Function function;
  const float* input;
  float* output;

  __device__ void operator()(Index i) const { output[i] = function.value(input[i]); }
};

struct ActivationPoints {
  math::MomentsForm form;
  ConstMomentsView input;
  float* points;

  __device__ void operator()(Index i) const {
    if (form == math::MomentsForm::first_order) {
      points[i] = input.mean[i];
      return;
    }
    constexpr auto rule = math::quadrature_rule<float>();
    const float sd = input.var == nullptr ? 0.0f : math::sqrt(input.var[i]);
    for (int k = 0; k < math::n_quadrature_nodes; ++k) {
      points[k * input.size() + i] = math::quadrature_point(input.mean[i], sd, rule.node[k]);
    }
  }
};

struct ActivationFromPoints {
  math::MomentsForm form;
  ConstMomentsView input;
  const float* values;
  const float* derivatives;
  MomentsView output;
  float* jacobian;

  __device__ void operator()(Index i) const {
    const math::ActivationMoments<float> moments = moments_at(i);
    output.mean[i] = moments.mean;
    output.var[i] = moments.var;
    jacobian[i] = moments.jacobian;
  }

  __device__ math::ActivationMoments<float> moments_at(Index i) const {
    if (form == math::MomentsForm::first_order) {
      const float var = input.var == nullptr ? 0.0f : input.var[i];
      return math::first_order_moments(values[i], derivatives[i], var);
    }
    constexpr auto rule = math::quadrature_rule<float>();
    const Index size = input.size();
    math::QuadratureSums<float> sums(values[math::n_quadrature_nodes / 2 * size + i]);
    for (int k = 0; k < math::n_quadrature_nodes; ++k) {
      sums.add(rule.weight[k], values[k * size + i], derivatives[k * size + i]);
    }
    return sums.moments();
  }
};

struct ScaleDeltas {
  const float* jacobian;
  MomentsView delta;

  __device__ void operator()(Index i) const {
    const math::Innovation<float> below =
        math::through_jacobian<float>({delta.mean[i], delta.var[i]}, jacobian[i]);
    delta.mean[i] = below.delta_mean;
    delta.var[i] = below.delta_var;
  }
};

/// Element i is target i; with a noise head it writes two innovations.
struct Observe {
  ConstMomentsView prediction;
  const float* target;
  NoiseView noise;
  float spread;
  MomentsView delta;

  __device__ void operator()(Index i) const {
    const Index n = noise.head.n_targets(prediction.cols);
    const Index row = i / n, col = i % n, at = row * prediction.cols + col;
    const float mean = prediction.mean[at], var = prediction.var[at];
    if (!noise.head.exists()) {
      write(at, math::innovation(mean, var, target[i], noise.known_var(row, col), spread));
      return;
    }
    const math::InferredNoise<float> inferred =
        inferred_noise<Links::all>(noise.head, prediction.mean[at + n], prediction.var[at + n]);
    const math::NoisyInnovation<float> innovation = math::noisy_innovation(
        mean, var, inferred, noise.head.expects_information, target[i], spread);
    write(at, innovation.value);
    write(at + n, innovation.noise);
  }

  __device__ void write(Index at, const math::Innovation<float>& innovation) const {
    delta.mean[at] = innovation.delta_mean;
    delta.var[at] = innovation.delta_var;
  }
};

struct SplitPrediction {
  ConstMomentsView prediction;
  NoiseView noise;
  MomentsView values;
  float* noise_var;
  float* total_var;

  __device__ void operator()(Index i) const {
    const Index row = i / values.cols, col = i % values.cols;
    const Index at = row * prediction.cols + col;
    const float of_noise = noise_variance<Links::all>(noise, prediction, row, col);
    values.mean[i] = prediction.mean[at];
    values.var[i] = prediction.var[at];
    noise_var[i] = of_noise;
    total_var[i] = prediction.var[at] + of_noise;
  }
};

template <math::UpdateKind kind>
struct Update {
  float bound;
  ConstMomentsView innovation;
  MomentsView parameters;
  const TrainingState* state;

  __device__ void operator()(Index i) const {
    if (state->failure != Failure::none) return;
    const math::Posterior<float> posterior = math::updated<kind>(
        parameters.mean[i], parameters.var[i], innovation.mean[i], innovation.var[i], bound);
    parameters.mean[i] = posterior.mean;
    parameters.var[i] = posterior.var;
  }
};

struct TestDrift {
  double decay, threshold;
  TrainingState* state;
  math::DriftState* drift;

  __device__ void operator()(Index) const { test_summed_drift(decay, threshold, *state, *drift); }
};

struct Forget {
  ParameterWalk step;
  const math::DriftState* drift;
  const TrainingState* state;
  float* var;

  __device__ void operator()(Index i) const {
    if (state->failure != Failure::none) return;
    var[i] = math::forgotten_var(var[i], step.process_var, step.prior_var, step.least(drift));
  }
};

struct Add {
  ConstMomentsView values;
  MomentsView sum;

  __device__ void operator()(Index i) const {
    sum.mean[i] += values.mean[i];
    sum.var[i] += values.var[i];
  }
};

struct CheckFinite {
  ConstMomentsView innovation;
  TrainingState* state;

  __device__ void operator()(Index i) const {
    const bool finite = isfinite(innovation.mean[i]) && isfinite(innovation.var[i]);
    if (!finite) set_failure(state, Failure::innovation);
  }
};

}  // namespace

void activation_forward(const math::ActivationSpec& spec, ConstMomentsView input,
                        MomentsView output, float* jacobian) {
  math::visit_activation(spec, [&](auto function) {
    for_each("activation_forward", input.size(),
             ActivationForward<decltype(function)>{function, input, output, jacobian});
  });
}

void activation_values(const math::ActivationSpec& spec, const float* input, Index size,
                       float* output) {
  math::visit_activation(spec, [&](auto function) {
    for_each("activation_values", size,
             ActivationValues<decltype(function)>{function, input, output});
  });
}

void activation_points(math::MomentsForm form, ConstMomentsView input, float* points) {
  for_each("activation_points", input.size(), ActivationPoints{form, input, points});
}

void activation_from_points(math::MomentsForm form, ConstMomentsView input, const float* values,
                            const float* derivatives, MomentsView output, float* jacobian) {
  for_each("activation_from_points", input.size(),
           ActivationFromPoints{form, input, values, derivatives, output, jacobian});
}

void scale_deltas(const float* jacobian, MomentsView delta) {
  for_each("scale_deltas", delta.size(), ScaleDeltas{jacobian, delta});
}

void observe(ConstMomentsView prediction, const float* target, NoiseView noise, float spread,
             MomentsView delta) {
  if (noise.classes.exists()) {
    observe_classes(prediction, target, noise.classes, spread, delta);
  } else {
    for_each("observe", prediction.rows * noise.n_targets(prediction.cols),
             Observe{prediction, target, noise, spread, delta});
  }
  if (noise.weight != nullptr) for_each("weigh", delta.size(), ops::WeighRows{noise.weight, delta});
}

void split_prediction(ConstMomentsView prediction, NoiseView noise, MomentsView values,
                      float* noise_var, float* total_var) {
  for_each("split_prediction", values.size(),
           SplitPrediction{prediction, noise, values, noise_var, total_var});
}

void update(const UpdateRule& rule, Index batch_size, ConstMomentsView innovation,
            MomentsView parameters, const TrainingState* state) {
  using math::UpdateKind;
  const float bound = rule.bound_for(batch_size);
  if (rule.kind == UpdateKind::information) {
    for_each("update", parameters.size(),
             Update<UpdateKind::information>{bound, innovation, parameters, state});
  } else {
    for_each("update", parameters.size(),
             Update<UpdateKind::capped>{bound, innovation, parameters, state});
  }
}

void test_drift(const Forgetting& forgetting, TrainingState* state, math::DriftState* drift) {
  for_each("test_drift", 1, TestDrift{forgetting.decay(), forgetting.threshold(), state, drift});
}

void forget(const ParameterWalk& step, const math::DriftState* drift, const TrainingState* state,
            Index size, float* var) {
  for_each("forget", size, Forget{step, drift, state, var});
}

void add(ConstMomentsView values, MomentsView sum) {
  for_each("add", values.size(), Add{values, sum});
}

void check_finite(ConstMomentsView innovation, TrainingState* state) {
  for_each("check_finite", innovation.size(), CheckFinite{innovation, state});
}

}  // namespace tagix::cuda
