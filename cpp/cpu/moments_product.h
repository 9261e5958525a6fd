#pragma once

#include "core/precision.h"
#include "cpu/kernels.h"

namespace tagix::cpu {

/// A product of moments gives a plane of means and one of variances, each a matrix product:
///   known    mean = x_mean W_mean,  var = x_mean^2 W_var          forward, input known exactly
///   both     mean = x_mean W_mean,  var = (x_mean^2 + x_var) W_var + x_var W_mean^2
///   squared  mean = x_mean W_mean,  var = x_var W_mean^2          backward
/// The first term of a variance is what the weight adds to it, its spread.
enum class ProductKind { known, both, squared };

/// The formats of the factors of means and of those of variances.
struct Formats {
  Format mean;
  Format var;
};

Formats formats_of(Precision precision);

/// The left side of a product, in the cells that product_rows reads. ProductKind says which of var
/// and moment it needs.
struct ProductFactors {
  const float* mean;
  Index mean_stride;
  const float* var;
  const float* moment;  ///< x_mean^2 + x_var
  Index var_stride;     ///< of var and moment
  Segments segments = {};
};

/// Some columns of a product, whole panels of it but for its last columns.
struct ColumnRange {
  Index first;
  Index count;
};

/// Where the output of a product goes (rows x columns, rows `stride` floats apart; `padded` as in
/// Kernels::product_rows).
struct ProductOutput {
  float* mean;
  float* var;
  Index stride;
  bool padded;
  float* spread = nullptr;  ///< unless null, what the weight adds to the variance, as `var`
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
                      const float* packed, const ProductOutput& output,
                      const Segments& segments = {}) const;

  /// Both planes of the output, and the spread where it is asked for and x is not known exactly.
  void multiply(ProductKind kind, const ProductFactors& input, Index rows, Index depth,
                Index columns, const float* packed, const ProductOutput& output) const {
    multiply_columns(kind, input, rows, depth, columns, {0, columns}, packed, output);
  }
  /// Of these columns alone; `output` begins with the first of them.
  void multiply_columns(ProductKind kind, const ProductFactors& input, Index rows, Index depth,
                        Index columns, const ColumnRange& range, const float* packed,
                        const ProductOutput& output) const;

 private:
  /// The number of floats in one packed plane.
  Index plane_size(Format format, Index depth, Index columns) const;

  const Kernels& kernels_;
  Formats formats_;
};

}  // namespace tagix::cpu
