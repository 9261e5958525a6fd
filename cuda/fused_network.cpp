#include "fused_network.h"

#include <algorithm>
#include <variant>

#include "fused_activation.h"

namespace tagix::cuda {
namespace {

constexpr Index widest = 128;

int padded(int count) { return (count + 3) / 4 * 4; }

/// The least odd multiple of 4 that holds `count`.
int odd_stride(int count) {
  const int quads = padded(count) / 4;
  return 4 * (quads % 2 == 0 ? quads + 1 : quads);
}

}  // namespace

std::optional<FusedPlan> plan_fused(const std::vector<ChainStep>& steps, int rows,
                                    std::size_t shared_bytes) {
  FusedPlan plan{};
  plan.rows = rows;
  for (const ChainStep& step : steps) {
    if (const auto* affine = std::get_if<AffineStep>(&step)) {
      if (plan.n_layers == most_fused_layers || affine->in_features > widest ||
          affine->out_features > widest) {
        return std::nullopt;
      }
      FusedLayer& layer = plan.layer[plan.n_layers++];
      layer.in = static_cast<int>(affine->in_features);
      layer.out = static_cast<int>(affine->out_features);
      layer.bias = affine->bias;
      layer.parameters = plan.parameter_count;
      plan.parameter_count += static_cast<int>(affine->parameter_count());
      continue;
    }
    const auto* activation = std::get_if<math::ActivationSpec>(&step);
    if (activation == nullptr || plan.n_layers == 0) return std::nullopt;
    FusedLayer& layer = plan.layer[plan.n_layers - 1];
    if (layer.has_activation || !is_fused_activation(*activation)) return std::nullopt;
    layer.has_activation = true;
    layer.activation = *activation;
  }
  if (plan.n_layers == 0) return std::nullopt;

  const auto take = [&plan](int floats) {
    const int at = plan.shared_floats;
    plan.shared_floats += floats;
    return at;
  };
  for (int i = 0; i < plan.n_layers; ++i) {
    FusedLayer& layer = plan.layer[i];
    const int out = padded(layer.out);
    layer.weight_stride = odd_stride(layer.in);
    layer.weight_mean = take(out * layer.weight_stride);
    layer.weight_var = take(out * layer.weight_stride);
    layer.bias_mean = take(out);
    layer.bias_var = take(out);
    layer.input_stride = padded(layer.in);
    layer.input = take(rows * layer.input_stride);
    if (layer.has_activation) layer.jacobian = take(rows * out);
    plan.wide_stride = std::max({plan.wide_stride, layer.input_stride, out});
  }
  plan.output_stride = padded(plan.layer[plan.n_layers - 1].out);
  plan.output = take(rows * plan.output_stride);
  for (int k = 0; k < 2; ++k) {
    plan.var[k] = take(rows * plan.wide_stride);
    plan.delta_mean[k] = take(rows * plan.wide_stride);
    plan.delta_var[k] = take(rows * plan.wide_stride);
  }
  plan.plane_stride = padded(plan.parameter_count);
  if (static_cast<std::size_t>(plan.shared_floats) * sizeof(float) > shared_bytes) {
    return std::nullopt;
  }
  return plan;
}

FusedPieces fused_pieces(Index batch_size, bool has_clusters) {
  // Fewer pieces are added up as fast as a cluster exchanges them; and a cluster's blocks give up
  // their weights for their sums, so they take one group of rows.
  constexpr Index few = 16;
  constexpr unsigned cluster = 8;
  const Index groups = (batch_size + fused_rows - 1) / fused_rows;
  if (has_clusters && groups > few && groups <= most_fused_blocks) {
    return {(groups + cluster - 1) / cluster, cluster};
  }
  return {std::min<Index>(groups, most_fused_blocks), 1};
}

}  // namespace tagix::cuda
