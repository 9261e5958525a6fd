#pragma once

#include <cstdint>

#include "core/index.h"
#include "math/permutation.h"
#include "math/target.h"

namespace tagix::ops {

/// Backend::shuffle at element i: order[i] = the i-th row of an epoch.
struct Shuffle {
  math::Permutation permutation;
  Index* order;

  TAGIX_HD void operator()(Index i) const {
    order[i] = static_cast<Index>(permutation(static_cast<std::uint64_t>(i)));
  }
};

}  // namespace tagix::ops
