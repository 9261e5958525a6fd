#pragma once

#include <optional>

#include "arrays.h"
#include "core/noise.h"
#include "cuda_argument.h"
#include "cuda_array.h"
#include "models/model.h"

namespace tagix::python {

/// x, (rows, features), with its variances, where they are given. Throws unless both have the same
/// shape.
HostMoments host_moments(const Array& x, const std::optional<Array>& x_var);

/// One noise variance, one for each output, or one for each target, (rows, outputs); none where the
/// network infers them, or nobody asks.
HostNoise host_noise(const std::optional<Array>& noise_var, Index rows, Index outputs);

/// The same with the weights of rows, (rows,).
HostNoise host_noise(const std::optional<Array>& noise_var, const std::optional<Array>& weight,
                     Index rows, Index outputs);

/// Throws unless there is one weight for each row.
void require_weight_of_rows(const Array& weight, Index rows);

/// What a call with targets needs, checked: the shapes of y and of the noise variances.
struct Observation {
  HostMoments input;
  HostPointer<const float> target;
  HostNoise noise;
  Index outputs;
};

/// Throws unless the arrays have the shapes that the model needs.
Observation observation(const Model& model, const Array& x, const std::optional<Array>& x_var,
                        const Array& y, const std::optional<Array>& noise_var,
                        const std::optional<Array>& weight = {});

/// Throws unless the model takes arrays on the GPU.
void require_on_device(const Model& model);

/// x with its variances on the GPU, checked as host_moments does.
ConstMomentsView device_moments(const CudaArgument& x, const std::optional<CudaArgument>& x_var);

/// Throws unless targets on the GPU have the shape (rows, outputs), or (rows,) for one output.
void require_target_shape(const CudaArgument& y, Index rows, Index outputs);

}  // namespace tagix::python
