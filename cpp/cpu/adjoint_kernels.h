#pragma once

// Included by kernels.cpp, once for each instruction set.

#include "core/slopes.h"
#include "cpu/simd.h"

namespace tagix::cpu {
namespace {

void scale_adjoint(ConstSlopesView slopes, Index size, const float* mean, const float* var,
                   bool add, float* below_mean, float* below_var) {
  for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
    const Vector by_mean = load_part(mean + i), by_var = load_part(var + i);
    Vector new_mean =
        load_part(slopes.mean_by_mean + i) * by_mean + load_part(slopes.var_by_mean + i) * by_var;
    Vector new_var =
        load_part(slopes.mean_by_var + i) * by_mean + load_part(slopes.var_by_var + i) * by_var;
    if (add) {
      new_mean += load_part(below_mean + i);
      new_var += load_part(below_var + i);
    }
    store_part(new_mean, below_mean + i);
    store_part(new_var, below_var + i);
  });
}

void join_adjoint(const float* input_mean, const float* by_var, Index size, float* mean,
                  float* var) {
  for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
    const Vector weighted = load_part(by_var + i);
    store_part(load_part(mean + i) + 2 * load_part(input_mean + i) * weighted, mean + i);
    store_part(load_part(var + i) + weighted, var + i);
  });
}

void activation_excess(const float* input_var, const float* jacobian, const float* var, Index size,
                       float* excess) {
  for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
    const Vector slope = load_part(jacobian + i);
    const Vector linear = slope * slope * load_part(input_var + i);
    store_part(math::max(load_part(var + i) - linear, Vector{}), excess + i);
  });
}

/// sum_c first[c] second[c] var[c]. The product of the adjoints comes first, so that their order
/// does not matter.
TAGIX_INLINE float weighted_sum(const float* first, const float* second, const float* var,
                                Index cols) {
  Vector sums{};
  for_each_vector(cols, [&](Index i, auto load_part, auto) TAGIX_LAMBDA_INLINE {
    sums += load_part(first + i) * load_part(second + i) * load_part(var + i);
  });
  return element_sum(sums);
}

void add_spread(const float* adjoint, Index output_stride, Index n_outputs, const float* var,
                Index cols, float* covariance) {
  for (Index k = 0; k < n_outputs; ++k) {
    for (Index l = k; l < n_outputs; ++l) {
      const float sum =
          weighted_sum(adjoint + k * output_stride, adjoint + l * output_stride, var, cols);
      covariance[k * n_outputs + l] += sum;
      if (l > k) covariance[l * n_outputs + k] += sum;
    }
  }
}

void add_outer(const float* left, Index left_cols, const float* right, Index right_cols,
               Index samples, float* sums) {
  for (Index i = 0; i < left_cols; ++i) {
    float* const row = sums + i * right_cols;
    for_each_vector(right_cols, [&](Index k, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
      Vector sum = load_part(row + k);
      for (Index s = 0; s < samples; ++s) {
        const float factor = left == nullptr ? 1.0f : left[s * left_cols + i];
        sum += factor * load_part(right + s * right_cols + k);
      }
      store_part(sum, row + k);
    });
  }
}

void add_spread_variances(const float* adjoint, Index output_stride, Index n_outputs,
                          const float* var, Index cols, float* variance) {
  for (Index k = 0; k < n_outputs; ++k) {
    const float* const own = adjoint + k * output_stride;
    variance[k] += weighted_sum(own, own, var, cols);
  }
}

}  // namespace
}  // namespace tagix::cpu
