#pragma once

#include "core/index.h"
#include "core/slopes.h"
#include "math/activations.h"
#include "math/inference.h"
#include "math/inferred_noise.h"

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

/// How the factors of a product are kept. A cell is 4 bytes: a float, or two neighbours in what is
/// summed over as bfloat16, of which an odd number is filled up with 0. Sums are float32 always.
enum class Format { float32, bfloat16 };

TAGIX_INLINE constexpr Index cell_count(Format format, Index factors) {
  return format == Format::bfloat16 ? (factors + 1) / 2 : factors;
}

/// What a packed weight holds of each element: W_mean, W_var or W_mean^2.
enum class WeightTerm { mean, var, square };

/// One term of a weight as the right side of a product: element (k, column) is at k * depth_stride
/// + column * column_stride of the values, or its square.
struct WeightPlaneView {
  const float* values;
  Index depth_stride;
  Index column_stride;
  bool squared;

  TAGIX_INLINE WeightPlaneView from_column(Index column) const {
    return {values + column * column_stride, depth_stride, column_stride, squared};
  }
};

/// A weight, laid out in the same way. A null `var` is a weight known exactly.
struct WeightView {
  const float* mean;
  const float* var;
  Index depth_stride;
  Index column_stride;

  TAGIX_INLINE WeightPlaneView plane(WeightTerm term) const {
    return {term == WeightTerm::var ? var : mean, depth_stride, column_stride,
            term == WeightTerm::square};
  }
};

/// How the cells of a row of factors lie: `count` runs of `cells` cells, `stride` apart; one run
/// has the whole depth. The window of an image is a run for each of its rows.
struct Segments {
  Index count = 1;
  Index cells = 0;  ///< of several runs
  Index stride = 0;
};

/// A plane of factors, in cells, and the packed weight that they are multiplied with. Of columns
/// that are worked out as dot products (is_dot_panel), factors have one segment.
struct ProductTerm {
  const float* factors = nullptr;
  const float* packed = nullptr;
  Segments segments = {};
};

/// Where the sums of a product go, planes of rows `stride` floats apart. If they are `padded`, rows
/// have room for whole panels, and the columns past the matrix are written as 0.
struct ProductSums {
  float* sums;
  Index stride;
  bool padded;
  float* of_first = nullptr;  ///< unless null, the sums of the first term alone
};

/// The cells of a plane, rows `stride` cells apart; null where nobody reads them.
struct FactorCells {
  float* cells;
  Index stride;
};

/// One side of an outer product: `columns` columns of cells that each hold one sample, or two.
/// There may be several blocks of samples, as the rows of an image are; both sides have as many.
struct SampleFactor {
  const float* cells;
  Index columns;
  Index stride;
  Index n_blocks = 1;
  Index block_stride = 0;
};

/// Where the factors go that a padded plane of moments gives to an affine map. Cells by row have
/// half the plane's stride, those by sample the same. Null where nobody reads them.
struct InputFactors {
  float* mean_by_row;
  float* mean_by_sample;
  float* moment_by_row;  ///< of mean^2 + var
  float* square_by_sample;
  float* var_by_row;
};

/// The same for innovations of the output of an affine map, with their sums over the rows: those
/// are written, or added with `add`, unless null.
struct DeltaFactors {
  float* mean_by_row;
  float* mean_by_sample;
  float* var_by_row;
  float* var_by_sample;
  float* mean_sum;
  float* var_sum;
  bool add;
};

/// The parameters of an affine map as a user sees them: weight (out x in) and bias (out, or null).
/// Those that are known exactly have no variances.
struct AffineParameters {
  const float* weight_mean;
  const float* weight_var;
  const float* bias_mean;
  const float* bias_var;
};

/// The moments that enter an affine map in one row; `var` is null for an input known exactly.
struct AffineInput {
  const float* mean;
  const float* var;
  const float* square;  ///< of the means
};

/// What the innovations of a weight are sums of products of: delta_mean and delta_var (samples x
/// out), and a_mean and a_mean^2 (samples x in).
struct OuterFactors {
  const float* delta_mean;
  const float* delta_var;
  const float* input_mean;
  const float* input_square;
};

