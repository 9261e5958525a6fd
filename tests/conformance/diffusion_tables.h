#pragma once

#include "conformance/arrays.h"
#include "conformance/random_inputs.h"

namespace tagix::conformance {

/// Tables of a diffusion process with arbitrary entries.
struct HostDiffusionTables {
  Index n_steps;
  Index first_step;
  Index n_time_features;
  std::vector<float> signal_scale, noise_scale, time_features;

  HostDiffusionTables(Index n_steps, Index first_step, Index n_time_features, RandomInputs& random)
      : n_steps(n_steps),
        first_step(first_step),
        n_time_features(n_time_features),
        signal_scale(random.uniforms(n_steps, 0, 1)),
        noise_scale(random.uniforms(n_steps, 0, 1)),
        time_features(random.uniforms(n_steps * n_time_features, -1, 1)) {}

  DiffusionTables upload(Arrays& arrays) const {
    return {arrays.input(signal_scale),
            arrays.input(noise_scale),
            arrays.input(time_features),
            nullptr,
            n_steps,
            first_step,
            n_time_features};
  }
};

}  // namespace tagix::conformance
