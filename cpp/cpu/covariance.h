#pragma once

#include "core/index.h"
#include "cpu/kernels.h"
#include "ops/scale_covariance.h"

// Jacobians and covariances of some rows, for the backend's operations and the tiled executor.

namespace tagix::cpu {

/// The means of the weights of the outputs in question: outputs x in.
struct OutputWeights {
  const float* mean;
  Index outputs;
  Index in;
};

/// Writes d mean of `rows` rows to jacobian (rows x outputs x directions_total), for n_directions
/// of them. Tangents of a direction lie `direction_stride` floats behind those of the one before,
/// rows `row_stride`.
inline void write_jacobian(const float* tangents, Index direction_stride, Index row_stride,
                           Index n_directions, Index rows, Index outputs, float* jacobian,
                           Index directions_total) {
  for (Index row = 0; row < rows; ++row) {
    for (Index output = 0; output < outputs; ++output) {
      float* target = jacobian + (row * outputs + output) * directions_total;
      const float* source = tangents + row * row_stride + output;
      for (Index k = 0; k < n_directions; ++k) target[k] = source[k * direction_stride];
    }
  }
}

/// Backend::affine_covariance for `rows` rows: input variances (null: known exactly) and variances
/// of the outputs in rows of those strides, covariances dense.
inline void write_affine_covariance(const Kernels& kernels, const OutputWeights& weights,
                                    const float* input_var, Index input_stride, Index rows,
                                    const float* var, Index var_stride, float* covariance) {
  const Index n = weights.outputs;
  for (Index row = 0; row < rows; ++row, covariance += n * n) {
    const bool varies = input_var != nullptr && weights.in > 0;
    if (varies) {
      kernels.weighted_products(weights.mean, n, weights.in, input_var + row * input_stride,
                                covariance);
    }
    for (Index i = 0; i < n; ++i) {
      covariance[i * n + i] = var[row * var_stride + i];
      for (Index j = i + 1; j < n; ++j) {
        if (!varies) covariance[i * n + j] = 0;
        covariance[j * n + i] = covariance[i * n + j];
      }
    }
  }
}

/// Backend::scale_covariance for `rows` rows: Jacobians and variances in rows of those strides.
inline void take_through_activation(const float* jacobian, Index jacobian_stride, const float* var,
                                    Index var_stride, Index rows, Index n_outputs,
                                    float* covariance) {
  const Index n = n_outputs;
  for (Index row = 0; row < rows; ++row, covariance += n * n) {
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j < n; ++j) {
        float& element = covariance[i * n + j];
        element = ops::scaled_covariance(element, jacobian[i], jacobian[j]);
      }
      covariance[i * n + i] = var[i];
    }
    jacobian += jacobian_stride;
    var += var_stride;
  }
}

}  // namespace tagix::cpu
