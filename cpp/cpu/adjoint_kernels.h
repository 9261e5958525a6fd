#pragma once

// Included by kernels.cpp, once for each instruction set.

#include "core/slopes.h"
#include "cpu/kernels.h"
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

/// sums[row] = sum_c first[row][c] second[row][c] var[row][c] for a few rows side by side, whose
/// sums do not wait for each other. The product of the adjoints comes first, so that their order
/// does not matter.
template <int n_rows>
TAGIX_INLINE void weighted_sums(const float* first, const float* second, Index row_stride,
                                const float* var, Index var_stride, Index cols, float* sums) {
  Vector of_row[n_rows] = {};
  for_each_vector(cols, [&](Index i, auto load_part, auto) TAGIX_LAMBDA_INLINE {
    for (int row = 0; row < n_rows; ++row) {
      of_row[row] += load_part(first + row * row_stride + i) *
                     load_part(second + row * row_stride + i) *
                     load_part(var + row * var_stride + i);
    }
  });
  for (int row = 0; row < n_rows; ++row) sums[row] = element_sum(of_row[row]);
}

/// Calls add(row, sum) with the weighted sum of each row for outputs k and l.
template <class Add>
TAGIX_INLINE void for_weighted_sums(const SpreadRows& of, Index k, Index l, const Add& add) {
  const float* const first = of.adjoint + k * of.output_stride;
  const float* const second = of.adjoint + l * of.output_stride;
  constexpr int at_once = 4;
  float sums[at_once];
  Index row = 0;
  const auto add_rows = [&](auto n_rows) TAGIX_LAMBDA_INLINE {
    constexpr int n = n_rows.value;
    weighted_sums<n>(first + row * of.row_stride, second + row * of.row_stride, of.row_stride,
                     of.var + row * of.var_stride, of.var_stride, of.cols, sums);
    for (int i = 0; i < n; ++i) add(row + i, sums[i]);
    row += n;
  };
  while (row + at_once <= of.rows) add_rows(Constant<at_once>{});
  while (row < of.rows) add_rows(Constant<1>{});
}

void add_spread(const SpreadRows& of, float* covariance) {
  const Index n = of.n_outputs;
  for (Index k = 0; k < n; ++k) {
    for (Index l = k; l < n; ++l) {
      for_weighted_sums(of, k, l, [&](Index row, float sum) TAGIX_LAMBDA_INLINE {
        covariance[(row * n + k) * n + l] += sum;
        if (l > k) covariance[(row * n + l) * n + k] += sum;
      });
    }
  }
}

void add_spread_variances(const SpreadRows& of, float* variance) {
  for (Index k = 0; k < of.n_outputs; ++k) {
    for_weighted_sums(of, k, k, [&](Index row, float sum) TAGIX_LAMBDA_INLINE {
      variance[row * of.n_outputs + k] += sum;
    });
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

}  // namespace
}  // namespace tagix::cpu
