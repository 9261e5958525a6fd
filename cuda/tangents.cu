#include "launch.h"
#include "math/affine.h"
#include "math/quadrature.h"
#include "operations.h"
#include "ops/denoise_covariance.h"
#include "ops/scale_covariance.h"

namespace tagix::cuda {
namespace {

struct StartTangents {
  Index batch;
  MomentsView tangents;

  __device__ void operator()(Index i) const {
    const Index direction = i / tangents.cols / batch;
    tangents.mean[i] = i % tangents.cols == direction ? 1.0f : 0.0f;
    tangents.var[i] = 0.0f;
  }
};

struct AffineTangents {
  ConstMomentsView input;
  ConstMomentsView weight;
  ConstMomentsView tangents;
  MomentsView output;

  __device__ void operator()(Index i) const {
    const Index row = i / output.cols, out = i % output.cols;
    const float* a_mean = input.mean + row % input.rows * input.cols;
    const Index tangent = row * input.cols, w = out * input.cols;
    float mean = 0, var = 0;
    for (Index k = 0; k < input.cols; ++k) {
      const float w_mean = weight.mean[w + k], w_var = weight.var[w + k];
      const float d_mean = tangents.mean[tangent + k];
      mean += w_mean * d_mean;
      var += math::second_moment(w_mean, w_var) * tangents.var[tangent + k] +
             w_var * (2 * a_mean[k] * d_mean);
    }
    output.mean[i] = mean;
    output.var[i] = var;
  }
};

__device__ void write(const math::ActivationSlopes<float>& slopes, SlopesView target, Index i) {
  target.mean_by_mean[i] = slopes.mean_by_mean;
  target.mean_by_var[i] = slopes.mean_by_var;
  target.var_by_mean[i] = slopes.var_by_mean;
  target.var_by_var[i] = slopes.var_by_var;
}

__device__ float var_at(ConstMomentsView input, Index i) {
  return input.var == nullptr ? 0.0f : input.var[i];
}

template <class Function>
struct ActivationSlopes {
  Function function;
  ConstMomentsView input;
  SlopesView slopes;

  __device__ void operator()(Index i) const {
    write(function.slopes(input.mean[i], var_at(input, i)), slopes, i);
  }
};

struct ActivationSlopesFromPoints {
  math::MomentsForm form;
  ConstMomentsView input;
  const float* values;
  const float* derivatives;
  SlopesView slopes;

  __device__ void operator()(Index i) const {
    const float var = var_at(input, i);
    if (form == math::MomentsForm::first_order) {
      write(math::first_order_slopes(derivatives[i], 0.0f, var), slopes, i);
      return;
    }
    constexpr auto rule = math::quadrature_rule<float>();
    const Index size = input.size();
    math::QuadratureSlopes<float> sums(values[math::n_quadrature_nodes / 2 * size + i],
                                       math::sqrt(var));
    for (int k = 0; k < math::n_quadrature_nodes; ++k) {
      sums.add(rule.weight[k], rule.node[k], values[k * size + i], derivatives[k * size + i]);
    }
    write(sums.slopes(), slopes, i);
  }
};

struct ScaleTangents {
  ConstSlopesView slopes;
  Index size;
  MomentsView tangents;

  __device__ void operator()(Index i) const {
    const Index at = i % size;
    const float d_mean = tangents.mean[i], d_var = tangents.var[i];
    tangents.mean[i] = slopes.mean_by_mean[at] * d_mean + slopes.mean_by_var[at] * d_var;
    tangents.var[i] = slopes.var_by_mean[at] * d_mean + slopes.var_by_var[at] * d_var;
  }
};

struct GatherJacobian {
  ConstMomentsView tangents;
  Index n_directions;
  Index n_outputs;
  float* jacobian;

  __device__ void operator()(Index i) const {
    const Index direction = i % n_directions, output = i / n_directions % n_outputs;
    const Index row = i / n_directions / n_outputs, batch = tangents.rows / n_directions;
    jacobian[i] = tangents.mean[(direction * batch + row) * tangents.cols + output];
  }
};

struct AffineCovariance {
  ConstMomentsView input;
  ConstMomentsView weight;
  const float* var;
  Index n_outputs;
  float* covariance;

  __device__ void operator()(Index i) const {
    const Index row = i / (n_outputs * n_outputs);
    const Index first = i / n_outputs % n_outputs, second = i % n_outputs;
    if (first == second) {
      covariance[i] = var[row * weight.rows + first];
      return;
    }
    float sum = 0;
    for (Index k = 0; input.var != nullptr && k < input.cols; ++k) {
      // The product of the weights first, so that the matrix is symmetric to the bit.
      sum += weight.mean[first * input.cols + k] * weight.mean[second * input.cols + k] *
             input.var[row * input.cols + k];
    }
    covariance[i] = sum;
  }
};

struct ScaleCovariance {
  const float* jacobian;
  ConstMomentsView output;
  Index n_outputs;
  float* covariance;

