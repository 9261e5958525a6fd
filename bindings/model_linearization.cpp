#include <optional>

#include "batches.h"
#include "model_class.h"

namespace tagix::python {

void bind_linearization(ModelClass& cls) {
  cls.def(
         "jacobian",
         [](const Model& model, const Array& x, const std::optional<Array>& x_var,
            std::optional<Index> n_first) {
           const HostMoments input = host_moments(x, x_var);
           const Index n_inputs = n_first.value_or(input.cols);
           require(n_inputs >= 0 && n_inputs <= input.cols, "n_inputs: got ", n_inputs,
                   ", needed 0 to ", input.cols);
           Array jacobian = empty({input.rows, model.output_features(input.cols), n_inputs});
           const HostPointer<float> data = new_values_of(jacobian);
           {
             const py::gil_scoped_release release;
             model.jacobian(input, n_inputs, data);
           }
           return jacobian;
         },
         py::arg("x").noconvert(), py::arg("x_var").noconvert() = py::none(),
         py::arg("n_inputs") = py::none())
      .def(
          "covariance",
          [](const Model& model, const Array& x, const std::optional<Array>& x_var) {
            const HostMoments input = host_moments(x, x_var);
            const Index outputs = model.output_features(input.cols);
            Array covariance = empty({input.rows, outputs, outputs});
            const HostPointer<float> data = new_values_of(covariance);
            {
              const py::gil_scoped_release release;
              model.covariance(input, data);
            }
            return covariance;
          },
          py::arg("x").noconvert(), py::arg("x_var").noconvert() = py::none());
}

}  // namespace tagix::python
