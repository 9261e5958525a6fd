#pragma once

#include "device.h"

namespace tagix::cuda {

/// What `combine` makes of a value of each of a block's `threads` threads, in a fixed order, for
/// all of them. `values` has room for one a thread, and is free again afterwards.
template <int threads, class Combine>
__device__ __forceinline__ float combine_in_block(float value, float* values, Combine combine) {
  const int thread = static_cast<int>(threadIdx.x);
  values[thread] = value;
  __syncthreads();
  for (int half = threads / 2; half > 0; half /= 2) {
    if (thread < half) values[thread] = combine(values[thread], values[thread + half]);
    __syncthreads();
  }
  const float result = values[0];
  __syncthreads();
  return result;
}

struct Sum {
  __device__ float operator()(float a, float b) const { return a + b; }
};

template <int threads>
__device__ __forceinline__ float sum_in_block(float value, float* values) {
  return combine_in_block<threads>(value, values, Sum{});
}

}  // namespace tagix::cuda
