#pragma once

#include "math/scalar.h"
#include "math/target.h"

namespace tagix::math {

/// What an observation says about a Gaussian, in innovation form: a quantity q with
/// Cov(q, z) = c has the posterior mean_q + c delta_mean, var_q + c^2 delta_var.
template <class T>
struct Innovation {
  T delta_mean;
  T delta_var;
};

/// The innovation of y = z + e, z ~ N(mean, var), e ~ N(0, noise_var):
///
///   S = var spread + noise_var,   delta_mean = (y - mean) / S,   delta_var = -1 / S
///
/// `spread` = 1 + k (B - 1) makes room for the other B - 1 observations of a batch, which share a
/// part k of their uncertainty with this one; it is 1 for a lone observation. A NaN target is a
/// missing observation: both deltas are 0.
template <class T>
TAGIX_HD TAGIX_INLINE Innovation<T> innovation(T mean, T var, T target, T noise_var, T spread) {
  const T precision = 1 / (var * spread + noise_var);
  const auto observed = target == target;
  return {select(observed, (target - mean) * precision, T{}), select(observed, -precision, T{})};
}

/// The innovation below an activation with Jacobian J = Cov(z, f(z)) / Var z:
/// J delta_mean, J^2 delta_var.
template <class T>
TAGIX_HD TAGIX_INLINE Innovation<T> through_jacobian(Innovation<T> above, T jacobian) {
  return {above.delta_mean * jacobian, above.delta_var * jacobian * jacobian};
}

/// The innovation of an observation that counts as `weight` of them. Whatever the weights in a
/// batch, where innovations of equal ones are 0 on average, so is their weighted average.
template <class T>
TAGIX_HD TAGIX_INLINE Innovation<T> weighted(Innovation<T> one, T weight) {
  return {one.delta_mean * weight, one.delta_var * weight};
}

template <class T>
struct Posterior {
  T mean;
  T var;
};

/// The two rules by which summed innovations change a parameter.
enum class UpdateKind { information, capped };

/// The information form of the update of one parameter, with G = sum_b delta_mean a_mean and
/// H = -sum_b delta_var a_mean^2 >= 0 summed over a batch:
///
///   var'  = var / (1 + var H)
///   mean' = mean + clip(var' G, +- clip sqrt(var))
///
/// The variance stays positive whatever the batch. The clip is part of the rule: it works as a
/// preconditioner of each parameter, and training stalls without it.
template <class T>
TAGIX_HD TAGIX_INLINE Posterior<T> information_update(T mean, T var, T delta_mean, T delta_var,
                                                      T clip) {
  const T posterior_var = var / (1 - var * delta_var);
  T change = posterior_var * delta_mean;
  // Squares say what is out of bounds: in a trained network little is, and roots are slow.
  const auto beyond = change * change > clip * clip * var;
  if (any(beyond)) {
    const T bound = clip * sqrt(var);
    change = select(beyond, clamp(change, -bound, bound), change);
  }
  return {mean + change, posterior_var};
}

/// The capped form, the update of cuTAGI: first-order changes of a batch's summed deltas,
///
///   mean' = mean + clip(var G, +- sqrt(var) / cap)
///   var'  = var  + clip(-var^2 H, +- sqrt(var) / cap),   1e-5 where that is not positive
///
/// What is known exactly (var = 0) stays as it is.
template <class T>
TAGIX_HD TAGIX_INLINE Posterior<T> capped_update(T mean, T var, T delta_mean, T delta_var, T cap) {
  const T bound = sqrt(var) / cap;
  const T posterior_var = var + clamp(var * var * delta_var, -bound, bound);
  const T reset = broadcast<T>(static_cast<scalar_of_t<T>>(1e-5));
  return {mean + clamp(var * delta_mean, -bound, bound),
          select(posterior_var > 0, posterior_var, select(var > 0, reset, var))};
}

/// The update of a kind, with the bound on a change of mean that it takes: clip or cap.
template <UpdateKind kind, class T>
TAGIX_HD TAGIX_INLINE Posterior<T> updated(T mean, T var, T delta_mean, T delta_var, T bound) {
  if constexpr (kind == UpdateKind::information) {
    return information_update(mean, var, delta_mean, delta_var, bound);
  } else {
    return capped_update(mean, var, delta_mean, delta_var, bound);
  }
}

}  // namespace tagix::math
