#pragma once

#include "core/precision.h"
#include "cpu/kernels.h"

namespace tagix::cpu {

/// A product of moments gives a plane of means and one of variances, each a matrix product:
///   known    mean = x_mean W_mean,  var = x_mean^2 W_var          forward, input known exactly
///   both     mean = x_mean W_mean,  var = x_var (W_mean^2 + W_var) + x_mean^2 W_var
///   squared  mean = x_mean W_mean,  var = x_var W_mean^2          backward
enum class ProductKind { known, both, squared };

/// The formats of the factors of means and of those of variances.
struct Formats {
  Format mean;
  Format var;
};

Formats formats_of(Precision precision);

/// The left side of a product, in the cells that product_rows reads. ProductKind says which of var
/// and square it needs.
struct ProductFactors {
  const float* mean;
  Index mean_stride;
  const float* var;
  const float* square;  ///< of the means
  Index var_stride;     ///< of var and square
};

/// Products of moments with one instruction set, in one precision.
class MomentsProduct {
 public:
  MomentsProduct(const Kernels& kernels, Formats formats) : kernels_(kernels), formats_(formats) {}

  /// The number of floats in a packed weight of `depth` rows (the dimension summed over) and
  /// `columns` columns.
  Index packed_size(ProductKind kind, Index depth, Index columns) const;

  /// Packs a weight for multiply(). Biases may be null.
  void pack(ProductKind kind, const WeightView& weight, Index depth, Index columns,
            const float* bias_mean, const float* bias_var, float* packed) const;

  /// Packs the means alone, for multiply_means(): the first part of what pack() writes.
  void pack_means(const WeightView& weight, Index depth, Index columns, const float* bias,
                  float* packed) const;

  /// The plane of means of multiply(), which it gives in every kind of product.
  void multiply_means(const float* cells, Index stride, Index rows, Index depth, Index columns,
                      const float* packed, bool padded, float* output, Index output_stride) const;

  /// Both planes of the output (rows x columns, rows `output_stride` floats apart; `padded` as in
  /// Kernels::product_rows).
  void multiply(ProductKind kind, const ProductFactors& input, Index rows, Index depth,
                Index columns, const float* packed, bool padded, float* output_mean,
                float* output_var, Index output_stride) const;

 private:
  /// The number of floats in one packed plane.
  Index plane_size(WeightTerms terms, Format format, Index depth, Index columns) const;

  const Kernels& kernels_;
  Formats formats_;
};

}  // namespace tagix::cpu
