#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "models/diffusion_process.h"
#include "models/sampling.h"

namespace tagix::test {

/// abar_t of the cosine schedule (Nichol & Dhariwal, 2021), in closed form.
inline std::vector<double> cosine_shares(Index n_steps) {
  const auto f = [&](Index t) {
    const double angle = (static_cast<double>(t) / static_cast<double>(n_steps) + 0.008) / 1.008;
    return std::pow(std::cos(angle * std::numbers::pi / 2), 2);
  };
  std::vector<double> shares;
  for (Index t = 0; t < n_steps; ++t) shares.push_back(f(t) / f(0));
  return shares;
}

/// Predictions of the noise on the cosine schedule, by a network that sees t / T, and the one-hot
/// class where there are classes.
inline DiffusionDescription cosine_description(Index n_features, Index n_steps,
                                               Index n_classes = 0) {
  DiffusionDescription description;
  description.n_features = n_features;
  for (double share : cosine_shares(n_steps)) {
    description.levels.push_back(
        {static_cast<float>(std::sqrt(share)), static_cast<float>(std::sqrt(1 - share)), 0, 1});
  }
  for (Index t = 0; t < n_steps; ++t) {
    description.time_features.push_back(static_cast<float>(t) / static_cast<float>(n_steps));
  }
  description.n_classes = n_classes;
  description.class_features.assign(static_cast<std::size_t>((n_classes + 1) * n_classes), 0);
  for (Index k = 0; k < n_classes; ++k) {
    description.class_features[static_cast<std::size_t>(k * n_classes + k)] = 1;
  }
  return description;
}

/// What the stages of cosine_ddpm do, in float64; timestep n_steps - 1 - i is stage i.
struct DdpmStep {
  double alpha, c, sigma, share;  ///< c = (1 - alpha) / sqrt(1 - share)

  DdpmStep(Index n_steps, Index t) {
    const std::vector<double> shares = cosine_shares(n_steps);
    share = shares[static_cast<std::size_t>(t)];
    alpha = share / shares[static_cast<std::size_t>(t - 1)];
    c = (1 - alpha) / std::sqrt(1 - share);
    sigma = t == 1 ? 0 : std::sqrt(1 - alpha);
  }
};

/// DDPM over all timesteps (Ho et al., 2020; variance beta_t) of cosine_description.
inline SamplerPlan cosine_ddpm(Index n_steps) {
  SamplerPlan plan;
  for (Index t = n_steps - 1; t >= 1; --t) {
    const DdpmStep step(n_steps, t);
    const double ratio = (1 - step.share) / step.share;
    plan.stages.push_back({static_cast<float>(1 / std::sqrt(step.alpha)),
                           static_cast<float>(-step.c / std::sqrt(step.alpha)), 0,
                           static_cast<float>(step.sigma), 0, 0, static_cast<float>(ratio),
                           static_cast<float>(-ratio * std::sqrt(1 - step.share))});
    plan.time_features.push_back(static_cast<float>(t) / static_cast<float>(n_steps));
    plan.ends_step.push_back(true);
    plan.last_noise_var = ratio;
  }
  return plan;
}

}  // namespace tagix::test
