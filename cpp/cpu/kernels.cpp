// Compiled once for each instruction set, with TAGIX_LANES floats a vector, TAGIX_TILE_ROWS rows a
// register tile, and TAGIX_KERNELS as the name of the function that returns the table. Here is the
// table, and of its kernels those of products, which choose the format; a header has each other
// subject.

#include "cpu/kernels.h"

#include "cpu/activation_factors.h"
#include "cpu/activation_kernels.h"
#include "cpu/adjoint_kernels.h"
#include "cpu/burst_kernels.h"
#include "cpu/factors.h"
#include "cpu/formats.h"
#include "cpu/plane_kernels.h"
#include "cpu/products.h"
#include "cpu/row_kernels.h"
#include "cpu/simd.h"
#include "cpu/target_kernels.h"
#include "cpu/update_kernels.h"

namespace tagix::cpu {
namespace {

float multiply_adds(Format format, Index iterations) {
  Vector sums[multiply_adds_in_flight]{};
  // Hidden from the optimiser, and such that the sums converge.
  float factor = 0.999f, term = 0.001f;
  asm volatile("" : "+m"(factor), "+m"(term));
  const Vector factors = broadcast<Vector>(factor), terms = broadcast<Vector>(term);
  with_format(format, [&](auto cells) TAGIX_LAMBDA_INLINE {
    using F = decltype(cells);
    for (Index i = 0; i < iterations; ++i) {
      unroll<multiply_adds_in_flight>([&](auto k) TAGIX_LAMBDA_INLINE {
        Vector& sum = sums[k.value];
        // A sum of products adds to its first operand, which float32 can take for any of the three.
        sum = F::factors_per_cell == 1 ? F::multiply_add(terms, sum, factors)
                                       : F::multiply_add(sum, terms, factors);
      });
    }
  });
  Vector total{};
  for (const Vector& sum : sums) total += sum;
  return element_sum(total);
}

void pack_weight(Format format, const WeightPlaneView& weight, Index depth, Index columns,
                 const float* bias, float* packed) {
  with_format(format, [&](auto cells) TAGIX_LAMBDA_INLINE {
    pack_panels<decltype(cells)>(weight, depth, columns, bias, packed);
  });
}

void product_rows(Format format, ProductTerm first, ProductTerm second, Index stride, Index rows,
                  Index depth, Index columns, bool with_bias, const ProductSums& output) {
  with_format(format, [&](auto cells) TAGIX_LAMBDA_INLINE {
    using F = decltype(cells);
    const auto panels = second.factors == nullptr ? product_panels<F, 1> : product_panels<F, 2>;
    panels(first, second, stride, rows, F::cells(depth), columns, with_bias, output);
  });
}

void outer_product(Format format, const SampleFactor& left, const SampleFactor& right,
                   Index samples, bool add, float* sum, Index sum_stride) {
  with_format(format, [&](auto cells) TAGIX_LAMBDA_INLINE {
    using F = decltype(cells);
    outer_panels<F>(left, right, F::cells(samples), add, sum, sum_stride);
  });
}

void pack_factors(Format format, bool squared, const float* values, Index stride, Index rows,
                  Index cols, const FactorCells& by_row, const FactorCells& by_sample) {
  with_format(format, [&](auto cells) TAGIX_LAMBDA_INLINE {
    pack_cells<decltype(cells)>(squared, values, stride, rows, cols, by_row, by_sample);
  });
}

void pack_inputs([[maybe_unused]] Format mean_format, [[maybe_unused]] const float* mean,
                 [[maybe_unused]] const float* var, [[maybe_unused]] Index stride,
                 [[maybe_unused]] Index rows, [[maybe_unused]] Index cols,
                 [[maybe_unused]] const InputFactors& factors) {
#if defined(__AVX512BF16__)
  with_format(mean_format, [&](auto means) TAGIX_LAMBDA_INLINE {
    pack_input_planes<decltype(means), BFloat16Format>(mean, var, stride, rows, cols, factors);
  });
#endif
}

TAGIX_SCHEDULED void activation_factors([[maybe_unused]] const math::ActivationSpec& spec,
                                        [[maybe_unused]] Format mean_format,
                                        [[maybe_unused]] const float* mean,
                                        [[maybe_unused]] const float* var,
                                        [[maybe_unused]] Index stride, [[maybe_unused]] Index rows,
                                        [[maybe_unused]] const ActivationOutput& output,
                                        [[maybe_unused]] const InputFactors& factors) {
#if defined(__AVX512BF16__)
  visit_vector_activation(spec, mean_format, [&](auto function) TAGIX_LAMBDA_INLINE {
    with_format(mean_format, [&](auto means) TAGIX_LAMBDA_INLINE {
      if (output.jacobian != nullptr) {
        activate_rows<true, decltype(means)>(function, mean, var, stride, rows, output, factors);
      } else {
        activate_rows<false, decltype(means)>(function, mean, var, stride, rows, output, factors);
      }
    });
  });
#endif
}

void pack_deltas(Format mean_format, Format var_format, const float* jacobian, Index rows,
                 Index cols, float* mean, float* var, Index stride, const DeltaFactors& factors) {
  with_format(mean_format, [&](auto means) TAGIX_LAMBDA_INLINE {
    with_format(var_format, [&](auto vars) TAGIX_LAMBDA_INLINE {
      pack_delta_planes<decltype(means), decltype(vars)>(jacobian, rows, cols, mean, var, stride,
                                                         factors);
    });
  });
}

constexpr Kernels kernels{TAGIX_INSTRUCTION_SET,
                          panel_layout,
                          has_bfloat16,
                          multiply_adds,
                          pack_weight,
                          pack_factors,
                          pack_inputs,
                          activation_factors,
                          pack_deltas,
                          product_rows,
                          outer_product,
                          affine_rows,
                          affine_rows_backward,
                          affine_burst,
                          update_burst,
                          transpose_plane,
                          find_live,
                          largest_magnitude,
                          square,
                          second_moment,
                          add,
                          add_column_sums,
                          activation,
                          activation_values,
                          activation_points,
                          activation_from_points,
                          activation_slopes,
                          activation_slopes_by_moments,
                          activation_slopes_from_points,
                          scale_adjoint,
                          join_adjoint,
                          activation_excess,
                          add_spread,
                          add_spread_variances,
                          add_outer,
                          scale_deltas,
                          observe,
                          observe_noisy,
                          observe_softmax,
                          softmax_probabilities,
                          infer_noise,
                          all_finite,
                          absolute_sum,
                          forget,
                          update,
                          update_weight};

}  // namespace

const Kernels* TAGIX_KERNELS() { return &kernels; }

}  // namespace tagix::cpu
