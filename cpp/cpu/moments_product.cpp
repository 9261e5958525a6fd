#include "cpu/moments_product.h"

#include "cpu/plane_product.h"

namespace tagix::cpu {

Formats formats_of(Precision precision) {
  return {precision == Precision::bfloat16 ? Format::bfloat16 : Format::float32,
          precision == Precision::float32 ? Format::float32 : Format::bfloat16};
}

Index MomentsProduct::plane_size(Format format, Index depth, Index columns) const {
  return kernels_.layout.padded_columns(columns) * (1 + cell_count(format, depth));
}

Index MomentsProduct::packed_size(ProductKind kind, Index depth, Index columns) const {
  const Index n_var_planes = kind == ProductKind::both ? 2 : 1;
  return plane_size(formats_.mean, depth, columns) +
         n_var_planes * plane_size(formats_.var, depth, columns);
}

void MomentsProduct::pack(ProductKind kind, const WeightView& weight, Index depth, Index columns,
                          const float* bias_mean, const float* bias_var, float* packed) const {
  pack_means(weight, depth, columns, bias_mean, packed);
  packed += plane_size(formats_.mean, depth, columns);
  if (kind != ProductKind::squared) {
    pack_plane(kernels_, {WeightTerm::var, formats_.var, weight, bias_var}, depth, columns, packed);
    packed += plane_size(formats_.var, depth, columns);
  }
  if (kind != ProductKind::known) {
    pack_plane(kernels_, {WeightTerm::square, formats_.var, weight}, depth, columns, packed);
  }
}

void MomentsProduct::pack_means(const WeightView& weight, Index depth, Index columns,
                                const float* bias, float* packed) const {
  pack_plane(kernels_, {WeightTerm::mean, formats_.mean, weight, bias}, depth, columns, packed);
}

void MomentsProduct::multiply_means(const float* cells, Index stride, Index rows, Index depth,
                                    Index columns, const float* packed, const ProductOutput& output,
                                    const Segments& segments) const {
  kernels_.product_rows(formats_.mean, {cells, packed, segments}, {}, stride, rows, depth, columns,
                        /*with_bias=*/true, {output.mean, output.stride, output.padded});
}

void MomentsProduct::multiply_columns(ProductKind kind, const ProductFactors& input, Index rows,
                                      Index depth, Index columns, const ColumnRange& range,
                                      const float* packed, const ProductOutput& output) const {
  // Panels lie one after the other, each with its bias before its cells.
  const auto own = [&](const float* plane, Format format) {
    return plane + range.first * (1 + cell_count(format, depth));
  };
  multiply_means(input.mean, input.mean_stride, rows, depth, range.count,
                 own(packed, formats_.mean), output, input.segments);
  packed += plane_size(formats_.mean, depth, columns);
  const float* const after = packed + plane_size(formats_.var, depth, columns);
  const bool has_moment = kind != ProductKind::squared;
  const ProductTerm first{has_moment ? input.moment : input.var, own(packed, formats_.var),
                          input.segments};
  const ProductTerm second = kind == ProductKind::both
                                 ? ProductTerm{input.var, own(after, formats_.var), input.segments}
                                 : ProductTerm{};
  kernels_.product_rows(formats_.var, first, second, input.var_stride, rows, depth, range.count,
                        /*with_bias=*/has_moment,
                        {output.var, output.stride, output.padded, output.spread});
}

}  // namespace tagix::cpu
