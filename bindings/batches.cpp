#include "batches.h"

#include <vector>

#include "core/require.h"

namespace tagix::python {

HostMoments host_moments(const Array& x, const std::optional<Array>& x_var) {
  require_matrix("x", x);
  if (x_var) {
    require_matrix("x_var", *x_var, x.shape(1));
    require_same_rows("x_var", *x_var, "x", x);
  }
  return {values_of(x), x_var ? values_of(*x_var) : nullptr, x.shape(0), x.shape(1)};
}

HostNoise host_noise(const std::optional<Array>& noise_var, Index rows, Index outputs) {
  if (!noise_var) return {};
  if (noise_var->ndim() == 2) {
    require_matrix("noise", *noise_var, outputs);
    require(noise_var->shape(0) == rows, "noise: got ", noise_var->shape(0), " rows, needed ", rows,
            " as in x");
    return {values_of(*noise_var), outputs, 1};
  }
  require(noise_var->size() == 1 || noise_var->size() == outputs, "noise: got ", noise_var->size(),
          " standard deviations, needed 1 or 1 for each of the ", outputs, " outputs");
  return {values_of(*noise_var), 0, noise_var->size() == 1 ? 0 : 1};
}

void require_weight_of_rows(const Array& weight, Index rows) {
  require(weight.ndim() == 1 && weight.size() == rows, "sample_weight: got ", weight.size(),
          " values, needed ", rows, ", one for each row");
}

HostNoise host_noise(const std::optional<Array>& noise_var, const std::optional<Array>& weight,
                     Index rows, Index outputs) {
  HostNoise noise = host_noise(noise_var, rows, outputs);
  if (!weight) return noise;
  require_weight_of_rows(*weight, rows);
  noise.weight = values_of(*weight);
  return noise;
}

Observation observation(const Model& model, const Array& x, const std::optional<Array>& x_var,
                        const Array& y, const std::optional<Array>& noise_var,
                        const std::optional<Array>& weight) {
  const HostMoments input = host_moments(x, x_var);
  const Index outputs = model.output_features(input.cols);
  require_matrix("y", y, model.target_features(input.cols));
  require_same_rows("y", y, "x", x);
  return {input, values_of(y), host_noise(noise_var, weight, input.rows, outputs), outputs};
}

void require_on_device(const Model& model) {
  require(!model.backend().reads_host_memory(),
          "x: got an array on device cuda, needed one on the "
          "CPU, where the network is");
}

ConstMomentsView device_moments(const CudaArgument& x, const std::optional<CudaArgument>& x_var) {
  require(x.shape().size() == 2, "x: got an array of shape ", shape_text(x.shape()),
          ", needed two dimensions (rows, features)");
  require(!x_var || x_var->shape() == x.shape(), "x_var: got an array of shape ",
          shape_text(x_var ? x_var->shape() : x.shape()), ", needed ", shape_text(x.shape()),
          " as x has");
  return {x.data(), x_var ? x_var->data() : nullptr, x.shape()[0], x.shape()[1]};
}

void require_target_shape(const CudaArgument& y, Index rows, Index outputs) {
  const std::vector<Index> shape{rows, outputs};
  require(y.shape() == shape || (outputs == 1 && y.shape() == std::vector<Index>{rows}),
          "y: got an array of shape ", shape_text(y.shape()), ", needed ", shape_text(shape),
          ", (rows, outputs)");
}

}  // namespace tagix::python
