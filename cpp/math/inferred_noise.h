#pragma once

#include "math/inference.h"
#include "math/scalar.h"
#include "math/smooth_activations.h"
#include "math/target.h"

namespace tagix::math {

/// How the output w of a noise head gives a noise variance v.
enum class NoiseLink {
  none,      ///< there is no such head: noise variances are known
  exp,       ///< v = exp(w)
  softplus,  ///< v = log(1 + exp(w))
};

/// The second half of a network's outputs, where they infer the noise of what the first half
/// predicts: output n + i of 2 n is w for target i.
struct NoiseHead {
  NoiseLink link = NoiseLink::none;
  /// Whether the precision that w gains is the one expected before the target is seen, or AGVI's,
  /// which follows the target and may be negative.
  bool expects_information = true;
  /// exp: 1 / tau^2 of the belief log v ~ N(0, tau^2), which holds for every input; 0: there is
  /// none.
  float belief_precision = 0;

  constexpr bool exists() const { return link != NoiseLink::none; }
  /// The number of targets of a network of so many outputs.
  template <class Integer>
  constexpr Integer n_targets(Integer outputs) const {
    return exists() ? outputs / 2 : outputs;
  }
};

/// What a Gaussian w says of the noise variance v = link(w), relative to V = E v.
template <class T>
struct InferredNoise {
  T mean;               ///< V, the noise variance of a prediction
  T relative_var;       ///< Var v / V^2
  T relative_jacobian;  ///< Cov(w, v) / (Var w V)
};

/// The moments of v = link(w), w ~ N(mean, var).
///
///   exp       V = exp(kappa (mean + var/2)),  Var v / V^2 = exp(kappa var) - 1,
///             Cov(w, v) = kappa var V,        kappa = 1 / (1 + var / tau^2)
///   softplus  by quadrature
///
/// kappa < 1 is what the belief log v ~ N(0, tau^2) leaves of the network's word: the product of
/// both Gaussians has the mean kappa mean and the variance kappa var <= tau^2. Without it (kappa =
/// 1) the mean of a log-normal v is ruled by its far tail wherever weights that have learned little
/// meet an input beyond those seen so far: exp(var/2) grows until it overflows, and long before
/// that nothing is learned any more, since a target with so much noise says nothing.
///
/// V is in [1e-30, 1e30], so that neither a residual nor a noise is infinite.
template <class T>
TAGIX_HD TAGIX_INLINE InferredNoise<T> inferred_noise(NoiseLink link, T mean, T var,
                                                      T belief_precision = T{}) {
  using S = scalar_of_t<T>;
  const T least = broadcast<T>(S(1e-30)), most = broadcast<T>(S(1e30));
  if (link == NoiseLink::softplus) {
    const ActivationMoments<T> v = Softplus{}.exact(mean, var);
    const T level = max(v.mean, least);
    return {level, v.var / level / level, v.jacobian / level};  // the square may underflow
  }
  const T kappa = 1 / (1 + var * belief_precision);
  const T kept_var = kappa * var;
  // The exponent is cut off above ln 1e30, before exp overflows.
  const T level = exp(min(kappa * mean + S(0.5) * kept_var, broadcast<T>(S(70))));
  return {clamp(level, least, most), expm1(kept_var), kappa};
}

/// The innovations of a value and of its noise head from one target.
template <class T>
struct NoisyInnovation {
  Innovation<T> value;
  Innovation<T> noise;
};

/// The innovations of y = z + e, z ~ N(mean, var), e ~ N(0, v), v = link(w), with w the output of a
/// noise head (Deka, Nguyen & Goulet, Neurocomputing, 2024; AGVI). With V, rho = Var v / V^2 and
/// j = Cov(w, v) / (Var w V) from `inferred_noise`, r = y - mean, g = V / (V + var) the share of a
/// residual's variance that is noise, and `spread` as in `innovation`:
///
///   z   S = var spread + V,  delta_mean = r / S,  delta_var = -1 / S
///   w   D = 2 + 3 rho spread,
///       delta_mean = j g (r^2 / (V + var) - 1) / D
///       delta_var  = -j^2 g^2 / D                                    expected before y is seen
///                  = j^2 ((2 h^2 + 4 h g^2 r^2 / V) / D - 1) / D     AGVI's own, h = 1 - g
///
/// The expected form never takes precision away. A NaN target is a missing observation: all deltas
/// are 0.
template <class T>
TAGIX_HD TAGIX_INLINE NoisyInnovation<T> noisy_innovation(T mean, T var,
                                                          const InferredNoise<T>& noise,
                                                          bool expects_information, T target,
                                                          T spread) {
  const T zero = broadcast<T>(0);
  const auto observed = target == target;
  const T residual = select(observed, target - mean, zero);
  const T total_precision = 1 / (noise.mean + var);
  const T share = noise.mean * total_precision;
  const T surprise = residual * residual * total_precision;
  const T divisor = 2 + 3 * noise.relative_var * spread;
  const T slope = noise.relative_jacobian;
  T delta_var = -(slope * share) * (slope * share);
  if (!expects_information) {
    const T other = var * total_precision;
    // g^2 r^2 / V = g r^2 / (V + S).
    delta_var = slope * slope * (2 * other * (other + 2 * share * surprise) / divisor - 1);
  }
  return {innovation(mean, var, target, noise.mean, spread),
          {select(observed, slope * share * (surprise - 1) / divisor, zero),
           select(observed, delta_var / divisor, zero)}};
}

}  // namespace tagix::math
