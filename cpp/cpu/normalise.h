#pragma once

#include "core/moments.h"
#include "core/norm_sets.h"

namespace tagix::cpu {

/// The norms of Backend, a row at a time.
void normalise(ConstMomentsView input, const NormSets& sets, MomentsView output, float* scale);
void normalise_backward(ConstMomentsView output, const float* scale, const NormSets& sets,
                        ConstMomentsView delta, bool add, MomentsView below);

}  // namespace tagix::cpu
