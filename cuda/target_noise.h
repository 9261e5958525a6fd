#pragma once

#include "core/backend.h"
#include "device.h"

// The noise of targets in kernels. `links` says which links of a noise head a kernel knows: the
// quadrature of softplus takes registers that fused kernels need for more.

namespace tagix::cuda {

enum class Links { all, exp };

/// What the output (mean, var) of a noise head says of the noise.
template <Links links>
__device__ __forceinline__ math::InferredNoise<float> inferred_noise(const math::NoiseHead& head,
                                                                     float mean, float var) {
  return math::inferred_noise(links == Links::exp ? math::NoiseLink::exp : head.link, mean, var,
                              head.belief_precision);
}

/// The noise variance of the target in `col` of `row`, with the prediction that was made for it.
template <Links links>
__device__ __forceinline__ float noise_variance(const NoiseView& noise, ConstMomentsView prediction,
                                                Index row, Index col) {
  if (!noise.head.exists()) return noise.known_var(row, col);
  const Index at = row * prediction.cols + noise.head.n_targets(prediction.cols) + col;
  return inferred_noise<links>(noise.head, prediction.mean[at], prediction.var[at]).mean;
}

}  // namespace tagix::cuda
