#include "cpu/affine_products.h"

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
    float* const moments = scratch<SecondMoments>(product_piece * depth);
    kernels_.second_moment(mean, var, rows * depth, moments);
    pack(formats_.var, moments, moment_cells, var_stride);
  }
  return {mean_cells, mean_stride, var_cells, moment_cells, var_stride};
}

}  // namespace tagix::cpu
