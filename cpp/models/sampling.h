#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/host.h"
#include "models/diffusion_process.h"
#include "models/model.h"

namespace tagix {

/// What a sampler does, whatever the network: its stages, and the time features of each (a sampler
/// may go through levels of noise between the timesteps of training).
struct SamplerPlan {
  std::vector<math::SamplerStage> stages;
  std::vector<float> time_features;  ///< stages x n_time_features
  std::vector<bool> ends_step;       ///< by stage, whether it ends a step of the trajectory
  double last_noise_var = 0;         ///< (1 - abar) / abar at the last stage, for scores

  Index n_steps() const;
};

/// A prediction for labelled rows that is combined from two: conditional F_c + unconditional F_u,
/// where the weights sum to 1 (Ho & Salimans, "Classifier-free diffusion guidance", 2022). Both
/// come from the same weights of the network, but their variances are added as if they did not.
struct Guidance {
  float conditional = 1;
  float unconditional = 0;

  bool exists() const { return unconditional != 0; }
};

/// What to sample.
struct SampleRequest {
  Index rows;
  std::uint64_t seed;
  HostPointer<const Index> labels =
      nullptr;  ///< the class of each row, below 0: none; null: none at all
  Guidance guidance = {};
};

/// Where sample writes how sure it is of each sample, in the units of the data.
struct SampleUncertainty {
  HostPointer<float>
      epistemic;  ///< rows x n_features x n_features: covariance by the network's uncertainty
  HostPointer<float>
      aleatoric;  ///< the same shape: covariance of x_0 given the last x_t, what data leave open
  HostPointer<float> score;  ///< rows; the larger, the less certain, without a unit
};

/// Where sample writes samples, in the units of the data.
struct SampleOutput {
  HostPointer<float> x;    ///< rows x n_features
  HostPointer<float> var;  ///< the same: what the network's variance adds in the last stage
  HostPointer<float> trajectory =
      nullptr;  ///< (plan.n_steps() + 1) x rows x n_features, from the start; or null
  SampleUncertainty* uncertainty = nullptr;  ///< or null
};

/// Draws samples by the stages of a plan and writes them to the host. `interrupted` is asked
/// before each stage, or before some milliseconds of stages where no trajectory is wanted; true
/// abandons the call and returns false. With a trajectory or uncertainty, x and var are the same
/// bits.
///
/// The covariances are those of math/denoising.h, and only for plans without a carry. The score
/// is the share of the noise in the last x_t that its denoising leaves open, tr(aleatoric) /
/// (n_features last_noise_var) in standardized units: 0 where the data hold x in every direction,
/// 1 where in none, and more between parts of the data, which pull either way.
bool sample(const DiffusionProcess& process, const Model& network, const SamplerPlan& plan,
            const SampleRequest& request, const SampleOutput& output,
            const std::function<bool()>& interrupted);

/// The covariance (rows x n_features x n_features, divisor n_draws - 1) of the samples that
/// `n_draws` >= 2 networks drawn from the posterior (Model::draw) make of the same noise, written
/// to the host in the units of the data. Returns false if it was interrupted, as `sample` is.
bool sample_draws(const DiffusionProcess& process, const Model& network, const SamplerPlan& plan,
                  const SampleRequest& request, Index n_draws, HostPointer<float> covariance,
                  const std::function<bool()>& interrupted);

}  // namespace tagix
