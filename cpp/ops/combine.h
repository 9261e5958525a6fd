#pragma once

#include "core/index.h"
#include "math/target.h"

namespace tagix::ops {

/// Backend::combine at element i: output = first_weight first + second_weight second.
struct Combine {
  const float* first;
  float first_weight;
  const float* second;
  float second_weight;
  float* output;

  TAGIX_HD void operator()(Index i) const {
    output[i] = first_weight * first[i] + second_weight * second[i];
  }
};

}  // namespace tagix::ops
