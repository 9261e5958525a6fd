#include "failure.h"
#include "kernels.h"
#include "launch.h"
#include "math/quadrature.h"

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

struct Observe {
  ConstMomentsView prediction;
  const float* target;
  BroadcastView noise_var;
  float spread;
  MomentsView delta;

  __device__ void operator()(Index i) const {
    const Index row = i / prediction.cols, col = i % prediction.cols;
    const float noise = noise_var.data[row * noise_var.row_stride + col * noise_var.col_stride];
    const math::Innovation<float> innovation =
        math::innovation(prediction.mean[i], prediction.var[i], target[i], noise, spread);
    delta.mean[i] = innovation.delta_mean;
    delta.var[i] = innovation.delta_var;
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

struct Add {
  ConstMomentsView values;
  MomentsView sum;

  __device__ void operator()(Index i) const {
    sum.mean[i] += values.mean[i];
    sum.var[i] += values.var[i];
  }
};

struct CheckInnovation {
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

void observe(ConstMomentsView prediction, const float* target, BroadcastView noise_var,
             float spread, MomentsView delta) {
  for_each("observe", prediction.size(), Observe{prediction, target, noise_var, spread, delta});
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

void add(ConstMomentsView values, MomentsView sum) {
  for_each("add", values.size(), Add{values, sum});
}

void check_innovation(ConstMomentsView innovation, TrainingState* state) {
  for_each("check_innovation", innovation.size(), CheckInnovation{innovation, state});
}

}  // namespace tagix::cuda
