#pragma once

// Kernels that are arithmetic on planes of floats, and sums over them, for kernels.cpp
// (cpu/kernels.h says what each does).

#include "cpu/kernels.h"
#include "cpu/simd.h"
#include "math/scalar.h"

namespace tagix::cpu {
namespace {

// Rows that add_column_sums adds up before they join the total.
constexpr Index column_sum_block = 128;

void square(const float* values, Index size, float* squares) {
  for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
    const Vector value = load_part(values + i);
    store_part(value * value, squares + i);
  });
}

void second_moment(const float* mean, const float* var, Index size, float* moment) {
  for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
    const Vector value = load_part(mean + i);
    const Vector spread = var == nullptr ? Vector{} : load_part(var + i);
    store_part(value * value + spread, moment + i);
  });
}

void add(const float* values, Index size, float* sum) {
  for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
    store_part(load_part(sum + i) + load_part(values + i), sum + i);
  });
}

void add_column_sums(const float* plane, Index stride, Index rows, Index columns, float* sum) {
  // Several sums side by side: each addition waits for the one before it.
  constexpr int n_sums = 4;
  for_each_vector(columns, [&](Index column, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
    const float* source = plane + column;
    Vector total = load_part(sum + column);
    for (Index row = 0; row < rows;) {
      const Index end = rows - row < column_sum_block ? rows : row + column_sum_block;
      Vector sums[n_sums]{};
      for (; row + n_sums <= end; row += n_sums) {
        unroll<n_sums>([&](auto i) TAGIX_LAMBDA_INLINE {
          sums[i.value] += load_part(source + (row + i.value) * stride);
        });
      }
      for (; row < end; ++row) sums[0] += load_part(source + row * stride);
      total += (sums[0] + sums[1]) + (sums[2] + sums[3]);
    }
    store_part(total, sum + column);
  });
}

bool all_finite(const float* values, Index size) {
  // x - x is 0 for finite x, and NaN otherwise; NaN stays in a sum. Several sums side by side: each
  // addition waits for the one before it.
  constexpr int n_sums = 4;
  constexpr Index n = lanes<Vector>;
  Vector sums[n_sums]{};
  Index whole = 0;
  for (; whole + n_sums * n <= size; whole += n_sums * n) {
    unroll<n_sums>([&](auto i) TAGIX_LAMBDA_INLINE {
      const Vector value = load<Vector>(values + whole + i.value * n);
      sums[i.value] += value - value;
    });
  }
  for_each_vector(size - whole, [&](Index i, auto load_part, auto) TAGIX_LAMBDA_INLINE {
    const Vector value = load_part(values + whole + i);
    sums[0] += value - value;
  });
  return element_sum((sums[0] + sums[1]) + (sums[2] + sums[3])) == 0;
}

float absolute_sum(const float* values, Index size) {
  Vector sum{};
  for_each_vector(size, [&](Index i, auto load_part, auto)
                            TAGIX_LAMBDA_INLINE { sum += math::abs(load_part(values + i)); });
  return element_sum(sum);
}

}  // namespace
}  // namespace tagix::cpu
