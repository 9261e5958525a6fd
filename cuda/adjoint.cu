#include "launch.h"
#include "math/affine.h"
#include "math/quadrature.h"
#include "operations.h"
#include "ops/product.h"

namespace tagix::cuda {
namespace {

struct StartAdjoint {
  Index batch;
  MomentsView adjoint;

  __device__ void operator()(Index i) const {
    const Index output = i / adjoint.cols / batch;
    adjoint.mean[i] = i % adjoint.cols == output ? 1.0f : 0.0f;
    adjoint.var[i] = 0.0f;
  }
};

struct AffineAdjoint {
  ConstMomentsView input;
  ConstMomentsView weight;
  ConstMomentsView adjoint;
  MomentsView below;

  __device__ void operator()(Index i) const {
    const Index row = i / below.cols, in = i % below.cols;
    const Index from = row * adjoint.cols;
    float mean = 0, by_square = 0, by_var = 0;
    for (Index o = 0; o < adjoint.cols; ++o) {
      const Index w = o * below.cols + in;
      mean += adjoint.mean[from + o] * weight.mean[w];
      if (adjoint.var == nullptr) continue;
      by_square += adjoint.var[from + o] * (weight.mean[w] * weight.mean[w]);
      by_var += adjoint.var[from + o] * weight.var[w];
    }
    const float a_mean = input.mean[row % input.rows * input.cols + in];
    below.mean[i] = mean + 2 * a_mean * by_var;
    below.var[i] = by_square + by_var;
  }
};

struct AffineSpread {
  ConstMomentsView input;
  ConstMomentsView weight;
  const float* bias_var;
  float* spread;

  __device__ void operator()(Index i) const {
    const Index row = i / weight.rows, out = i % weight.rows;
    float sum = bias_var == nullptr ? 0.0f : bias_var[out];
    for (Index k = 0; k < input.cols; ++k) {
      const Index a = row * input.cols + k;
      const float mean = input.mean == nullptr ? 0.0f : input.mean[a];
      const float var = input.var == nullptr ? 0.0f : input.var[a];
      sum += math::second_moment(mean, var) * weight.var[out * input.cols + k];
    }
    spread[i] = sum;
  }
};

struct ActivationExcess {
  const float* input_var;
  const float* jacobian;
  const float* var;
  float* excess;

  __device__ void operator()(Index i) const {
    excess[i] = math::max(var[i] - jacobian[i] * jacobian[i] * input_var[i], 0.0f);
  }
};

/// sum_k G_first G_second var for one row.
struct Spread {
  ConstMomentsView adjoint;
  const float* var;
  Index var_stride;
  Index n_outputs;

  __device__ float operator()(Index row, Index first, Index second) const {
    const Index batch = adjoint.rows / n_outputs;
    const float* const a = adjoint.mean + (first * batch + row) * adjoint.cols;
    const float* const b = adjoint.mean + (second * batch + row) * adjoint.cols;
    float sum = 0;
    for (Index k = 0; k < adjoint.cols; ++k) sum += a[k] * b[k] * var[row * var_stride + k];
    return sum;
  }
};

/// One thread for each row and pair of outputs in their order.
struct AddSpread {
  Spread spread;
  float* covariance;

  __device__ void operator()(Index i) const {
    const Index n = spread.n_outputs, row = i / (n * n), first = i / n % n, second = i % n;
    if (first > second) return;
    const float sum = spread(row, first, second);
    covariance[i] += sum;
    if (first < second) covariance[(row * n + second) * n + first] += sum;
  }
};

/// One thread for each row and output.
struct AddSpreadVariances {
  Spread spread;
  float* variance;

  __device__ void operator()(Index i) const {
    const Index row = i / spread.n_outputs, output = i % spread.n_outputs;
    variance[i] += spread(row, output, output);
  }
};

/// One thread for each element of the sums.
struct AddWeightAdjoint {
  const float* input;
  Index in;
  ConstMomentsView adjoint;
  Index batch;
  ColumnsView sums;

  __device__ void operator()(Index i) const {
    const Index row = i / sums.cols, o = i % sums.cols / in, k = i % in;
    const Index positions = adjoint.rows / sums.rows;
    float sum = 0;
    for (Index p = 0; p < positions; ++p) {
      const float a = input == nullptr ? 1.0f : input[(row % batch * positions + p) * in + k];
      sum += adjoint.mean[(row * positions + p) * adjoint.cols + o] * a;
    }
    sums.mean[row * sums.stride + i % sums.cols] += sum;
  }
};

struct ScaleAdjoint {
  ConstSlopesView slopes;
  Index size;
  ConstMomentsView adjoint;
  bool add;
  MomentsView below;

  __device__ void operator()(Index i) const {
    const Index at = i % size;
    const float by_mean = adjoint.mean[i], by_var = adjoint.var[i];
    const float mean = slopes.mean_by_mean[at] * by_mean + slopes.var_by_mean[at] * by_var;
    const float var = slopes.mean_by_var[at] * by_mean + slopes.var_by_var[at] * by_var;
    below.mean[i] = add ? below.mean[i] + mean : mean;
    below.var[i] = add ? below.var[i] + var : var;
  }
};

struct GatherJacobian {
  ConstMomentsView adjoint;
  Index n_outputs;
  Index n_inputs;
  float* jacobian;