/// The parameters of an affine map by its inputs: row i holds the means of the weights of input i,
/// then their variances, each filled up with zeros to padded_out; row `in` those of the bias.
struct BurstWeight {
  float* rows;
  Index stride;  ///< floats from row to row
  Index in;
  Index padded_out;  ///< a multiple of the lanes
  float largest_sd;  ///< no weight has a larger standard deviation

  TAGIX_INLINE float* row(Index i) const { return rows + i * stride; }
};

/// The moments that enter an affine map in a few rows of `in` values each. Inputs that are 0 with
/// certainty may be left out: then `live` has the numbers of the others, else it is null.
struct BurstInput {
  const float* mean;
  const float* var;            ///< null for an input known exactly
  const float* second_moment;  ///< mean^2 + var
  const Index* live;
  Index n_live;
};

/// Innovations of the output of an affine map, rows of padded_out, and the largest magnitude of
/// delta_mean in each.
struct BurstDelta {
  const float* mean;
  const float* var;
  const float* largest_mean;
};

/// Planes of rows that are written.
struct BurstOutput {
  float* mean;
  float* var;
};

/// Values and outputs of a noise head for `size` targets, and their innovations
/// (math/inferred_noise.h).
struct NoisyTargets {
  const float* mean;
  const float* var;
  const float* noise_mean;
  const float* noise_var;
  const float* target;
  float* delta_mean;
  float* delta_var;
  float* noise_delta_mean;
  float* noise_delta_var;
};

/// Where Kernels::activation writes; a pointer is null where the values are not wanted.
struct ActivationOutput {
  float* mean;
  float* var;
  float* jacobian = nullptr;
  float* square = nullptr;         ///< of the means
  float* second_moment = nullptr;  ///< mean^2 + var
};

/// Vectors in flight in Kernels::multiply_adds.
constexpr int multiply_adds_in_flight = 12;

/// Adjoints of some outputs, and variances of what they are of, for some rows: where the first one
/// of each lies, and how many floats apart the next ones are.
struct SpreadRows {
  const float* adjoint;
  Index output_stride;
  Index row_stride;
  Index n_outputs;
  const float* var;
  Index var_stride;  ///< from row to row; 0: all have the same
  Index cols;
  Index rows;
};

/// The inner loops of the CPU backend, compiled once for each instruction set. They run on the
/// calling thread, over the rows or elements they are given; matrices are row-major, and strides
/// count floats.
struct Kernels {
  const char* instruction_set;
  PanelLayout layout;
  bool has_bfloat16;  ///< whether Format::bfloat16 may be asked for

  /// Multiply-adds in registers, as many in flight as hide their latency: what no product can beat.
  /// `iterations` times multiply_adds_in_flight vectors of cells; returns a number that depends on
  /// all of them.
  float (*multiply_adds)(Format format, Index iterations);

  /// Packs a term of a weight for product_rows: panels of the bias (null counts as 0), then for
  /// each cell of depth the panel's columns.
  void (*pack_weight)(Format format, const WeightPlaneView& weight, Index depth, Index columns,
                      const float* bias, float* packed);

  /// Puts a plane (rows x cols, rows `stride` floats apart), or its squares, into the cells that a
  /// product reads (row by row, neighbours in a row share a cell) and those that an outer product
  /// reads (neighbours in a column share a cell).
  void (*pack_factors)(Format format, bool squared, const float* values, Index stride, Index rows,
                       Index cols, const FactorCells& by_row, const FactorCells& by_sample);

  /// The bfloat16 factors of an affine map's input: rows x cols, rows `stride` floats apart, padded
  /// to whole panels. Means make factors if their format is bfloat16, too; those of variances must
  /// be. A null `var` is an input known exactly.
  void (*pack_inputs)(Format mean_format, const float* mean, const float* var, Index stride,
                      Index rows, Index cols, const InputFactors& factors);

  /// pack_inputs of the moments that an activation makes of an input, padded planes with rows
  /// `stride` floats apart, without planes of these: `output` has them where they are wanted (its
  /// squares and second moments are not written). A null `var` is an input known exactly. Rounds as
  /// `activation` does to the format of the means.
  void (*activation_factors)(const math::ActivationSpec& spec, Format mean_format,
                             const float* mean, const float* var, Index stride, Index rows,
                             const ActivationOutput& output, const InputFactors& factors);

