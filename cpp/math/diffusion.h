#pragma once

#include <cstdint>

#include "math/philox.h"
#include "math/target.h"

namespace tagix::math {

// Forward process and reverse step of denoising diffusion (Ho, Jain & Abbeel, NeurIPS 2020), with
// abar_t the share of the signal's variance left at timestep t and alpha_t = abar_t / abar_{t-1}.

/// x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps.
template <class T>
TAGIX_HD TAGIX_INLINE T diffused(T clean, T noise, T signal_scale, T noise_scale) {
  return signal_scale * clean + noise_scale * noise;
}

/// The timestep that a row is trained on in an epoch: uniform on first_step .. n_steps - 1.
TAGIX_HD TAGIX_INLINE std::int64_t drawn_timestep(std::uint64_t seed, std::uint64_t epoch,
                                                  std::uint64_t row, std::int64_t first_step,
                                                  std::int64_t n_steps) {
  const Philox4 words = random_words(seed, RandomStream::timestep, epoch, row, 0);
  return first_step + bounded(words.word[0], static_cast<std::uint32_t>(n_steps - first_step));
}

/// What one reverse step x_{t-1} = (x_t - c_t eps_hat) / sqrt(alpha_t) + sigma_t n needs, with
/// c_t = (1 - alpha_t) / sqrt(1 - abar_t).
struct ReverseStep {
  float inverse_sqrt_alpha;  ///< 1 / sqrt(alpha_t)
  float noise_coefficient;   ///< c_t
  float noise_std;           ///< sigma_t, a standard deviation; 0 at the last step
};

/// x_{t-1} from x_t, the predicted noise, and a standard normal number n of the sampler.
template <class T>
TAGIX_HD TAGIX_INLINE T denoised(T noisy, T predicted_noise, T number, const ReverseStep& step) {
  return (noisy - step.noise_coefficient * predicted_noise) * step.inverse_sqrt_alpha +
         step.noise_std * number;
}

/// The part of Var x_{t-1} that comes from the variance of the predicted noise in this one step:
/// (c_t^2 / alpha_t) Var eps_hat.
template <class T>
TAGIX_HD TAGIX_INLINE T denoised_var(T predicted_noise_var, const ReverseStep& step) {
  const float factor = step.noise_coefficient * step.inverse_sqrt_alpha;
  return factor * factor * predicted_noise_var;
}

// Covariances through the reverse chain. With J = d eps_hat / d x_t and W = Cov eps_hat, where the
// weights of the network are taken as independent from step to step, and c_t as above:
//
//   A = (I - c_t J) / sqrt(alpha_t),   Cov x_{t-1} = A Cov x_t A^T + (c_t^2 / alpha_t) W
//
// which leaves out the sampler's own noise: it is what the network's uncertainty adds up to, 0 for
// the starting noise. What the data leave open is Tweedie's formula of the second order (Efron,
// JASA 2011; here for the noise in place of the score),
//
//   Cov(x_0 | x_t) = (1 - abar_t) / abar_t (I - sqrt(1 - abar_t) J)
//
// of which the symmetric part counts.

/// An element of A, from that of J and of I.
template <class T>
TAGIX_HD TAGIX_INLINE T denoised_slope(T identity, T jacobian, const ReverseStep& step) {
  return (identity - step.noise_coefficient * jacobian) * step.inverse_sqrt_alpha;
}

/// An element of Cov(x_0 | x_t), from that of I and the two of J; signal_scale = sqrt(abar_t) and
/// noise_scale = sqrt(1 - abar_t).
template <class T>
TAGIX_HD TAGIX_INLINE T tweedie_covariance(T identity, T jacobian, T transposed, T signal_scale,
                                           T noise_scale) {
  const T ratio = noise_scale / signal_scale;
  return ratio * ratio * (identity - noise_scale * scalar_of_t<T>(0.5) * (jacobian + transposed));
}

}  // namespace tagix::math
