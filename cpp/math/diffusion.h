#pragma once

#include "math/target.h"

namespace tagix::math {

// Forward process and reverse step of denoising diffusion (Ho, Jain & Abbeel, NeurIPS 2020), with
// abar_t the share of the signal's variance left at timestep t and alpha_t = abar_t / abar_{t-1}.

/// x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps.
template <class T>
TAGIX_HD TAGIX_INLINE T diffused(T clean, T noise, T signal_scale, T noise_scale) {
  return signal_scale * clean + noise_scale * noise;
}

/// What one reverse step x_{t-1} = (x_t - c_t eps_hat) / sqrt(alpha_t) + sigma_t n needs, with
/// c_t = (1 - alpha_t) / sqrt(1 - abar_t).
struct ReverseStep {
  float inverse_sqrt_alpha;  ///< 1 / sqrt(alpha_t)
  float noise_coefficient;   ///< c_t
  float noise_std;           ///< sigma_t, a standard deviation; 0 at the last step
};

/// The mean of x_{t-1} given x_t and the predicted noise.
template <class T>
TAGIX_HD TAGIX_INLINE T denoised(T noisy, T predicted_noise, const ReverseStep& step) {
  return (noisy - step.noise_coefficient * predicted_noise) * step.inverse_sqrt_alpha;
}

/// The part of Var x_{t-1} that comes from the variance of the predicted noise in this one step:
/// (c_t^2 / alpha_t) Var eps_hat.
template <class T>
TAGIX_HD TAGIX_INLINE T denoised_var(T predicted_noise_var, const ReverseStep& step) {
  const float factor = step.noise_coefficient * step.inverse_sqrt_alpha;
  return factor * factor * predicted_noise_var;
}

}  // namespace tagix::math