  /// Takes innovations (padded planes, rows x cols) through a Jacobian (null: none), in place
  /// where their format is float32 and into the factors where it is bfloat16, and sums them.
  void (*pack_deltas)(Format mean_format, Format var_format, const float* jacobian, Index rows,
                      Index cols, float* mean, float* var, Index stride,
                      const DeltaFactors& factors);

  /// output = bias + first, or bias + first + second unless that has no factors: products of `rows`
  /// rows of factors, `stride` cells apart, with packed weights. The bias is that of the first, and
  /// 0 without `with_bias`. The second term is added to the rounded sums of the first.
  void (*product_rows)(Format format, ProductTerm first, ProductTerm second, Index stride,
                       Index rows, Index depth, Index columns, bool with_bias,
                       const ProductSums& output);

  /// sum[l][r] = sum_b left[b][l] right[b][r] over the `samples` of each block in order; added to
  /// what is there with `add`. Rows of `right` must be readable up to
  /// layout.padded_columns(right.columns).
  void (*outer_product)(Format format, const SampleFactor& left, const SampleFactor& right,
                        Index samples, bool add, float* sum, Index sum_stride);

  /// What an affine map gives for a few rows, straight from the parameters: for so few rows that
  /// packing them would take longer. Rows of inputs are `in` floats apart, those of outputs `out`.
  /// Of parameters that are known exactly, the means alone.
  void (*affine_rows)(const AffineInput& input, Index rows, Index in,
                      const AffineParameters& parameters, Index out, float* mean, float* var);
  void (*affine_rows_backward)(const float* delta_mean, const float* delta_var, Index rows,
                               Index out, const float* weight_mean, Index in, float* mean,
                               float* var);

  /// What an affine map gives for a few rows from copies of its weights, in rows of padded_out.
  void (*affine_burst)(const BurstInput& input, Index rows, const BurstWeight& weight,
                       const BurstOutput& output);
  /// Takes innovations of 1, 2, 4 or 8 rows through an affine map, to `below` (rows of `in`, of
  /// live inputs; null where nobody asks for it), and changes its weights, but not its bias, by the
  /// information rule. Innovations and variances must be below 1e38 with all their products.
  void (*update_burst)(const BurstInput& input, const BurstDelta& delta, Index rows, float clip,
                       const BurstWeight& weight, const BurstOutput& below);
  /// target[c][r] = source[r][c].
  void (*transpose_plane)(const float* source, Index rows, Index cols, Index stride, float* target,
                          Index target_stride);
  /// Lists the inputs that are not 0 with certainty, or whose Jacobian is not 0 (null: nobody asks
  /// for their innovations), in rising order, and returns how many they are. `live` has room for
  /// `size` numbers.
  Index (*find_live)(const float* second_moment, const float* jacobian, Index size, Index* live);
  /// The largest absolute value; NaN does not count.
  float (*largest_magnitude)(const float* values, Index size);

  void (*square)(const float* values, Index size, float* squares);
  /// moment = mean^2 + var; a null var is 0.
  void (*second_moment)(const float* mean, const float* var, Index size, float* moment);
  /// sum += values.
  void (*add)(const float* values, Index size, float* sum);

  /// sum[c] += sum_b plane[b * stride + c] for the first `columns` columns of `rows` rows. Rows are
  /// added in blocks, so that rounding grows with the number of blocks and not of rows.
  void (*add_column_sums)(const float* plane, Index stride, Index rows, Index columns, float* sum);

