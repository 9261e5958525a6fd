#include <algorithm>
#include <optional>
#include <vector>

#include "batches.h"
#include "model_class.h"
#include "prediction.h"

namespace tagix::python {
namespace {

/// Changes the model by the targets of rows on the host, or on the GPU, and gives the prediction
/// made before: arrays (rows, outputs) of type T, where the rows are.
template <class T, class Rows, class Target>
auto updated(Model& model, const Rows& input, Target target, const HostNoise& noise, Index outputs,
             bool with_noise) {
  PredictionOf<T> prediction({input.rows, outputs}, with_noise && !model.class_head().exists());
  const auto arrays = prediction.arrays();
  {
    const py::gil_scoped_release release;
    model.update(input, target, noise, arrays);
  }
  return prediction.tuple();
}

/// Planes of delta_mean and delta_var, one after the other, as an array (2, rows, columns).
Array to_array(const std::vector<float>& values, Index rows) {
  const Index cols = static_cast<Index>(values.size()) / (2 * rows);
  Array array = empty({2, rows, cols});
  std::copy(values.begin(), values.end(), array.mutable_data());
  return array;
}

}  // namespace

void bind_updates(ModelClass& cls) {
  cls.def(
         "update",
         [](Model& model, const Array& x, const Array& y, const std::optional<Array>& noise_var,
            const std::optional<Array>& x_var, const std::optional<Array>& weight,
            bool with_noise) {
           const Observation seen = observation(model, x, x_var, y, noise_var, weight);
           return updated<Array>(model, seen.input, seen.target, seen.noise, seen.outputs,
                                 with_noise);
         },
         py::arg("x").noconvert(), py::arg("y").noconvert(), py::arg("noise_var").noconvert(),
         py::arg("x_var").noconvert() = py::none(), py::arg("weight").noconvert() = py::none(),
         py::arg("with_noise") = true,
         "The prediction made before, as predict; without the noise if that is not asked for.")
      .def(
          "update_on_device",
          [](Model& model, const CudaArgument& x, const CudaArgument& y,
             const std::optional<Array>& noise_var, const std::optional<CudaArgument>& x_var,
             const std::optional<Array>& weight, bool with_noise) {
            require_on_device(model);
            const ConstMomentsView input = device_moments(x, x_var);
            const Index outputs = model.output_features(input.cols);
            require_target_shape(y, input.rows, model.target_features(input.cols));
            const HostNoise noise = host_noise(noise_var, weight, input.rows, outputs);
            return updated<CudaArray>(model, input, y.data(), noise, outputs, with_noise);
          },
          py::arg("x"), py::arg("y"), py::arg("noise_var").noconvert(),
          py::arg("x_var") = py::none(), py::arg("weight").noconvert() = py::none(),
          py::arg("with_noise") = true,
          "update for arrays on the GPU, except noise_var and weight.")
      .def(
          "innovations",
          [](const Model& model, const Array& x, const Array& y,
             const std::optional<Array>& noise_var, const std::optional<Array>& x_var) {
            const Observation seen = observation(model, x, x_var, y, noise_var);
            Innovations result;
            {
              const py::gil_scoped_release release;
              result = model.innovations(seen.input, seen.target, seen.noise);
            }
            py::dict dict;
            dict["output"] = to_array(result.output, seen.input.rows);
            dict["input"] = to_array(result.input, seen.input.rows);
            dict["parameters"] = to_array(result.parameters, 1);
            return dict;
          },
          py::arg("x").noconvert(), py::arg("y").noconvert(), py::arg("noise_var").noconvert(),
          py::arg("x_var").noconvert() = py::none(),
          "delta_mean and delta_var (first axis) of outputs, inputs and parameters for a batch, "
          "without an update.");
}

}  // namespace tagix::python
