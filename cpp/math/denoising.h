#pragma once

#include <cstdint>

#include "math/philox.h"
#include "math/target.h"

namespace tagix::math {

// Forward process of denoising diffusion (Ho, Jain & Abbeel, NeurIPS 2020), with abar_t the share
// of the signal's variance left at timestep t, and what all samplers have in common.

/// What training makes at a timestep t: x_t = signal x_0 + noise eps, with signal = sqrt(abar_t)
/// and noise = sqrt(1 - abar_t), and the network's target F = target_signal x_0 + target_noise eps:
///   epsilon  0, 1    sample  1, 0    v_prediction  -noise, signal  (Salimans & Ho, ICLR 2022)
struct NoiseLevel {
  float signal;
  float noise;
  float target_signal;
  float target_noise;
};

/// x_t from x_0 and eps.
template <class T>
TAGIX_HD TAGIX_INLINE T diffused(T clean, T noise, const NoiseLevel& level) {
  return level.signal * clean + level.noise * noise;
}

/// F from x_0 and eps.
template <class T>
TAGIX_HD TAGIX_INLINE T diffusion_target(T clean, T noise, const NoiseLevel& level) {
  return level.target_signal * clean + level.target_noise * noise;
}

/// The timestep that a row is trained on in an epoch: uniform on first_step .. n_steps - 1.
TAGIX_HD TAGIX_INLINE std::int64_t drawn_timestep(std::uint64_t seed, std::uint64_t epoch,
                                                  std::uint64_t row, std::int64_t first_step,
                                                  std::int64_t n_steps) {
  const Philox4 words = random_words(seed, RandomStream::timestep, epoch, row, 0);
  return first_step + bounded(words.word[0], static_cast<std::uint32_t>(n_steps - first_step));
}

/// Whether a row is trained on without its label in an epoch: with probability dropped_below / 2^32
/// (Ho & Salimans, "Classifier-free diffusion guidance", 2022).
TAGIX_HD TAGIX_INLINE bool drops_label(std::uint64_t seed, std::uint64_t epoch, std::uint64_t row,
                                       std::uint64_t dropped_below) {
  return random_words(seed, RandomStream::timestep, epoch, row, 0).word[1] < dropped_below;
}

/// One evaluation of the network by a sampler. With F its prediction at x, a carry y (0 at first),
/// and standard normal numbers n,
///
///   x' = x_weight x + prediction_weight F + carry_weight y + noise_std n
///   y' = carry_x x + carry_prediction F
///
/// Steps of DDPM, DDIM and of solvers of the probability-flow ODE are of this form, whatever the
/// target is, because x_0 and eps are linear in x and F. What the data leave open at x is
///
///   Cov(x_0 | x) = aleatoric_identity I + aleatoric_jacobian (J + J^T) / 2,   J = d F / d x
///
/// Tweedie's formula of the second order (Efron, JASA 2011) where the weights are those of
/// (1 - abar) / abar (I - sqrt(1 - abar) d eps / d x).
struct SamplerStage {
  float x_weight;
  float prediction_weight;
  float carry_weight;
  float noise_std;
  float carry_x;
  float carry_prediction;
  float aleatoric_identity;
  float aleatoric_jacobian;
};

/// x' of a stage.
template <class T>
TAGIX_HD TAGIX_INLINE T stage_result(T x, T prediction, T carry, T number,
                                     const SamplerStage& stage) {
  return stage.x_weight * x + stage.prediction_weight * prediction + stage.carry_weight * carry +
         stage.noise_std * number;
}

/// y' of a stage.
template <class T>
TAGIX_HD TAGIX_INLINE T stage_carry(T x, T prediction, const SamplerStage& stage) {
  return stage.carry_x * x + stage.carry_prediction * prediction;
}

/// The part of a (co)variance of x' that comes from that of F in this stage alone.
template <class T>
TAGIX_HD TAGIX_INLINE T stage_var(T prediction_var, const SamplerStage& stage) {
  return stage.prediction_weight * stage.prediction_weight * prediction_var;
}

// Covariances through the stages of a sampler without a carry. With J = d F / d x and W = Cov F,
// where the weights of the network are taken as independent from stage to stage:
//
//   A = x_weight I + prediction_weight J,   Cov x' = A Cov x A^T + prediction_weight^2 W
//
// which leaves out the sampler's own noise: it is what the network's uncertainty adds up to, 0 for
// the starting noise.

/// An element of A, from that of I and of J.
template <class T>
TAGIX_HD TAGIX_INLINE T stage_slope(T identity, T jacobian, const SamplerStage& stage) {
  return stage.x_weight * identity + stage.prediction_weight * jacobian;
}

/// An element of Cov(x_0 | x), from that of I and the two of J.
template <class T>
TAGIX_HD TAGIX_INLINE T tweedie_covariance(T identity, T jacobian, T transposed,
                                           const SamplerStage& stage) {
  return stage.aleatoric_identity * identity +
         stage.aleatoric_jacobian * scalar_of_t<T>(0.5) * (jacobian + transposed);
}

}  // namespace tagix::math
