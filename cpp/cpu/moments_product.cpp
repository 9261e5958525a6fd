#include "cpu/moments_product.h"

namespace tagix::cpu {
namespace {

WeightTerms var_terms(ProductKind kind) {
  switch (kind) {
    case ProductKind::known:
      return WeightTerms::var;
    case ProductKind::both:
      return WeightTerms::second_moment_and_var;
    case ProductKind::squared:
      break;
  }
  return WeightTerms::square;
}

}  // namespace

Formats formats_of(Precision precision) {
  return {precision == Precision::bfloat16 ? Format::bfloat16 : Format::float32,
          precision == Precision::float32 ? Format::float32 : Format::bfloat16};
}

Index MomentsProduct::plane_size(WeightTerms terms, Format format, Index depth,
                                 Index columns) const {
  return kernels_.layout.padded_columns(columns) *
         (1 + cell_count(format, depth) * term_count(terms));
}

Index MomentsProduct::packed_size(ProductKind kind, Index depth, Index columns) const {
  return plane_size(WeightTerms::mean, formats_.mean, depth, columns) +
         plane_size(var_terms(kind), formats_.var, depth, columns);
}

void MomentsProduct::pack(ProductKind kind, const WeightView& weight, Index depth, Index columns,
                          const float* bias_mean, const float* bias_var, float* packed) const {
  pack_means(weight, depth, columns, bias_mean, packed);
  packed += plane_size(WeightTerms::mean, formats_.mean, depth, columns);
  kernels_.pack_weight(var_terms(kind), formats_.var, weight, depth, columns, bias_var, packed);
}

void MomentsProduct::pack_means(const WeightView& weight, Index depth, Index columns,
                                const float* bias, float* packed) const {
  kernels_.pack_weight(WeightTerms::mean, formats_.mean, weight, depth, columns, bias, packed);
}

void MomentsProduct::multiply_means(const float* cells, Index stride, Index rows, Index depth,
                                    Index columns, const float* packed, bool padded, float* output,
                                    Index output_stride) const {
  kernels_.product_rows(WeightTerms::mean, formats_.mean, cells, nullptr, stride, rows, depth,
                        columns, packed, /*with_bias=*/true, padded, output, output_stride);
}

void MomentsProduct::multiply(ProductKind kind, const ProductFactors& input, Index rows,
                              Index depth, Index columns, const float* packed, bool padded,
                              float* output_mean, float* output_var, Index output_stride) const {
  multiply_means(input.mean, input.mean_stride, rows, depth, columns, packed, padded, output_mean,
                 output_stride);
  packed += plane_size(WeightTerms::mean, formats_.mean, depth, columns);
  const float* first = kind == ProductKind::known ? input.square : input.var;
  kernels_.product_rows(var_terms(kind), formats_.var, first, input.square, input.var_stride, rows,
                        depth, columns, packed, /*with_bias=*/true, padded, output_var,
                        output_stride);
}

}  // namespace tagix::cpu
