#pragma once

#include "math/target.h"

namespace tagix::ops {

/// An element of Backend::scale_covariance off the diagonal: Cov(z_i, z_j) J_i J_j. The product of
/// the Jacobians comes first, so that the matrix stays symmetric to the bit.
TAGIX_HD TAGIX_INLINE float scaled_covariance(float covariance, float first_jacobian,
                                              float second_jacobian) {
  return covariance * (first_jacobian * second_jacobian);
}

}  // namespace tagix::ops
