#pragma once

// Moments through an activation and on, without a plane in between, into the bfloat16 factors of
// the affine map above it, for kernels.cpp.

#include "cpu/activation_kernels.h"
#include "cpu/factors.h"
#include "cpu/formats.h"
#include "cpu/kernels.h"
#include "cpu/simd.h"

#if defined(__AVX512BF16__)

namespace tagix::cpu {
namespace {

/// The same columns of two rows, which share cells by sample.
struct RowPair {
  VectorMoments first;
  VectorMoments second;
};

struct RowPairActivation {
  math::ActivationMoments<Vector> first;
  math::ActivationMoments<Vector> second;
};

/// Whether an activation is called for each vector: a copy of it in every loop would take the
/// compiler minutes. It takes 40 ns and more itself, beside 1 to 5 of a call; not so exp.
template <class Function>
constexpr bool is_called = false;
template <class Activation>
constexpr bool is_called<math::ExactMoments<Activation>> = true;
template <>
constexpr bool is_called<math::ExactMoments<math::Exp>> = false;

template <class Function>
__attribute__((noinline)) math::ActivationMoments<Vector> call(const Function& function,
                                                               Vector mean, Vector var) {
  return function(mean, var);
}

template <class Function>
TAGIX_INLINE math::ActivationMoments<Vector> activate(const Function& function,
                                                      const VectorMoments& z) {
  if constexpr (is_called<Function>) {
    return call(function, z.mean, z.var);
  } else {
    return function(z.mean, z.var);
  }
}

/// Kernels::activation_factors for one activation and one format of the means.
template <bool learns, class MeanFormat, class Function>
TAGIX_INLINE void activate_rows(const Function& function, const float* mean, const float* var,
                                Index stride, Index rows, const ActivationOutput& output,
                                const InputFactors& factors) {
  for (Index row = 0; row < rows; row += 2) {
    const bool has_next = row + 1 < rows;
    const Index at = row * stride, next = has_next ? at + stride : at;
    const auto first = moments_of(mean + at, var == nullptr ? nullptr : var + at);
    const auto second = moments_of(mean + next, var == nullptr ? nullptr : var + next);
    const auto give_plane = [&](Index i, Vector value, Vector next_value, float* plane,
                                auto store_part) TAGIX_LAMBDA_INLINE {
      if (plane == nullptr) return;
      store_part(value, plane + at + i);
      if (has_next) store_part(next_value, plane + next + i);
    };
    const auto give_cells = [&](Index i, Vector value, Vector next_value, float* by_row,
                                float* by_sample, auto store_part) TAGIX_LAMBDA_INLINE {
      write_part_cells<BFloat16Format>(
          value, next_value, has_next, stride - i,
          by_row == nullptr ? nullptr : by_row + (at + i) / 2, stride / 2,
          by_sample == nullptr ? nullptr : by_sample + row / 2 * stride + i, store_part);
    };
    map_vectors<2>(
        stride,
        [&](Index i, auto load_part)
            TAGIX_LAMBDA_INLINE { return RowPair{first(i, load_part), second(i, load_part)}; },
        [&](const RowPair& z) TAGIX_LAMBDA_INLINE {
          return RowPairActivation{activate(function, z.first), activate(function, z.second)};
        },
        [&](Index i, const RowPairActivation& a, auto store_part) TAGIX_LAMBDA_INLINE {
          const Vector means = a.first.mean, next_means = a.second.mean;
          give_plane(i, means, next_means, output.mean, store_part);
          give_plane(i, a.first.var, a.second.var, output.var, store_part);
          if constexpr (learns) {
            give_plane(i, a.first.jacobian, a.second.jacobian, output.jacobian, store_part);
          }
          if constexpr (MeanFormat::factors_per_cell == 2) {
            give_cells(i, means, next_means, factors.mean_by_row,
                       learns ? factors.mean_by_sample : nullptr, store_part);
          }
          give_cells(i, a.first.var, a.second.var, factors.var_by_row, nullptr, store_part);
          give_cells(i, means * means + a.first.var, next_means * next_means + a.second.var,
                     factors.moment_by_row, nullptr, store_part);
          // Apart, so that the second moment is one operation with one rounding.
          if constexpr (learns) {
            give_cells(i, means * means, next_means * next_means, nullptr, factors.square_by_sample,
                       store_part);
          }
        });
  }
}

}  // namespace
}  // namespace tagix::cpu

#endif
