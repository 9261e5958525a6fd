#include "cpu/tile_weights.h"

#include "cpu/threads.h"

namespace tagix::cpu {

void TileWeights::pack(ConstMomentsView parameters, ConstMomentsView input, bool learns,
                       bool need_input_delta) {
  constexpr double packing = 0.35;
  const double cost = packing * static_cast<double>(plan_.parameter_count) * (learns ? 2 : 1);
  parallel_for(plan_.n_steps(), cost, [&](Index i) {
    const PlannedAffine* affine = plan_.affine_at(i);
    if (affine == nullptr) return;
    const Index in = affine->shape.in_features, out = affine->shape.out_features;
    const AffineParameters from = affine->parameters_in(parameters);
    if (parameters.var == nullptr) {
      product_.pack_means({from.weight_mean, nullptr, 1, in}, in, out, from.bias_mean,
                          packed_.data() + affine->packed_forward);
      return;
    }
    const ProductKind forward =
        i == 0 && input.var == nullptr ? ProductKind::known : ProductKind::both;
    product_.pack(forward, {from.weight_mean, from.weight_var, 1, in}, in, out, from.bias_mean,
                  from.bias_var, packed_.data() + affine->packed_forward);
    if (learns && plan_.passes_delta(i, need_input_delta)) {
      product_.pack(ProductKind::squared, {from.weight_mean, from.weight_var, in, 1}, out, in,
                    nullptr, nullptr, packed_.data() + affine->packed_backward);
    }
  });
}

}  // namespace tagix::cpu
