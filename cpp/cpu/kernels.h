#pragma once

#include "core/index.h"
#include "math/activations.h"

namespace tagix::cpu {

/// How the columns of a product are cut into panels: first wide ones, then at most one narrower
/// one that covers the rest. A panel's columns past the matrix are zeros.
struct PanelLayout {
  Index lanes;

  /// The width of the panel that starts with `columns_left` columns to go.
  TAGIX_INLINE constexpr Index width(Index columns_left) const {
    if (columns_left > lanes) return 2 * lanes;
    return columns_left > 4 ? lanes : 4;
  }
  /// All panels together.
  TAGIX_INLINE constexpr Index padded_columns(Index columns) const {
    Index padded = 0;
    while (padded < columns) padded += width(columns - padded);
    return padded;
  }
};

/// The number of variance terms in a product of moments; a term is one matrix product.
///   known    var = x_mean^2 W_var              forward, input known exactly
///   both     var = x_var (W_mean^2 + W_var) + x_mean^2 W_var
///   squared  var = x_var W_mean^2              backward
enum class ProductKind { known, both, squared };

/// The number of floats in a packed weight of `depth` rows (the dimension summed over) and
/// `columns` columns.
Index packed_size(const PanelLayout& layout, ProductKind kind, Index depth, Index columns);

/// What a product reads for each row: means, variances and squares of the means, all with the same
/// stride between rows. ProductKind says which of the last two it needs.
struct ProductInput {
  const float* mean;
  const float* var;
  const float* square;
  Index stride;
};

/// The parameters of an affine map as a user sees them: weight (out x in) and bias (out, or null).
struct AffineParameters {
  const float* weight_mean;
  const float* weight_var;
  const float* bias_mean;
  const float* bias_var;
};

/// One side of an outer product: what enters the sums of means, and what those of variances. That
/// is (delta_mean, delta_var) on the one side and (a_mean, a_mean^2) on the other.
struct FactorView {
  const float* mean;
  const float* var;
  Index stride;

  TAGIX_INLINE FactorView from(Index column) const { return {mean + column, var + column, stride}; }
};

/// The inner loops of the CPU backend, compiled once for each instruction set. They run on the
/// calling thread, over the rows or elements they are given; matrices are row-major, and strides
/// count floats.
struct Kernels {
  const char* instruction_set;
  PanelLayout layout;

  /// Packs a weight for product_rows: panels of [bias mean, bias var], then for each k the means
  /// and the variance factors of `kind`. Element (k, column) of the product's right side is at
  /// k * depth_stride + column * column_stride of mean and var. Biases may be null.
  void (*pack_weight)(ProductKind kind, const float* mean, const float* var, Index depth_stride,
                      Index column_stride, Index depth, Index columns, const float* bias_mean,
                      const float* bias_var, float* packed);

  /// output = input * packed weight, `rows` rows: mean and variance at once. `output_stride` is at
  /// least `columns`.
  void (*product_rows)(ProductKind kind, const ProductInput& input, Index rows, Index depth,
                       Index columns, const float* packed, float* output_mean, float* output_var,
                       Index output_stride);

  /// What product_rows gives for one row, straight from the parameters: for so few rows that
  /// packing them would take longer. Forward takes kinds known and both, backward is squared.
  void (*affine_row)(ProductKind kind, const ProductInput& input, Index in,
                     const AffineParameters& parameters, Index out, float* mean, float* var);
  void (*affine_row_backward)(const float* delta_mean, const float* delta_var, Index out,
                              const float* weight_mean, Index in, float* mean, float* var);

  void (*square)(const float* values, Index size, float* squares);
  /// sum += values.
  void (*add)(const float* values, Index size, float* sum);

  /// mean[l][r] = sum_b left.mean[b][l] right.mean[b][r], and var from left.var and right.var, over
  /// `samples` in order; added to what is there with `add`. Rows of `right` must be readable up to
  /// layout.padded_columns(right_cols).
  void (*outer_product)(const FactorView& left, Index left_cols, const FactorView& right,
                        Index right_cols, Index samples, bool add, float* mean, float* var,
                        Index sum_stride);

  /// Adds sum_b delta_mean a_mean to mean (rows first_output .. last_output - 1 of out x in), and
  /// sum_b delta_var a_mean^2 to var, over `batch` samples in order. `scratch` holds
  /// innovation_scratch_size() floats.
  void (*innovation_rows)(const float* input_mean, Index in, const float* delta_mean,
                          const float* delta_var, Index out, Index batch, Index first_output,
                          Index last_output, float* mean, float* var, float* scratch);
  Index (*innovation_scratch_size)();

  /// sum[c] += sum_b plane[b * stride + c] for the first `columns` columns of `rows` rows. Rows are
  /// added in blocks, so that rounding grows with the number of blocks and not of rows.
  void (*add_column_sums)(const float* plane, Index stride, Index rows, Index columns, float* sum);

  /// Elementwise; input_var may be null (exactly known).
  void (*activation)(const math::ActivationSpec& spec, const float* input_mean,
                     const float* input_var, Index size, float* output_mean, float* output_var,
                     float* jacobian);
  void (*activation_points)(math::MomentsForm form, const float* input_mean, const float* input_var,
                            Index size, float* points);
  void (*activation_from_points)(math::MomentsForm form, const float* input_var, Index size,
                                 const float* values, const float* derivatives, float* output_mean,
                                 float* output_var, float* jacobian);
  void (*scale_deltas)(const float* jacobian, Index size, float* delta_mean, float* delta_var);
  /// noise_stride 0 repeats one noise variance, 1 has one for each element.
  void (*observe)(const float* mean, const float* var, const float* target, const float* noise_var,
                  Index noise_stride, float spread, Index size, float* delta_mean,
                  float* delta_var);
  /// Whether every value is finite.
  bool (*all_finite)(const float* values, Index size);
  void (*information_update)(const float* delta_mean, const float* delta_var, float clip,
                             Index size, float* mean, float* var);
  void (*capped_update)(const float* delta_mean, const float* delta_var, float cap, Index size,
                        float* mean, float* var);
};

}  // namespace tagix::cpu
