#include "cpu/affine_products.h"

#include <algorithm>

#include "cpu/pieces.h"
#include "cpu/plane_product.h"
#include "cpu/scratch.h"

namespace tagix::cpu {
namespace {

struct PackedWeight {};
struct ProductCells {};
struct SecondMoments {};

}  // namespace

void AffineProducts::forward(ConstMomentsView input, ConstMomentsView weight, ConstMomentsView bias,
                             MomentsView output) const {
  const ProductKind kind = input.var == nullptr ? ProductKind::known : ProductKind::both;
  multiply(kind, input, {weight.mean, weight.var, 1, weight.cols}, bias, output);
}

void AffineProducts::means(ConstMomentsView input, ConstMomentsView weight, ConstMomentsView bias,
                           float* output) const {
  const PlaneProduct product{kernels_, input.rows, input.cols, weight.rows};
  const WeightView transposed{weight.mean, nullptr, 1, weight.cols};
  product.multiply({WeightTerm::mean, formats_.mean, transposed, bias.mean}, input.mean, output);
}

void AffineProducts::backward(ConstMomentsView delta, ConstMomentsView weight,
                              MomentsView delta_input) const {
  multiply(ProductKind::squared, delta, {weight.mean, weight.var, weight.cols, 1}, {}, delta_input);
}

/// output = input * weight, with the weight as depth x columns.
void AffineProducts::multiply(ProductKind kind, ConstMomentsView input, const WeightView& weight,
                              ConstMomentsView bias, MomentsView output) const {
  const Index depth = input.cols, columns = output.cols;
  float* const packed = scratch<PackedWeight>(product_.packed_size(kind, depth, columns));
  product_.pack(kind, weight, depth, columns, bias.mean, bias.var, packed);
  const double multiply_adds = 3.0 * static_cast<double>(depth * columns);
  for_product_pieces(input.rows, multiply_adds, [&](Index first, Index count) {
    const ProductFactors factors = packed_factors(
        kind, input.mean + first * depth, plane_from(input.var, first * depth), count, depth);
    product_.multiply(kind, factors, count, depth, columns, packed,
                      {output.mean + first * columns, output.var + first * columns, columns,
                       /*padded=*/false});
  });
}

/// The cells of what enters a product with a piece of rows, in memory of the calling thread.
ProductFactors AffineProducts::packed_factors(ProductKind kind, const float* mean, const float* var,
                                              Index rows, Index depth) const {
  const Index mean_stride = spread_stride(cell_count(formats_.mean, depth));
  const Index var_stride = spread_stride(cell_count(formats_.var, depth));
  float* const mean_cells = scratch<ProductCells>(product_piece * (mean_stride + 2 * var_stride));
  float* const var_cells = mean_cells + product_piece * mean_stride;
  float* const moment_cells = var_cells + product_piece * var_stride;
  const auto pack = [&](Format format, const float* values, float* cells, Index stride) {
    kernels_.pack_factors(format, /*squared=*/false, values, depth, rows, depth, {cells, stride},
                          {});
  };
  pack(formats_.mean, mean, mean_cells, mean_stride);
  if (kind != ProductKind::known) pack(formats_.var, var, var_cells, var_stride);
  if (kind != ProductKind::squared) {
    // A few rows at a time, which stay in the first-level cache; an even number, as two may share
    // cells.
    constexpr Index few = 4;
    float* const moments = scratch<SecondMoments>(few * depth);
    for (Index row = 0; row < rows; row += few) {
      const Index count = std::min(few, rows - row);
      kernels_.second_moment(mean + row * depth, plane_from(var, row * depth), count * depth,
                             moments);
      kernels_.pack_factors(formats_.var, /*squared=*/false, moments, depth, count, depth,
                            {moment_cells + row * var_stride, var_stride}, {});
    }
  }
  return {mean_cells, mean_stride, var_cells, moment_cells, var_stride};
}

}  // namespace tagix::cpu