  __device__ void operator()(Index i) const {
    const Index input = i % n_inputs, output = i / n_inputs % n_outputs;
    const Index row = i / n_inputs / n_outputs, batch = adjoint.rows / n_outputs;
    jacobian[i] = adjoint.mean[(output * batch + row) * adjoint.cols + input];
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
  bool residual;
  SlopesView slopes;

  __device__ void operator()(Index i) const {
    const float mean = input.mean[i], var = var_at(input, i);
    write(residual ? function.slopes_of_residual(mean, var) : function.slopes(mean, var), slopes,
          i);
  }
};

struct ActivationSlopesFromPoints {
  math::MomentsForm form;
  ConstMomentsView input;
  const float* values;
  const float* derivatives;
  bool residual;
  SlopesView slopes;

  __device__ void operator()(Index i) const {
    const float var = var_at(input, i);
    if (form == math::MomentsForm::first_order) {
      const float slope = residual ? 1 + derivatives[i] : derivatives[i];
      write(math::first_order_slopes(slope, 0.0f, var), slopes, i);
      return;
    }
    constexpr auto rule = math::quadrature_rule<float>();
    const Index size = input.size();
    math::QuadratureSlopes<float> sums(values[math::n_quadrature_nodes / 2 * size + i],
                                       math::sqrt(var));
    math::QuadratureJacobianSlope<float> jacobian_slope;
    for (int k = 0; k < math::n_quadrature_nodes; ++k) {
      const float derivative = derivatives[k * size + i];
      sums.add(rule.weight[k], rule.node[k], values[k * size + i], derivative);
      if (residual) jacobian_slope.add(rule.weight[k], rule.node[k], derivative);
    }
    const math::ActivationSlopes<float> own = sums.slopes();
    write(residual ? math::residual_slopes(own, jacobian_slope.by_log_sd(), var) : own, slopes, i);
  }
};

}  // namespace

void start_adjoint(Index n_outputs, MomentsView adjoint) {
  for_each("start_adjoint", adjoint.size(), StartAdjoint{adjoint.rows / n_outputs, adjoint});
}

void affine_adjoint(ConstMomentsView input, ConstMomentsView weight, ConstMomentsView adjoint,
                    MomentsView below) {
  for_each("affine_adjoint", below.size(), AffineAdjoint{input, weight, adjoint, below});
}

void activation_slopes(const math::ActivationSpec& spec, ConstMomentsView input, bool residual,
                       SlopesView slopes) {
  math::visit_activation(spec, [&](auto function) {
    for_each("activation_slopes", input.size(),
             ActivationSlopes<decltype(function)>{function, input, residual, slopes});
  });
}

void activation_slopes_from_points(math::MomentsForm form, ConstMomentsView input,
                                   const float* values, const float* derivatives, bool residual,
                                   SlopesView slopes) {
  for_each("activation_slopes_from_points", input.size(),
           ActivationSlopesFromPoints{form, input, values, derivatives, residual, slopes});
}

void scale_adjoint(ConstSlopesView slopes, Index size, ConstMomentsView adjoint, bool add,
                   MomentsView below) {
  for_each("scale_adjoint", below.size(), ScaleAdjoint{slopes, size, adjoint, add, below});
}

void affine_spread(ConstMomentsView input, ConstMomentsView weight, ConstMomentsView bias,
                   float* spread) {
  for_each("affine_spread", input.rows * weight.rows,
           AffineSpread{input, weight, bias.var, spread});
}

void activation_excess(const float* input_var, const float* jacobian, const float* var, Index size,
                       float* excess) {
  for_each("activation_excess", size, ActivationExcess{input_var, jacobian, var, excess});
}

void product_excess(const float* a_var, const float* b_var, Index size, float* excess) {
  for_each("product_excess", size, ops::ProductExcess{a_var, b_var, excess});
}

void add_spread(ConstMomentsView adjoint, const float* var, Index var_stride, Index n_outputs,
                Covariances covariances, float* covariance) {
  const Spread spread{adjoint, var, var_stride, n_outputs};
  if (covariances == Covariances::variances) {
    for_each("add_spread", adjoint.rows, AddSpreadVariances{spread, covariance});
  } else {
    for_each("add_spread", adjoint.rows * n_outputs, AddSpread{spread, covariance});
  }
}

void add_weight_adjoint(const float* input, Index in, ConstMomentsView adjoint, Index n_outputs,
                        ColumnsView sums) {
  for_each("add_weight_adjoint", sums.rows * sums.cols,
           AddWeightAdjoint{input, in, adjoint, sums.rows / n_outputs, sums});
}

void gather_jacobian(ConstMomentsView adjoint, Index n_outputs, Index n_inputs, float* jacobian) {
  for_each("gather_jacobian", adjoint.rows * n_inputs,
           GatherJacobian{adjoint, n_outputs, n_inputs, jacobian});
}

}  // namespace tagix::cuda
