#include "cpu/affine_products.h"

#include "cpu/pieces.h"
#include "cpu/plane_product.h"
#include "cpu/scratch.h"

namespace tagix::cpu {
namespace {

struct PackedWeight {};
struct ProductCells {};

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
  product.multiply({WeightTerms::mean, formats_.mean, transposed, bias.mean}, input.mean, output);
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
    const float* const mean = input.mean + first * depth;
    const ProductFactors factors = packed_factors(
        {mean, false}, {kind == ProductKind::known ? nullptr : input.var + first * depth, false},
        {kind == ProductKind::squared ? nullptr : mean, true}, count, depth);
    product_.multiply(kind, factors, count, depth, columns, packed, /*padded=*/false,
                      output.mean + first * columns, output.var + first * columns, columns);
  });
}

/// The cells of what enters a product with a piece of rows, in memory of the calling thread. A
/// plane that is null is not needed.
ProductFactors AffineProducts::packed_factors(FactorRows mean, FactorRows var, FactorRows square,
                                              Index rows, Index depth) const {
  const Index mean_stride = spread_stride(cell_count(formats_.mean, depth));
  const Index var_stride = spread_stride(cell_count(formats_.var, depth));
  float* const mean_cells = scratch<ProductCells>(product_piece * (mean_stride + 2 * var_stride));
  float* const var_cells = mean_cells + product_piece * mean_stride;
  float* const square_cells = var_cells + product_piece * var_stride;
  const auto pack = [&](Format format, FactorRows values, float* cells, Index stride) {
    if (values.plane == nullptr) return;
    kernels_.pack_factors(format, values.squared, values.plane, depth, rows, depth, {cells, stride},
                          {});
  };
  pack(formats_.mean, mean, mean_cells, mean_stride);
  pack(formats_.var, var, var_cells, var_stride);
  pack(formats_.var, square, square_cells, var_stride);
  return {mean_cells, mean_stride, var_cells, square_cells, var_stride};
}

}  // namespace tagix::cpu
