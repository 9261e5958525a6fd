#pragma once

#include "math/target.h"

namespace tagix::math {

// One term of z = sum_k w_k a_k + b for independent w ~ N(w_mean, w_var), a ~ N(a_mean, a_var)
// (Goulet, Nguyen & Amiri, JMLR 22, 2021):
//
//   E[w a]   = w_mean a_mean
//   Var[w a] = (w_mean^2 + w_var) a_var + w_var a_mean^2
//
// The second moment of the weight is what multiplies the variance of the input; a kernel packs it
// once and reuses it for every row.

/// E[w^2] = w_mean^2 + w_var.
template <class T>
TAGIX_HD TAGIX_INLINE T second_moment(T mean, T var) {
  return mean * mean + var;
}

}  // namespace tagix::math
