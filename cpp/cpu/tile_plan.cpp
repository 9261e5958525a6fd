#include "cpu/tile_plan.h"

#include <algorithm>
#include <utility>

namespace tagix::cpu {
namespace {

/// The buffers that a plan gives out places of.
struct Arenas {
  Arena packed;
  Arena tile;
  Arena group;
};

/// Floats between two rows of a tile: whole panels. Rows a multiple of 512 bytes apart would
/// compete for the same few lines of the first-level cache.
Index stride_for(const PanelLayout& layout, Index cols) {
  const Index padded = layout.padded_columns(cols);
  return padded % 128 == 0 ? padded + 16 : padded;
}

/// An affine step whose parameters begin at `parameters`, with places in all buffers.
PlannedAffine planned(const AffineStep& shape, Index parameters, const Kernels& kernels,
                      Formats formats, Arenas& arenas) {
  const Index in = shape.in_features, out = shape.out_features;
  const PanelLayout& layout = kernels.layout;
  const MomentsProduct product(kernels, formats);
  PlannedAffine affine{};
  affine.shape = shape;
  affine.parameters = parameters;
  affine.packed_forward = arenas.packed.take(product.packed_size(ProductKind::both, in, out));
  affine.packed_backward = arenas.packed.take(product.packed_size(ProductKind::squared, out, in));
  affine.input_stride = stride_for(layout, in);
  affine.output_stride = stride_for(layout, out);
  const Index plane_size = TilePlan::tile_rows * affine.input_stride;
  affine.input_mean = arenas.tile.take(plane_size);
  affine.factor = {
      formats.mean == Format::float32 ? affine.input_mean : arenas.tile.take(plane_size),
      arenas.tile.take(plane_size)};
  affine.transposed = in * layout.padded_columns(out) < out * layout.padded_columns(in);
  affine.sum_rows = affine.transposed ? in : out;
  affine.sum_cols = affine.transposed ? out : in;
  affine.sum_stride = layout.padded_columns(affine.sum_cols);
  const Index size = affine.sum_rows * affine.sum_stride;
  affine.sum = {arenas.group.take(size), arenas.group.take(size)};
  if (shape.bias) affine.bias_sum = {arenas.group.take(out), arenas.group.take(out)};
  return affine;
}

}  // namespace

TilePlan::TilePlan(const Kernels& kernels, Formats formats, const std::vector<ChainStep>& network) {
  Arenas arenas;
  const PanelLayout& layout = kernels.layout;
  in_features = out_features = input_features(network);
  in_stride = out_stride = stride_for(layout, in_features);
  Index max_stride = in_stride, phase_start = 0;
  for (const ChainStep& step : network) {
    if (const auto* affine = std::get_if<AffineStep>(&step)) {
      if (first_affine < 0) first_affine = n_steps();
      const Index parameters =
          std::exchange(parameter_count, parameter_count + affine->parameter_count());
      steps.emplace_back(planned(*affine, parameters, kernels, formats, arenas));
      out_features = affine->out_features;
      out_stride = stride_for(layout, out_features);
      max_stride = std::max(max_stride, out_stride);
    } else {
      PlannedActivation activation{{}, out_features, out_stride, 0};
      if (const auto* own = std::get_if<UserFunction>(&step)) {
        activation.function = *own;
        phases.push_back({phase_start, n_steps()});
        phase_start = n_steps() + 1;
        kept_size = arenas.tile.size();  // the phase above takes in the Jacobian
      } else {
        activation.function = std::get<math::ActivationSpec>(step);
      }
      activation.jacobian = arenas.tile.take(tile_rows * out_stride);
      steps.emplace_back(std::move(activation));
    }
  }
  phases.push_back({phase_start, n_steps()});
  const auto plane = [max_stride](Arena& arena) { return arena.take(tile_rows * max_stride); };
  const auto planes = [&plane](Arena& arena) { return PlanePair{plane(arena), plane(arena)}; };
  delta = planes(arenas.tile);
  other = planes(arenas.tile);
  if (formats.var == Format::float32) moment = plane(arenas.tile);
  if (formats.var == Format::bfloat16) {
    by_row = planes(arenas.tile);
    moment_by_row = plane(arenas.tile);
    by_sample = planes(arenas.tile);
  }
  packed_size = arenas.packed.size();
  tile_size = arenas.tile.size();
  group_size = arenas.group.size();
}

Index TilePlan::stride_into(Index i) const {
  if (i == n_steps()) return out_stride;
  const PlannedAffine* affine = affine_at(i);
  return affine != nullptr ? affine->input_stride : activation_at(i).stride;
}

}  // namespace tagix::cpu
