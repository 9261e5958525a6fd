#pragma once

#include "core/memory.h"
#include "cpu/moments_product.h"
#include "cpu/tile_plan.h"

namespace tagix::cpu {

/// The weights of a network, packed as the products of its tiles read them.
class TileWeights {
 public:
  TileWeights(Backend& backend, const MomentsProduct& product, const TilePlan& plan)
      : product_(product), plan_(plan), packed_(backend, plan.packed_size) {}

  /// Packs what a pass reads: the means alone of parameters without `var`, and what the way back
  /// takes if the network learns. `input` is that of the network.
  void pack(ConstMomentsView parameters, ConstMomentsView input, bool learns,
            bool need_input_delta);

  /// What lies at PlannedAffine::packed_forward or packed_backward.
  const float* at(Index offset) const { return packed_.data() + offset; }

 private:
  const MomentsProduct& product_;
  const TilePlan& plan_;
  Buffer<float> packed_;
};

}  // namespace tagix::cpu
