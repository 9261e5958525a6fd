#include "cpu/adjoint.h"

#include <algorithm>

#include "cpu/pieces.h"
#include "cpu/plane_product.h"
#include "cpu/scratch.h"
#include "ops/product.h"

namespace tagix::cpu {
namespace {

struct SecondMoments {};
struct WeightedByVar {};

}  // namespace

void start_adjoint(Index n_outputs, MomentsView adjoint) {
  const Index batch = adjoint.rows / n_outputs;
  std::fill_n(adjoint.mean, adjoint.size(), 0.0f);
  std::fill_n(adjoint.var, adjoint.size(), 0.0f);
  for (Index row = 0; row < adjoint.rows; ++row) {
    adjoint.mean[row * adjoint.cols + row / batch] = 1;
  }
}

void affine_adjoint(const Kernels& kernels, Formats formats, ConstMomentsView input,
                    ConstMomentsView weight, ConstMomentsView adjoint, MomentsView below) {
  const Index in = below.cols;
  const WeightView transposed{weight.mean, weight.var, in, 1};
  const PlaneProduct product{kernels, adjoint.rows, adjoint.cols, in};
  product.multiply({WeightTerm::mean, formats.mean, transposed}, adjoint.mean, below.mean);
  if (adjoint.var == nullptr) {
    std::fill_n(below.var, below.size(), 0.0f);
    return;
  }
  float* const by_var = scratch<WeightedByVar>(below.size());
  product.multiply({WeightTerm::square, formats.var, transposed}, adjoint.var, below.var);
  product.multiply({WeightTerm::var, formats.var, transposed}, adjoint.var, by_var);
  // The input is the same for every output.
  const Index size = input.size();
  for (Index start = 0; start < below.size(); start += size) {
    for_element_pieces(size, [&](Index first, Index count) {
      const Index at = start + first;
      kernels.join_adjoint(input.mean + first, by_var + at, count, below.mean + at, below.var + at);
    });
  }
}

void activation_slopes(const Kernels& kernels, const math::ActivationSpec& spec,
                       ConstMomentsView input, bool residual, SlopesView slopes) {
  for_element_pieces(input.size(), [&](Index first, Index count) {
    kernels.activation_slopes(spec, input.mean + first, plane_from(input.var, first), count,
                              residual, slopes.from(first));
  });
}

void scale_adjoint(const Kernels& kernels, ConstSlopesView slopes, Index size,
                   ConstMomentsView adjoint, bool add, MomentsView below) {
  for (Index start = 0; start < below.size(); start += size) {
    for_element_pieces(size, [&](Index first, Index count) {
      const Index at = start + first;
      kernels.scale_adjoint(slopes.from(first), count, adjoint.mean + at, adjoint.var + at, add,
                            below.mean + at, below.var + at);
    });
  }
}

void affine_spread(const Kernels& kernels, Formats formats, ConstMomentsView input,
                   ConstMomentsView weight, ConstMomentsView bias, float* spread) {
  const PlaneProduct product{kernels, input.rows, input.cols, weight.rows};
  const WeightPlane plane{
      WeightTerm::var, formats.var, {weight.mean, weight.var, 1, input.cols}, bias.var};
  if (input.mean == nullptr) {
    product.multiply(plane, input.var, spread);
    return;
  }
  float* const moments = scratch<SecondMoments>(input.size());
  for_element_pieces(input.size(), [&](Index first, Index count) {
    kernels.second_moment(input.mean + first, plane_from(input.var, first), count, moments + first);
  });
  product.multiply(plane, moments, spread);
}

void activation_excess(const Kernels& kernels, const float* input_var, const float* jacobian,
                       const float* var, Index size, float* excess) {
  for_element_pieces(size, [&](Index first, Index count) {
    kernels.activation_excess(input_var + first, jacobian + first, var + first, count,
                              excess + first);
  });
}

void product_excess(const float* a_var, const float* b_var, Index size, float* excess) {
  for_elements(size, ops::ProductExcess{a_var, b_var, excess});
}

void add_spread(const Kernels& kernels, ConstMomentsView adjoint, const float* var,
                Index var_stride, Index n_outputs, Covariances covariances, float* covariance) {
  const Index batch = adjoint.rows / n_outputs, cols = adjoint.cols;
  const Index each = count(covariances, n_outputs);
  const auto add =
      covariances == Covariances::variances ? kernels.add_spread_variances : kernels.add_spread;
  const double cost = static_cast<double>(each * cols) * element_ns;
  for_pieces(batch, 64, cost, [&](Index first, Index count) {
    add({adjoint.mean + first * cols, batch * cols, cols, n_outputs, var + first * var_stride,
         var_stride, cols, count},
        covariance + first * each);
  });
}

void add_weight_adjoint(const Kernels& kernels, const float* input, Index in,
                        ConstMomentsView adjoint, Index n_outputs, ColumnsView sums) {
  const Index out = adjoint.cols, positions = adjoint.rows / sums.rows;
  const Index batch = sums.rows / n_outputs;
  const double cost = static_cast<double>(positions * out * in) * element_ns;
  for_pieces(sums.rows, 8, cost, [&](Index first, Index count) {
    for (Index row = first; row < first + count; ++row) {
      const float* const delta = adjoint.mean + row * positions * out;
      float* const sum = sums.mean + row * sums.stride;
      if (input == nullptr) {
        kernels.add_outer(nullptr, 1, delta, out, positions, sum);
      } else {
        kernels.add_outer(delta, out, input + row % batch * positions * in, in, positions, sum);
      }
    }
  });
}

void gather_jacobian(ConstMomentsView adjoint, Index n_outputs, Index n_inputs, float* jacobian) {
  const Index batch = adjoint.rows / n_outputs;
  for_pieces(batch, 512, static_cast<double>(n_outputs * n_inputs) * element_ns,
             [&](Index first, Index count) {
               for (Index row = first; row < first + count; ++row) {
                 for (Index output = 0; output < n_outputs; ++output) {
                   std::copy_n(adjoint.mean + (output * batch + row) * adjoint.cols, n_inputs,
                               jacobian + (row * n_outputs + output) * n_inputs);
                 }
               }
             });
}

}  // namespace tagix::cpu