  __device__ void operator()(Index i) const {
    const Index row = i / (n_outputs * n_outputs) * output.cols;
    const Index first = row + i / n_outputs % n_outputs, second = row + i % n_outputs;
    covariance[i] = first == second
                        ? output.var[first]
                        : ops::scaled_covariance(covariance[i], jacobian[first], jacobian[second]);
  }
};

/// Element (row, col) of a matrix of n x n among many of them.
struct Element {
  Index matrix;  ///< where it begins
  Index row;
  Index col;

  __device__ Element(Index i, Index n) : matrix(i / (n * n) * n * n), row(i / n % n), col(i % n) {}
};

/// The three steps of ops::DenoiseCovariance, each by a kernel of its own. A is not kept: each
/// thread works out the elements that it needs.
struct TimesSlopes {
  ops::DenoiseCovariance op;

  __device__ void operator()(Index i) const {
    const Element at(i, op.n);
    const math::SamplerStage& step = op.stages[*op.stage];
    const auto slope = [&](Index row, Index col) { return op.slope(step, at.matrix, row, col); };
    op.times_slopes(slope, at.matrix, at.row, at.col);
  }
};

struct TimesTransposedSlopes {
  ops::DenoiseCovariance op;

  __device__ void operator()(Index i) const {
    const Element at(i, op.n);
    if (at.row > at.col) return;
    const math::SamplerStage& step = op.stages[*op.stage];
    const auto slope = [&](Index row, Index col) { return op.slope(step, at.matrix, row, col); };
    op.times_transposed_slopes(step, slope, at.matrix, at.row, at.col);
  }
};

struct Tweedie {
  ops::DenoiseCovariance op;

  __device__ void operator()(Index i) const {
    const Element at(i, op.n);
    op.tweedie(op.stages[*op.stage], at.matrix, at.row, at.col);
  }
};

}  // namespace

void start_tangents(Index n_directions, MomentsView tangents) {
  for_each("start_tangents", tangents.size(),
           StartTangents{tangents.rows / n_directions, tangents});
}

void affine_tangents(ConstMomentsView input, ConstMomentsView weight, ConstMomentsView tangents,
                     MomentsView output) {
  for_each("affine_tangents", output.size(), AffineTangents{input, weight, tangents, output});
}

void activation_slopes(const math::ActivationSpec& spec, ConstMomentsView input,
                       SlopesView slopes) {
  math::visit_activation(spec, [&](auto function) {
    for_each("activation_slopes", input.size(),
             ActivationSlopes<decltype(function)>{function, input, slopes});
  });
}

void activation_slopes_from_points(math::MomentsForm form, ConstMomentsView input,
                                   const float* values, const float* derivatives,
                                   SlopesView slopes) {
  for_each("activation_slopes_from_points", input.size(),
           ActivationSlopesFromPoints{form, input, values, derivatives, slopes});
}

void scale_tangents(ConstSlopesView slopes, Index size, MomentsView tangents) {
  for_each("scale_tangents", tangents.size(), ScaleTangents{slopes, size, tangents});
}

void gather_jacobian(ConstMomentsView tangents, Index n_directions, Index n_outputs,
                     float* jacobian) {
  for_each("gather_jacobian", tangents.rows * n_outputs,
           GatherJacobian{tangents, n_directions, n_outputs, jacobian});
}

void affine_covariance(ConstMomentsView input, ConstMomentsView weight, const float* var,
                       Index n_outputs, float* covariance) {
  for_each("affine_covariance", input.rows * n_outputs * n_outputs,
           AffineCovariance{input, weight, var, n_outputs, covariance});
}

void scale_covariance(const float* jacobian, ConstMomentsView output, Index n_outputs,
                      float* covariance) {
  for_each("scale_covariance", output.rows * n_outputs * n_outputs,
           ScaleCovariance{jacobian, output, n_outputs, covariance});
}

void denoise_covariance(const math::SamplerStage* stages, const Index* stage, const float* jacobian,
                        const float* prediction_covariance, Index n_rows, Index n_features,
                        float* epistemic, float* aleatoric) {
  const ops::DenoiseCovariance op{stages,     stage,     jacobian, prediction_covariance,
                                  n_features, epistemic, aleatoric};
  const Index size = n_rows * n_features * n_features;
  for_each("denoise_covariance", size, TimesSlopes{op});
  for_each("denoise_covariance", size, TimesTransposedSlopes{op});
  for_each("denoise_covariance", size, Tweedie{op});
}

}  // namespace tagix::cuda