  /// Elementwise; input_var may be null (exactly known). Moments that are to be rounded to bfloat16
  /// may have errors of 1.1e-3.
  void (*activation)(const math::ActivationSpec& spec, Format format, const float* input_mean,
                     const float* input_var, Index size, const ActivationOutput& output);
  /// output = f(input), which may be the same.
  void (*activation_values)(const math::ActivationSpec& spec, const float* input, Index size,
                            float* output);
  void (*activation_points)(math::MomentsForm form, const float* input_mean, const float* input_var,
                            Index size, float* points);
  void (*activation_from_points)(math::MomentsForm form, const float* input_var, Index size,
                                 const float* values, const float* derivatives, float* output_mean,
                                 float* output_var, float* jacobian);
  void (*activation_slopes)(const math::ActivationSpec& spec, const float* input_mean,
                            const float* input_var, Index size, bool residual, SlopesView slopes);
  /// activation_slopes without `residual` by the moments that `activation` has given, whose
  /// Jacobian lies in slopes.mean_by_mean.
  void (*activation_slopes_by_moments)(const math::ActivationSpec& spec, const float* input_mean,
                                       const float* input_var, const float* output_mean,
                                       const float* output_var, Index size, SlopesView slopes);
  void (*activation_slopes_from_points)(math::MomentsForm form, const float* input_var, Index size,
                                        const float* values, const float* derivatives,
                                        bool residual, SlopesView slopes);
  /// Backend::scale_adjoint for one output; `below` may be what is read.
  void (*scale_adjoint)(ConstSlopesView slopes, Index size, const float* mean, const float* var,
                        bool add, float* below_mean, float* below_var);
  /// mean += 2 input_mean by_var, var += by_var, for by_var = G_v W_var.
  void (*join_adjoint)(const float* input_mean, const float* by_var, Index size, float* mean,
                       float* var);
  /// excess = max(0, var - jacobian^2 input_var).
  void (*activation_excess)(const float* input_var, const float* jacobian, const float* var,
                            Index size, float* excess);
  /// covariance[row][k][l] += sum_c adjoint[k][row][c] adjoint[l][row][c] var[row][c], n_outputs
  /// squared for each row.
  void (*add_spread)(const SpreadRows& of, float* covariance);
  /// Its diagonal alone: variance[row][k] += sum_c adjoint[k][row][c]^2 var[row][c].
  void (*add_spread_variances)(const SpreadRows& of, float* variance);
  /// sums[i][k] += sum_s left[s][i] right[s][k] over a few samples; with `left` null its values are
  /// 1. It is (left_cols x right_cols) and dense.
  void (*add_outer)(const float* left, Index left_cols, const float* right, Index right_cols,
                    Index samples, float* sums);
  void (*scale_deltas)(const float* jacobian, Index size, float* delta_mean, float* delta_var);
  /// noise_stride 0 repeats one noise variance, 1 has one for each element.
  void (*observe)(const float* mean, const float* var, const float* target, const float* noise_var,
                  Index noise_stride, float spread, Index size, float* delta_mean,
                  float* delta_var);
  void (*observe_noisy)(const math::NoiseHead& head, const NoisyTargets& targets, float spread,
                        Index size);
  /// math::softmax_innovation of a row of n outputs; label is the class.
  void (*observe_softmax)(const float* mean, const float* var, Index n, Index label, float spread,
                          float* delta_mean, float* delta_var);
  /// The probabilities of the classes of a row of n outputs.
  void (*softmax_probabilities)(const float* mean, const float* var, Index n, float* probabilities);
  /// The noise variances that a noise head infers.
  void (*infer_noise)(const math::NoiseHead& head, const float* mean, const float* var, Index size,
                      float* noise_var);
  /// Whether every value is finite.
  bool (*all_finite)(const float* values, Index size);
  /// The sum of absolute values.
  float (*absolute_sum)(const float* values, Index size);
  /// math::forgotten_var of `size` variances.
  void (*forget)(float process_var, float prior_var, float least_var, Index size, float* var);
  /// Changes (mean, var) of `size` parameters by a rule and its bound (UpdateRule::bound_for).
  void (*update)(math::UpdateKind kind, float bound, const float* delta_mean,
                 const float* delta_var, Index size, float* mean, float* var);
  /// The same for a weight (out x in) whose innovations are sum_b delta_b input_b over few samples.
  /// `in` is a multiple of layout.lanes.
  void (*update_weight)(math::UpdateKind kind, float bound, const OuterFactors& factors,
                        Index samples, Index out, Index in, float* mean, float* var);
};

}  // namespace tagix::cpu
