#include "cpu/plane_product.h"

#include "cpu/pieces.h"
#include "cpu/scratch.h"

namespace tagix::cpu {
namespace {

struct PackedPlane {};
struct PlaneCells {};

}  // namespace

void PlaneProduct::multiply(const WeightPlane& weight, const float* values, float* output) const {
  const Index cells = cell_count(weight.format, depth);
  float* const packed = scratch<PackedPlane>(kernels.layout.padded_columns(columns) * (1 + cells));
  kernels.pack_weight(weight.term, weight.format, weight.weight, depth, columns, weight.bias,
                      packed);
  const Index stride = spread_stride(cells);
  for_product_pieces(rows, static_cast<double>(depth * columns), [&](Index first, Index count) {
    float* const factors = scratch<PlaneCells>(product_piece * stride);
    kernels.pack_factors(weight.format, /*squared=*/false, values + first * depth, depth, count,
                         depth, {factors, stride}, {});
    kernels.product_rows(weight.format, {factors, packed}, {}, stride, count, depth, columns,
                         /*with_bias=*/true, {output + first * columns, columns, false});
  });
}

}  // namespace tagix::cpu
