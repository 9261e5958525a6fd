#include <optional>

#include "batches.h"
#include "model_class.h"
#include "prediction.h"

namespace tagix::python {
namespace {

Variances variances_of(bool calibrated) {
  return calibrated ? Variances::calibrated : Variances::diagonal;
}

/// The prediction for rows on the host, or on the GPU: arrays (rows, outputs) of type T, where the
/// rows are.
template <class T, class Rows>
auto predicted(const Model& model, const Rows& input, const std::optional<Array>& noise_var,
               bool calibrated) {
  const Index outputs = model.output_features(input.cols);
  const HostNoise noise = host_noise(noise_var, input.rows, outputs);
  PredictionOf<T> prediction({input.rows, outputs}, noise_var || model.noise_head().exists());
  const auto arrays = prediction.arrays();
  {
    const py::gil_scoped_release release;
    model.predict(input, noise, arrays, variances_of(calibrated));
  }
  return prediction.tuple();
}

}  // namespace

void bind_predictions(ModelClass& cls) {
  cls.def(
         "predict",
         [](const Model& model, const Array& x, const std::optional<Array>& x_var,
            const std::optional<Array>& noise_var, bool calibrated) {
           return predicted<Array>(model, host_moments(x, x_var), noise_var, calibrated);
         },
         py::arg("x").noconvert(), py::arg("x_var").noconvert() = py::none(),
         py::arg("noise_var").noconvert() = py::none(), py::arg("calibrated") = false,
         "mean, var, and, with noise variances or where the network infers them, the noise "
         "variances and the sums of both.")
      .def(
          "predict_proba",
          [](const Model& model, const Array& x, const std::optional<Array>& x_var,
             bool calibrated) {
            const HostMoments input = host_moments(x, x_var);
            Array probabilities = empty({input.rows, model.class_head().n_classes});
            const HostPointer<float> data = new_values_of(probabilities);
            {
              const py::gil_scoped_release release;
              model.predict_proba(input, data, variances_of(calibrated));
            }
            return probabilities;
          },
          py::arg("x").noconvert(), py::arg("x_var").noconvert() = py::none(),
          py::arg("calibrated") = false,
          "The probabilities of classes, for a network that has them.")
      .def(
          "predict_on_device",
          [](const Model& model, const CudaArgument& x, const std::optional<CudaArgument>& x_var,
             const std::optional<Array>& noise_var, bool calibrated) {
            require_on_device(model);
            return predicted<CudaArray>(model, device_moments(x, x_var), noise_var, calibrated);
          },
          py::arg("x"), py::arg("x_var") = py::none(),
          py::arg("noise_var").noconvert() = py::none(), py::arg("calibrated") = false,
          "predict for arrays on the GPU, except noise_var.")
      .def(
          "evaluate",
          [](const Model& model, const Array& x, const Array& y,
             const std::optional<Array>& noise_var) {
            const Observation seen = observation(model, x, std::nullopt, y, noise_var);
            const py::gil_scoped_release release;
            return model.evaluate(seen.input, seen.target, seen.noise);
          },
          py::arg("x").noconvert(), py::arg("y").noconvert(), py::arg("noise_var").noconvert());
}

}  // namespace tagix::python
