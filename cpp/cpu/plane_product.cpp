#include "cpu/plane_product.h"

#include "cpu/pieces.h"
#include "cpu/scratch.h"

namespace tagix::cpu {
namespace {

struct PackedPlane {};
struct PlaneCells {};

}  // namespace

void pack_plane(const Kernels& kernels, const WeightPlane& plane, Index depth, Index columns,
                float* packed) {
  // Whole panels, so that each piece lies where it would if all were packed at once.
  const Index piece = 4 * kernels.layout.width(columns), cells = cell_count(plane.format, depth);
  const WeightPlaneView weight = plane.weight.plane(plane.term);
  constexpr double packing_ns = 0.35;
  for_pieces(columns, piece, packing_ns * static_cast<double>(depth),
             [&](Index first, Index count) {
               kernels.pack_weight(plane.format, weight.from_column(first), depth, count,
                                   plane_from(plane.bias, first), packed + first * (1 + cells));
             });
}

void PlaneProduct::multiply(const WeightPlane& weight, const float* values, float* output) const {
  const Index cells = cell_count(weight.format, depth);
  float* const packed = scratch<PackedPlane>(kernels.layout.padded_columns(columns) * (1 + cells));
  pack_plane(kernels, weight, depth, columns, packed);
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
