#include <memory>
#include <optional>
#include <utility>

#include "arrays.h"
#include "batches.h"
#include "bindings.h"
#include "models/batch_source.h"
#include "models/regression_source.h"

namespace tagix::python {
namespace {

void bind_regression_source(py::module_& m) {
  py::class_<RegressionSource, BatchSource>(m, "RegressionSource")
      .def(py::init([](const Model& model, const Array& x, const Array& y) {
             require_matrix("x", x, model.input_features().value_or(-1));
             require_matrix("y", y, model.target_features(x.shape(1)));
             require_same_rows("y", y, "x", x);
             require_targets(model.class_head(), values_of(y), y.shape(0), y.shape(1));
             auto source = std::make_unique<RegressionSource>(
                 model.backend(), values_of(x), values_of(y), x.shape(0), x.shape(1), y.shape(1));
             source->set_heads(model.noise_head(), model.class_head());
             return source;
           }),
           py::arg("model"), py::arg("x").noconvert(), py::arg("y").noconvert(),
           py::keep_alive<1, 2>())
      .def(py::init([](const Model& model, const CudaArgument& x, const CudaArgument& y) {
             require_on_device(model);
             const ConstMomentsView input = device_moments(x, std::nullopt);
             const Index outputs = model.target_features(input.cols);
             require_target_shape(y, input.rows, outputs);
             // The arguments, and so their owners, live as long as the source.
             auto owner = std::make_shared<std::pair<CudaArgument, CudaArgument>>(x, y);
             auto source =
                 std::make_unique<RegressionSource>(model.backend(), x.data(), y.data(), input.rows,
                                                    input.cols, outputs, std::move(owner));
             source->set_heads(model.noise_head(), model.class_head());
             return source;
           }),
           py::arg("model"), py::arg("x"), py::arg("y"), py::keep_alive<1, 2>(),
           "Rows that lie on the GPU, which stay there.")
      .def(
          "set_x_var",
          [](RegressionSource& source, const Array& x_var) {
            require_matrix("x_var", x_var, source.in_features());
            require_rows("x_var", x_var, source.n_rows());
            source.set_x_var(values_of(x_var));
          },
          py::arg("x_var").noconvert())
      .def("set_noise_var", &RegressionSource::set_noise_var, py::arg("noise_var"))
      .def(
          "set_noise_var_per_target",
          [](RegressionSource& source, const Array& noise_var) {
            require_matrix("noise", noise_var, source.out_features());
            require_rows("noise", noise_var, source.n_rows());
            source.set_noise_var_per_target(values_of(noise_var));
          },
          py::arg("noise_var").noconvert())
      .def(
          "set_weight",
          [](RegressionSource& source, const Array& weight) {
            require_weight_of_rows(weight, source.n_rows());
            source.set_weight(values_of(weight));
          },
          py::arg("weight").noconvert());
}

}  // namespace

void bind_sources(py::module_& m) {
  py::class_<BatchSource>(m, "BatchSource", "Rows to train on.")
      .def_property_readonly("n_rows", &BatchSource::n_rows);
  bind_regression_source(m);
}

}  // namespace tagix::python
