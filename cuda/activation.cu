#include <algorithm>

#include "activation.h"

namespace tagix::cuda {
namespace {

/// One element a thread, in strides of the grid: reads 8 bytes, writes 12, and computes in between.
/// `function` is (mean, var) -> ActivationMoments, from math/activations.h.
template <class Function>
__global__ void activation_forward_kernel(Function function, const float* input_mean,
                                          const float* input_var, Index size, float* output_mean,
                                          float* output_var, float* jacobian) {
  const Index stride = static_cast<Index>(gridDim.x) * blockDim.x;
  for (Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; i < size; i += stride) {
    const float var = input_var == nullptr ? 0.0f : input_var[i];
    const math::ActivationMoments<float> moments = function(input_mean[i], var);
    output_mean[i] = moments.mean;
    output_var[i] = moments.var;
    jacobian[i] = moments.jacobian;
  }
}

}  // namespace

cudaError_t activation_forward(const math::ActivationSpec& spec, ConstMomentsView input,
                               MomentsView output, float* jacobian, cudaStream_t stream) {
  if (input.size() == 0) return cudaSuccess;
  constexpr Index block = 256, max_blocks = 65535;
  const auto blocks =
      static_cast<unsigned>(std::min((input.size() + block - 1) / block, max_blocks));
  math::visit_activation(spec, [&](auto function) {
    activation_forward_kernel<<<blocks, block, 0, stream>>>(
        function, input.mean, input.var, input.size(), output.mean, output.var, jacobian);
  });
  return cudaGetLastError();
}

}  // namespace tagix::cuda
